import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RouteTarget } from '../../broker/exchanges/destination.ts';
import { type ForwardOutcome, MessageForwarder } from '../../broker/queues/message-forwarder.ts';
import type { StoredTarget } from '../../broker/queues/message-log.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';

const ERROR = new BurrowError('STORAGE_ERROR');
const ANSWERS = ['stored', 'full', 'failed', 'stored at once'] as const;

function queue(name: string): RouteTarget {
  return { kind: 'queue', name };
}

test('the place of a message learns once what became of it; who has it does not get it again', () => {
  const message = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 4 });
  const answer = fc.constantFrom(...ANSWERS);
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 10 }),
      fc.infiniteStream(answer),
      fc.infiniteStream(fc.nat()),
      (messages, answers, choices) => {
        /** Per message: who has stored it how often. */
        const stored = messages.map(() => new Map<string, number>());
        const tries: Array<{ message: number; seen: Set<string> }> = [];
        const unanswered: Array<() => void> = [];
        let current = 0;
        const forwarder = new MessageForwarder((target, _, to: StoredTarget, number) => {
          const index = current;
          tries.at(-1)!.seen.add(target.name);
          const how = answers.next().value;
          if (how === 'full') {
            seenOutcomes[index]!.push('full');
            return false;
          }
          const tell = (): void => {
            if (how === 'failed') {
              seenOutcomes[index]!.push('failed');
              to.onNotStored(number, number, ERROR);
              return;
            }
            stored[index]!.set(target.name, (stored[index]!.get(target.name) ?? 0) + 1);
            to.onStored(number, number);
          };
          if (how === 'stored at once') tell();
          else unanswered.push(tell);
          return true;
        });
        const seenOutcomes: ForwardOutcome[][] = messages.map(() => []);
        const place = {};
        for (let round = 0; round < 3; round++) {
          const done = messages.map(() => 0);
          for (const [index, targets] of messages.entries()) {
            const origin = { place, offset: index };
            if (targets.every((name) => stored[index]!.has(name))) continue;
            const had = new Set(stored[index]!.keys());
            expect(forwarder.isPartlyStored(origin)).toBe(had.size > 0);
            seenOutcomes[index] = [];
            current = index;
            tries.push({ message: index, seen: new Set() });
            const copy = { exchange: '', routingKey: '', properties: new Uint8Array(0), body: [] };
            forwarder.forward(copy, targets.map(queue), origin, (outcome) => {
              done[index]!++;
              const bad = seenOutcomes[index]!;
              expect(outcome).toBe(bad.includes('failed') ? 'failed' : bad.includes('full') ? 'full' : 'stored');
              if (outcome === 'stored') expect([...stored[index]!.keys()].sort()).toEqual([...targets].sort());
            });
            expect([...tries.at(-1)!.seen].filter((name) => had.has(name))).toEqual([]);
          }
          while (unanswered.length > 0) {
            const [tell] = unanswered.splice(choices.next().value % unanswered.length, 1);
            tell!();
          }
          expect(done.every((times) => times <= 1)).toBe(true);
          expect(forwarder.count).toBe(0);
        }
        for (const counts of stored) expect([...counts.values()].every((count) => count === 1)).toBe(true);
      },
    ),
  );
});

test('without targets a message is as good as stored', () => {
  const forwarder = new MessageForwarder(() => true);
  const outcomes: ForwardOutcome[] = [];
  const message = { exchange: '', routingKey: '', properties: new Uint8Array(0), body: [] };
  forwarder.forward(message, [], undefined, (outcome) => outcomes.push(outcome));
  expect(outcomes).toEqual(['stored']);
});

test('it forgets the oldest of too many messages that some have and others have not', () => {
  const forwarder = new MessageForwarder(({ name }, _, stored, number) => {
    if (name === 'full') return false;
    stored.onStored(number, number);
    return true;
  });
  const place = {};
  const message = { exchange: '', routingKey: '', properties: new Uint8Array(0), body: [] };
  for (let offset = 0; offset <= 10_000; offset++) {
    forwarder.forward(message, [queue('a'), queue('full')], { place, offset }, () => {});
  }
  expect(forwarder.isPartlyStored({ place, offset: 0 })).toBe(false);
  expect(forwarder.isPartlyStored({ place, offset: 1 })).toBe(true);
  expect(forwarder.isPartlyStored({ place: {}, offset: 1 })).toBe(false);
});

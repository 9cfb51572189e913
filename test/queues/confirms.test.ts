import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Confirms } from '../../broker/queues/confirms.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';

const ERROR = new BurrowError('STORAGE_ERROR');

/** What a client makes of confirms: each message is confirmed or refused once. */
class Client {
  readonly outcomes = new Map<number, 'confirmed' | 'refused'>();
  begun = 0;

  onConfirmed(number: number, multiple: boolean): void {
    for (let each = multiple ? 1 : number; each <= number; each++) {
      if (!this.outcomes.has(each)) this.outcomes.set(each, 'confirmed');
    }
  }

  onRefused(number: number): void {
    expect(this.outcomes.has(number)).toBe(false);
    this.outcomes.set(number, 'refused');
  }
}

test('each message is confirmed when all of its places have it, and refused when one has not', () => {
  const message = fc.record({ places: fc.nat(3), refuses: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }) });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 30 }), fc.infiniteStream(fc.nat()), (messages, choices) => {
      const client = new Client();
      const confirms = new Confirms(client);
      // Each place answers in order, in runs.
      const queues: Array<Array<{ number: number; refused: boolean }>> = [[], [], []];
      const answers = new Map<number, boolean[]>();
      for (const { places, refuses } of messages) {
        const number = confirms.begin(places);
        answers.set(number, []);
        if (places === 0) confirms.confirmUnrouted(number);
        for (let place = 0; place < places; place++) queues[place]!.push({ number, refused: refuses[place]! });
      }
      while (queues.some((queue) => queue.length > 0)) {
        const queue = queues[choices.next().value! % 3]!;
        const first = queue[0];
        if (first === undefined) continue;
        let count = 1;
        const wanted = (choices.next().value! % 4) + 1;
        while (
          count < wanted &&
          queue[count]?.number === first.number + count &&
          queue[count]!.refused === first.refused
        ) {
          count++;
        }
        queue.splice(0, count);
        for (let number = first.number; number < first.number + count; number++)
          answers.get(number)!.push(first.refused);
        if (first.refused) confirms.onNotStored(first.number, first.number + count - 1, ERROR);
        else confirms.onStored(first.number, first.number + count - 1);
        for (const [number, given] of answers) {
          const refused = given.includes(true);
          const all = given.length === messages[number - 1]!.places;
          expect(client.outcomes.get(number), `message ${number}`).toBe(
            refused ? 'refused' : all ? 'confirmed' : undefined,
          );
        }
      }
      expect(confirms.outstanding).toBe(0);
    }),
    { numRuns: 500 },
  );
});

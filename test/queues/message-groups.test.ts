import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageGroups } from '../../broker/queues/message-groups.ts';

const KEYS = ['a', 'b', 'c'];
type Place = 'ready' | 'in process' | 'parked' | 'gone';

interface Message {
  readonly key: string;
  place: Place;
}

/** Who may be handed out, as a list tells it: of each key the message that has it, or anyone while none has. */
class Model {
  readonly messages: Message[] = [];
  readonly owners = new Map<string, number>();

  of(place: Place): number[] {
    return this.messages.flatMap((message, offset) => (message.place === place ? [offset] : []));
  }

  leave(offset: number): number {
    const message = this.messages[offset]!;
    message.place = 'gone';
    if (this.owners.get(message.key) !== offset) return -1;
    this.owners.delete(message.key);
    const next = this.of('parked').find((each) => this.messages[each]!.key === message.key) ?? -1;
    if (next !== -1) {
      this.messages[next]!.place = 'ready';
      this.owners.set(message.key, next);
    }
    return next;
  }
}

test('of each key one message is in process, and those that wait get it in order, whatever comes back or goes', () => {
  const step = fc.record({
    kind: fc.constantFrom('publish', 'look', 'look', 'look', 'settle', 'settle', 'return', 'drop', 'clear'),
    pick: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const groups = new MessageGroups();
      const model = new Model();
      const pickFrom = (place: Place, pick: number): number => {
        const offsets = model.of(place);
        return offsets.length === 0 ? -1 : offsets[pick % offsets.length]!;
      };
      for (const { kind, pick } of steps) {
        const offset = pickFrom(kind === 'look' || kind === 'drop' ? 'ready' : 'in process', pick);
        const message = model.messages[offset];
        if (kind === 'publish') model.messages.push({ key: KEYS[pick % KEYS.length]!, place: 'ready' });
        else if (kind === 'clear' && pick % 5 === 0) {
          const parked: number[] = [];
          groups.clear((each) => parked.push(each));
          expect(parked.sort((a, b) => a - b)).toEqual(model.of('parked'));
          for (const each of [...model.of('parked'), ...model.of('ready')]) {
            const { key } = model.messages[each]!;
            model.messages[each]!.place = 'gone';
            if (model.owners.get(key) === each) model.owners.delete(key);
          }
        } else if (message === undefined) continue;
        else if (kind === 'look') {
          const owner = model.owners.get(message.key);
          const admitted = owner === undefined || owner === offset;
          expect(groups.admit(message.key, offset)).toBe(admitted);
          if (admitted) model.owners.set(message.key, offset);
          message.place = admitted ? 'in process' : 'parked';
        } else if (kind === 'settle' || kind === 'drop') expect(groups.release(offset)).toBe(model.leave(offset));
        else if (kind === 'return') {
          groups.hold(offset);
          message.place = 'ready';
        }
        expect(groups.count).toBe(model.owners.size);
        const busy = model.of('in process').map((each) => model.messages[each]!.key);
        expect(new Set(busy).size).toBe(busy.length);
      }
    }),
    { numRuns: 1000 },
  );
});

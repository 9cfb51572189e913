import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  addToSequence,
  IdempotenceState,
  type SequencedBatch,
  UNRESOLVED_BATCHES_MAX,
} from '../../../client/producer/idempotence-state.ts';

interface TestBatch extends SequencedBatch {
  readonly name: number;
}

function batch(name: number, recordCount = 10): TestBatch {
  return {
    name,
    recordCount,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    place: -1,
    outcomeUnknown: false,
    afterGap: false,
  };
}

function assigned(count: number): { state: IdempotenceState; batches: TestBatch[] } {
  const state = new IdempotenceState({ producerId: 7, producerEpoch: 0 });
  const batches = Array.from({ length: count }, (_, index) => batch(index));
  for (const each of batches) state.assign(each);
  return { state, batches };
}

test('sequences count records and start over behind 2^31 - 1', () => {
  const { batches } = assigned(3);
  expect(batches.map((each) => each.baseSequence)).toEqual([0, 10, 20]);
  expect(addToSequence(2 ** 31 - 1, 1)).toBe(0);
  expect(addToSequence(2 ** 31 - 3, 10)).toBe(7);
});

test('no more batches get a sequence than the broker remembers', () => {
  const { state, batches } = assigned(UNRESOLVED_BATCHES_MAX);
  expect(state.canAssign()).toBe(false);
  state.onAcknowledged(batches[0]!);
  expect(state.canAssign()).toBe(true);
});

test('batches that were acknowledged behind an unresolved one still count against what the broker remembers', () => {
  const { state, batches } = assigned(UNRESOLVED_BATCHES_MAX);
  for (const each of batches.slice(1)) state.onAcknowledged(each);
  expect(state.canAssign()).toBe(false);
});

test('a batch behind an unresolved one is sent again as it is when the broker misses the earlier one', () => {
  const { state, batches } = assigned(2);
  batches[1]!.outcomeUnknown = true;
  expect(state.onSequenceRefused(batches[1]!, 'OUT_OF_ORDER_SEQUENCE')).toBe('retry');
  expect(state.resetting).toBe(false);
  expect(batches[1]!.outcomeUnknown).toBe(false);
  expect(batches[1]!.baseSequence).toBe(10);
});

test('after a batch of unknown outcome was given up, those behind it start over under the next epoch', () => {
  const { state, batches } = assigned(3);
  batches[0]!.outcomeUnknown = true;
  state.onGivenUp(batches[0]!);
  // The broker never got batch 0: it sees a gap, which proves that batch 1 is not stored, whatever became of its attempts.
  batches[1]!.outcomeUnknown = true;
  expect(state.onSequenceRefused(batches[1]!, 'OUT_OF_ORDER_SEQUENCE')).toBe('retry');
  expect(state.canAssign()).toBe(false);
  state.maybeFinishReset(1);
  expect(state.resetting).toBe(true); // batch 2 is still in flight
  expect(state.onSequenceRefused(batches[2]!, 'OUT_OF_ORDER_SEQUENCE')).toBe('retry');
  state.maybeFinishReset(0);
  expect(state.resetting).toBe(false);
  expect(batches.slice(1).map((each) => [each.producerEpoch, each.baseSequence])).toEqual([
    [1, 0],
    [1, 10],
  ]);
  expect(state.nextSequence).toBe(20);
});

test('a gap behind an acknowledged batch fails a batch that may be stored already, and only that one', () => {
  const { state, batches } = assigned(3);
  state.onAcknowledged(batches[0]!);
  batches[1]!.outcomeUnknown = true;
  expect(state.onSequenceRefused(batches[1]!, 'OUT_OF_ORDER_SEQUENCE')).toBe('fail');
  state.onGivenUp(batches[1]!);
  expect(state.onSequenceRefused(batches[2]!, 'OUT_OF_ORDER_SEQUENCE')).toBe('retry');
  state.maybeFinishReset(0);
  expect([batches[2]!.producerEpoch, batches[2]!.baseSequence]).toEqual([1, 0]);
});

test('a producer id unknown to the broker is replaced only for batches that cannot be stored', () => {
  const first = assigned(1);
  expect(first.state.onSequenceRefused(first.batches[0]!, 'UNKNOWN_PRODUCER_ID')).toBe('retry');
  first.state.maybeFinishReset(0);
  expect(first.batches[0]!.producerEpoch).toBe(1);

  const second = assigned(1);
  second.batches[0]!.outcomeUnknown = true;
  expect(second.state.onSequenceRefused(second.batches[0]!, 'UNKNOWN_PRODUCER_ID')).toBe('fail');
});

test('during a reset a batch of unknown outcome is asked about under its old sequence before the reset ends', () => {
  const { state, batches } = assigned(2);
  expect(state.onSequenceRefused(batches[0]!, 'OUT_OF_ORDER_SEQUENCE')).toBe('retry');
  batches[1]!.outcomeUnknown = true; // its connection broke meanwhile
  state.maybeFinishReset(0);
  expect(state.resetting).toBe(true);
  expect([state.canResend(batches[0]!), state.canResend(batches[1]!)]).toEqual([false, true]);
  expect(state.onSequenceRefused(batches[1]!, 'OUT_OF_ORDER_SEQUENCE')).toBe('retry');
  state.maybeFinishReset(0);
  expect(batches.map((each) => each.baseSequence)).toEqual([0, 10]);
  expect(batches[0]!.producerEpoch).toBe(1);
});

test('a batch refused for good gives its sequence back if none follows', () => {
  const { state, batches } = assigned(2);
  state.onGivenUp(batches[1]!);
  expect(state.nextSequence).toBe(10);
});

test('a fenced identity and the last epoch both lead to a new producer id', () => {
  const fenced = assigned(2);
  expect(fenced.state.onSequenceRefused(fenced.batches[0]!, 'INVALID_PRODUCER_EPOCH')).toBe('fail');
  fenced.state.onGivenUp(fenced.batches[0]!);
  fenced.state.maybeFinishReset(0);
  expect(fenced.state.identity).toBeUndefined();
  fenced.state.onNewIdentity({ producerId: 8, producerEpoch: 0 });
  expect([fenced.batches[1]!.producerId, fenced.batches[1]!.baseSequence]).toEqual([8, 0]);

  const state = new IdempotenceState({ producerId: 7, producerEpoch: 32_767 });
  const only = batch(0);
  state.assign(only);
  state.onSequenceRefused(only, 'OUT_OF_ORDER_SEQUENCE');
  state.maybeFinishReset(0);
  expect(state.identity).toBeUndefined();
});

/** One partition of a broker, as Kafka's ProducerStateManager judges sequences. */
class ModelBroker {
  readonly log: number[] = [];
  #producerId = -1;
  #epoch = -1;
  #last: Array<{ base: number; next: number }> = [];

  append(sent: TestBatch): 'ok' | 'OUT_OF_ORDER_SEQUENCE' | 'INVALID_PRODUCER_EPOCH' {
    const next = addToSequence(sent.baseSequence, sent.recordCount);
    if (sent.producerId === this.#producerId && sent.producerEpoch < this.#epoch) return 'INVALID_PRODUCER_EPOCH';
    const known = sent.producerId === this.#producerId && sent.producerEpoch === this.#epoch;
    if (known) {
      if (this.#last.some(({ base, next: end }) => base === sent.baseSequence && end === next)) return 'ok';
      if (this.#last.at(-1)!.next !== sent.baseSequence) return 'OUT_OF_ORDER_SEQUENCE';
    } else if (sent.baseSequence !== 0) {
      return 'OUT_OF_ORDER_SEQUENCE';
    }
    this.#last = [...(known ? this.#last : []), { base: sent.baseSequence, next }].slice(-UNRESOLVED_BATCHES_MAX);
    this.#producerId = sent.producerId;
    this.#epoch = sent.producerEpoch;
    this.log.push(sent.name);
    return 'ok';
  }
}

test('whatever is lost, refused or given up: nothing is stored twice, what is acknowledged is stored, in order', () => {
  // Each number decides what happens to one attempt.
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 120 }), (fates) => {
      const state = new IdempotenceState({ producerId: 7, producerEpoch: 0 });
      const broker = new ModelBroker();
      const waiting: TestBatch[] = [];
      const acknowledged: number[] = [];
      let name = 0;
      let fate = 0;
      const nextFate = () => fates[fate++] ?? 5;
      let rounds = 0;
      do {
        rounds += 1;
        expect(rounds).toBeLessThan(1000);
        // One round: send what may be sent, all of it in flight at once, then handle all answers.
        const flight: TestBatch[] = waiting.filter((each) => state.canResend(each));
        while (fate < fates.length && state.canAssign() && flight.length < UNRESOLVED_BATCHES_MAX) {
          const fresh = batch(name, 1 + (name % 3));
          name += 1;
          state.assign(fresh);
          waiting.push(fresh);
          flight.push(fresh);
        }
        const answers = flight.map((sent) => {
          const luck = nextFate();
          if (luck === 0) return 'lost before';
          if (luck === 1) {
            broker.append(sent);
            return 'lost after';
          }
          if (luck === 2) return 'refused';
          if (luck === 3) return 'refused for good';
          return broker.append(sent);
        });
        flight.forEach((sent, index) => {
          const answer = answers[index]!;
          const giveUp = () => {
            state.onGivenUp(sent);
            waiting.splice(waiting.indexOf(sent), 1);
          };
          if (answer === 'ok') {
            state.onAcknowledged(sent);
            waiting.splice(waiting.indexOf(sent), 1);
            acknowledged.push(sent.name);
          } else if (answer === 'lost before' || answer === 'lost after') {
            sent.outcomeUnknown = true;
            if (nextFate() === 4) giveUp();
          } else if (answer === 'refused for good') {
            giveUp();
          } else if (answer !== 'refused') {
            if (state.onSequenceRefused(sent, answer) === 'fail') giveUp();
          }
        });
        state.maybeFinishReset(0);
      } while (fate < fates.length || waiting.length > 0);
      expect(new Set(broker.log).size).toBe(broker.log.length);
      expect(broker.log).toEqual([...broker.log].sort((a, b) => a - b));
      expect(broker.log).toEqual(expect.arrayContaining(acknowledged));
    }),
    { numRuns: 5000 },
  );
});

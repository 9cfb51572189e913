import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProducerState } from '../../broker/log/producer-state.ts';

const header = (baseSequence: number, recordsCount = 1, producerEpoch = 0, producerId = 7) => ({
  producerId,
  producerEpoch,
  baseSequence,
  recordsCount,
});

/** A producer that starts at `first` and sends batches of the given sizes; returns their sequences. */
function send(state: ProducerState, first: number, counts: readonly number[], producerEpoch = 0): number[] {
  const sequences: number[] = [];
  let sequence = first;
  let offset = 0;
  for (const count of counts) {
    expect(state.check(header(sequence, count, producerEpoch))).toBeUndefined();
    state.update(header(sequence, count, producerEpoch), offset, offset + count, 1000);
    sequences.push(sequence);
    sequence = (sequence + count) % 2 ** 31;
    offset += count;
  }
  return [...sequences, sequence];
}

describe('the state of producers', () => {
  it('knows the last five batches again and no older one, also where sequences wrap at 2^31', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constant(0), fc.integer({ min: 2 ** 31 - 30, max: 2 ** 31 - 1 })),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 12 }),
        (first, counts) => {
          const state = new ProducerState();
          const sequences = send(state, first, counts);
          const next = sequences.pop()!;
          let offset = 0;
          for (const [i, sequence] of sequences.entries()) {
            const count = counts[i]!;
            if (i >= counts.length - 5) {
              expect(state.check(header(sequence, count))).toMatchObject({
                baseOffset: offset,
                nextOffset: offset + count,
              });
              // The same start with another end is no repetition.
              expect(() => state.check(header(sequence, count + 1))).toThrow(/is next/);
            } else expect(() => state.check(header(sequence, count))).toThrow(`${next} is next`);
            offset += count;
          }
          expect(state.check(header(next))).toBeUndefined();
          expect(() => state.check(header((next + 1) % 2 ** 31))).toThrow(`${next} is next`);
        },
      ),
    );
  });

  it('fences an older epoch and starts a newer one at sequence 0', () => {
    const state = new ProducerState();
    send(state, 0, [3, 2], 4);
    expect(() => state.check(header(5, 1, 3))).toThrow(/epoch 4 has taken over/);
    expect(() => state.check(header(5, 1, 5))).toThrow(/0 is next/);
    expect(state.check(header(0, 1, 5))).toBeUndefined();
    state.update(header(0, 1, 5), 5, 6, 1000);
    // The batches of the epoch before are no repetitions any more.
    expect(() => state.check(header(3, 2, 5))).toThrow(/1 is next/);
    expect(state.check(header(0, 1, 5))).toMatchObject({ baseOffset: 5, nextOffset: 6 });
  });

  it('forgets producers that were silent for long, and the oldest beyond its limit', () => {
    const state = new ProducerState(3);
    for (const [i, producerId] of [1, 2, 3].entries()) state.update(header(0, 1, 0, producerId), i, i + 1, i * 100);
    state.expire(100);
    expect(state.size).toBe(2);
    expect(state.check(header(77, 1, 0, 1))).toBeUndefined();
    expect(() => state.check(header(77, 1, 0, 2))).toThrow(/1 is next/);
    for (const producerId of [4, 5]) state.update(header(0, 1, 0, producerId), 9, 10, 300);
    expect(state.size).toBe(3);
  });

  const historyArbitrary = fc.array(
    fc.record({
      producerId: fc.oneof(fc.nat(3), fc.constant(2 ** 53 - 1)),
      producerEpoch: fc.integer({ min: 0, max: 32_767 }),
      baseSequence: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      recordsCount: fc.integer({ min: 1, max: 1000 }),
    }),
    { maxLength: 30 },
  );

  it('comes back from its snapshot as it was', () => {
    fc.assert(
      fc.property(historyArbitrary, (history) => {
        const state = new ProducerState();
        for (const [i, batch] of history.entries()) state.update(batch, i * 2 ** 40, i * 2 ** 40 + 1, i);
        const snapshot = state.encode();
        const loaded = ProducerState.decode(snapshot)!;
        expect(loaded.size).toBe(state.size);
        expect(loaded.encode().equals(snapshot)).toBe(true);
        const ask = (known: ProducerState, batch: (typeof history)[number]) => {
          try {
            return known.check(batch);
          } catch (error) {
            return String(error);
          }
        };
        for (const batch of history) expect(ask(loaded, batch)).toEqual(ask(state, batch));
      }),
    );
  });

  it('does not believe a damaged snapshot', () => {
    fc.assert(
      fc.property(historyArbitrary, fc.nat(10_000), fc.boolean(), (history, place, isCut) => {
        const state = new ProducerState();
        for (const [i, batch] of history.entries()) state.update(batch, i, i + 1, i);
        const snapshot = state.encode();
        if (isCut) {
          expect(ProducerState.decode(snapshot.subarray(0, place % snapshot.length))).toBeUndefined();
          return;
        }
        snapshot[place % snapshot.length]! ^= 1 << (place % 8);
        expect(ProducerState.decode(snapshot)).toBeUndefined();
      }),
    );
  });
});

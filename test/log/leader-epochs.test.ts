import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LeaderEpochs } from '../../broker/log/leader-epochs.ts';

const stepsArbitrary = fc.array(fc.record({ epochStep: fc.integer({ min: -1, max: 3 }), records: fc.nat(4) }), {
  maxLength: 20,
});

/** The dumb form: the epoch of every offset, and every epoch that was assigned, even without a record. */
interface Model {
  readonly epochOf: number[];
  readonly starts: Map<number, number>;
}

function build(steps: ReadonlyArray<{ epochStep: number; records: number }>): { epochs: LeaderEpochs; model: Model } {
  const epochs = new LeaderEpochs();
  const model: Model = { epochOf: [], starts: new Map() };
  let epoch = 0;
  for (const { epochStep, records } of steps) {
    const next = Math.max(0, epoch + epochStep);
    const isNewer = model.starts.size === 0 || next > Math.max(...model.starts.keys());
    expect(epochs.assign(next, model.epochOf.length)).toBe(isNewer);
    if (isNewer) {
      // An epoch that wrote nothing is forgotten once another begins at the same place.
      for (const [older, start] of model.starts) if (start === model.epochOf.length) model.starts.delete(older);
      model.starts.set(next, model.epochOf.length);
      epoch = next;
    }
    for (let i = 0; i < records; i++) model.epochOf.push(epoch);
  }
  return { epochs, model };
}

/** Rule R8 word by word: the latest ends at the log end; newer than all is unknown; older than all ends at the start of the first; else the largest at or below, which ends where the next starts. */
function dumbEndOffset({ epochOf, starts }: Model, epoch: number): { epoch: number; endOffset: number } | undefined {
  const known = [...starts.keys()].sort((a, b) => a - b);
  const latest = known.at(-1);
  if (latest === undefined || epoch > latest) return undefined;
  if (epoch === latest) return { epoch, endOffset: epochOf.length };
  const at = known.filter((candidate) => candidate <= epoch).at(-1);
  if (at === undefined) return { epoch, endOffset: starts.get(known[0]!)! };
  return { epoch: at, endOffset: starts.get(known[known.indexOf(at) + 1]!)! };
}

describe('leader epochs', () => {
  it('answer where an epoch ends as rule R8 says', () => {
    fc.assert(
      fc.property(stepsArbitrary, (steps) => {
        const { epochs, model } = build(steps);
        for (let epoch = -1; epoch < 70; epoch++) {
          expect(epochs.endOffset(epoch, model.epochOf.length), `epoch ${epoch}`).toEqual(dumbEndOffset(model, epoch));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('know which epoch wrote an offset, also when the log is cut at either end', () => {
    fc.assert(
      fc.property(stepsArbitrary, fc.nat(40), fc.nat(40), (steps, startAt, endAt) => {
        const { epochs, model } = build(steps);
        const check = (start: number, end: number): void => {
          for (let offset = start; offset < end; offset++) expect(epochs.epochAt(offset)).toBe(model.epochOf[offset]);
        };
        check(0, model.epochOf.length);
        const end = Math.min(endAt, model.epochOf.length);
        epochs.truncateEnd(end);
        check(0, end);
        expect(epochs.entries.every((entry) => entry.startOffset < end)).toBe(true);
        const start = Math.min(startAt, end);
        epochs.truncateStart(start);
        check(start, end);
        expect(epochs.entries.slice(1).every((entry) => entry.startOffset > start)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('ascend strictly in both columns whatever is assigned', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(10), fc.nat(10))), (assignments) => {
        const epochs = new LeaderEpochs();
        for (const [epoch, startOffset] of assignments) epochs.assign(epoch, startOffset);
        for (const [i, entry] of epochs.entries.entries()) {
          if (i === 0) continue;
          expect(entry.epoch).toBeGreaterThan(epochs.entries[i - 1]!.epoch);
          expect(entry.startOffset).toBeGreaterThan(epochs.entries[i - 1]!.startOffset);
        }
      }),
    );
  });
});

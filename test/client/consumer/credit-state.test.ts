import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CreditState } from '../../../client/consumer/credit-state.ts';

describe('credit', () => {
  test('is given back in portions: once what is pending is at least what remains', () => {
    const credit = new CreditState({ records: 10, bytes: 1000 });
    credit.onReceived(5, 50);
    for (let record = 1; record < 5; record += 1) expect(credit.onReleased(1, 10)).toBe(false);
    expect(credit.onReleased(1, 10)).toBe(true);
    expect(credit.take()).toEqual({ records: 5, bytes: 50 });
  });

  test('is not given back before it lets the broker send', () => {
    const credit = new CreditState({ records: 10, bytes: 1000 });
    // One large batch, which the broker may send whole.
    credit.onReceived(500, 900);
    for (let record = 1; record <= 490; record += 1) expect(credit.onReleased(1, 0)).toBe(false);
    expect(credit.onReleased(1, 0)).toBe(true);
  });

  test('never leaves a broker that could send without it, and never goes beyond what was given', () => {
    const given = { records: 20, bytes: 500 };
    const batch = fc.record({ records: fc.integer({ min: 1, max: 30 }), bytes: fc.integer({ min: 1, max: 800 }) });
    fc.assert(
      fc.property(fc.array(batch, { minLength: 1, maxLength: 60 }), fc.infiniteStream(fc.nat()), (batches, chance) => {
        const credit = new CreditState(given);
        let [records, bytes] = [given.records, given.bytes];
        const inWork: Array<{ records: number; bytes: number }> = [];
        const release = (done: { records: number; bytes: number }) => {
          if (!credit.onReleased(done.records, done.bytes)) return;
          const back = credit.take();
          records += back.records;
          bytes += back.bytes;
        };
        for (const each of batches) {
          // The broker sends as soon as it may; work ends until it does.
          while (records <= 0 || bytes <= 0) {
            expect(inWork.length).toBeGreaterThan(0);
            release(inWork.splice(chance.next().value! % inWork.length, 1)[0]!);
          }
          records -= each.records;
          bytes -= each.bytes;
          credit.onReceived(each.records, each.bytes);
          inWork.push(each);
          expect(records + inWork.reduce((sum, one) => sum + one.records, 0)).toBeLessThanOrEqual(given.records);
          expect(bytes + inWork.reduce((sum, one) => sum + one.bytes, 0)).toBeLessThanOrEqual(given.bytes);
        }
      }),
    );
  });
});

/** The stretch that is read, with a consumer that hands out what it is told. */
import { expect, test } from 'vitest';
import { scanPartition } from '../../../client/dead-letters/partition-scan.ts';
import type { Consumer, ConsumerRecord } from '../../../client/index.ts';
import { FakeClientClock } from '../../support/fake-client-clock.ts';

/** Each poll gives the next entry: offsets, and the position behind them. */
function setUp(polls: ReadonlyArray<{ readonly offsets: readonly number[]; readonly position: number }>) {
  const clock = new FakeClientClock();
  const assigned: unknown[] = [];
  const left = [...polls];
  let position = 10;
  const consumer = {
    assign: async (assignment: unknown) => void assigned.push(assignment),
    poll: async ({ timeoutMs = 0 } = {}) => {
      const next = left.shift();
      if (next === undefined) await clock.advance(timeoutMs);
      position = next?.position ?? position;
      return (next?.offsets ?? []).map((offset) => ({ offset }) as ConsumerRecord);
    },
    position: async () => position,
  } as unknown as Consumer;
  const scan = async (from: number, end: number) => {
    const seen: number[] = [];
    for await (const records of scanPartition(consumer, { topic: 't', partition: 1, from, end }, clock, 5000)) {
      expect(records.length).toBeGreaterThan(0);
      seen.push(...records.map(({ offset }) => offset));
    }
    return seen;
  };
  return { scan, assigned };
}

test('gives what lies between its ends, and nothing that came later', async () => {
  const { scan, assigned } = setUp([
    { offsets: [10, 11], position: 12 },
    { offsets: [], position: 12 },
    { offsets: [12, 13, 14, 15], position: 16 },
  ]);
  expect(await scan(10, 14)).toEqual([10, 11, 12, 13]);
  expect(assigned).toEqual([[{ topic: 't', partition: 1, from: { offset: 10 } }]]);
});

test('ends where the position does, also over offsets without records or where records were removed meanwhile', async () => {
  expect(await setUp([{ offsets: [10, 12], position: 20 }]).scan(10, 20)).toEqual([10, 12]);
  expect(await setUp([{ offsets: [30], position: 31 }]).scan(10, 20)).toEqual([]);
  expect(await setUp([]).scan(10, 10)).toEqual([]);
});

test('gives up with a typed error if nothing comes', async () => {
  await expect(setUp([{ offsets: [10], position: 11 }]).scan(10, 20)).rejects.toMatchObject({
    code: 'REQUEST_TIMED_OUT',
    fields: { topic: 't', partition: 1, offset: 11 },
  });
});

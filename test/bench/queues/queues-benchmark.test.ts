import { expect, test } from 'vitest';
import { measureBacklog } from '../../../bench/queues/backlog.ts';
import { measureFanout } from '../../../bench/queues/fanout.ts';
import { measureLatency } from '../../../bench/queues/latency.ts';
import { measureMessageGroups } from '../../../bench/queues/message-groups.ts';
import type { QueuesBenchmarkOptions } from '../../../bench/queues/options.ts';
import { measureThroughput } from '../../../bench/queues/throughput.ts';

const TINY: QueuesBenchmarkOptions = {
  rounds: 2,
  messages: 500,
  bodyBytes: 100,
  confirmsOutstanding: 50,
  prefetch: 20,
  ratesPerSecond: [500, 1000],
  latencySeconds: 0.2,
  fanoutMessages: 100,
  backlogMessages: 2000,
  groupMessages: 3000,
};

/** The rows of all tables in a part's page, without their heads. */
function rows(lines: readonly string[]): string[][] {
  const tables = lines.filter(
    (line, index) => line.startsWith('|') && !isHead(lines, index) && !/^\|[-:|]+\|$/.test(line),
  );
  return tables.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

function isHead(lines: readonly string[], index: number): boolean {
  return /^\|[-:|]+\|$/.test(lines[index + 1] ?? '');
}

test('throughput measures each way in each round', async () => {
  const { lines, data } = await measureThroughput(TINY);
  expect(data.throughput.map(({ name }) => name)).toEqual([
    'publish',
    'consume and acknowledge',
    'both at once (of each)',
  ]);
  for (const { rates } of data.throughput) {
    expect(rates).toHaveLength(TINY.rounds);
    for (const rate of rates) expect(rate).toBeGreaterThan(0);
  }
  expect(rows(lines)).toHaveLength(3);
});

test('latency counts every message but those that warm up, at each rate and flat out', async () => {
  const { lines, data } = await measureLatency({ ...TINY, rounds: 1 });
  expect(data.latency.map(({ name }) => name)).toEqual(['500 a second', '1,000 a second', 'flat out']);
  const counts = [100, 200, TINY.messages];
  for (const [index, { samples }] of data.latency.entries()) {
    expect(samples).toHaveLength(1);
    for (const { deliveries, confirms } of samples) {
      expect([deliveries.count, confirms.count]).toEqual([counts[index], counts[index]]);
      expect(deliveries.p50Ms).toBeGreaterThan(0);
      expect(deliveries.p99Ms).toBeGreaterThanOrEqual(deliveries.p50Ms);
      expect(deliveries.maxMs).toBeLessThan(30_000);
    }
  }
  // The schedule is kept: faster than it nothing can be sent.
  for (const { perSecond } of data.latency[0]!.samples) expect(perSecond).toBeLessThanOrEqual(510);
  expect(rows(lines)).toHaveLength(6);
});

test('fanout counts deliveries of all queues', async () => {
  const { lines, data } = await measureFanout(TINY);
  const { published, delivered } = data.fanout;
  expect([published.length, delivered.length]).toEqual([TINY.rounds, TINY.rounds]);
  expect(rows(lines)).toHaveLength(1);
});

test('the backlog goes through a stop, a kill and a kill while it is drained, and comes out whole', async () => {
  const { lines, data } = await measureBacklog(TINY);
  const { lives, drained, short } = data.backlog;
  expect(lives.map(({ after }) => after)).toEqual([
    'nothing',
    'SIGTERM',
    'kill -9',
    'kill -9 in the middle of draining',
  ]);
  for (const { readyMs, readyMib, peakMib } of lives) {
    expect(readyMs).toBeGreaterThan(0);
    expect(readyMib).toBeGreaterThan(0);
    expect(peakMib).toBeGreaterThanOrEqual(readyMib);
  }
  expect([drained.length, short.length]).toEqual([2, 2]);
  expect(rows(lines)).toHaveLength(6);
});

test('message groups: both queues in each round, and only the one without groups may mix up the order', async () => {
  const { lines, data } = await measureMessageGroups(TINY);
  const [plain, grouped] = data.messageGroups;
  expect([plain!.rates.length, grouped!.rates.length]).toEqual([TINY.rounds, TINY.rounds]);
  expect(grouped!.overtakings).toBe(0);
  expect(rows(lines)).toHaveLength(2);
});

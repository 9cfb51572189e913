import { describe, expect, it } from 'vitest';
import { type CompactionSabotage, simulateCompaction } from './compaction-simulation.ts';

const SEEDS = Number(process.env['BURROW_SIM_SEEDS'] ?? 1000);
const FIRST = Number(process.env['BURROW_SIM_FIRST'] ?? 1);

describe('compaction and retention on a failing disk', () => {
  it(`keep the newest of every key, over ${SEEDS} seeds`, { timeout: 600_000 }, async () => {
    const sums = { acknowledged: 0, crashes: 0, interrupted: 0, cleanings: 0 };
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const { acknowledged, crashes, interrupted, cleanings } = await simulateCompaction(seed);
      sums.acknowledged += acknowledged;
      sums.crashes += crashes;
      sums.interrupted += interrupted;
      sums.cleanings += cleanings;
      // A simulation never leaves the microtasks; the test runner wants to hear from its worker now and then.
      await new Promise((resolve) => setImmediate(resolve));
    }
    console.log(`${SEEDS} seeds: ${JSON.stringify(sums)}`);
    expect(sums.acknowledged).toBeGreaterThan(SEEDS * 10);
    expect(sums.crashes).toBeGreaterThan(SEEDS);
    expect(sums.cleanings).toBeGreaterThan(SEEDS);
    expect(sums.interrupted).toBeGreaterThan(SEEDS / 10);
  });

  it.each<[CompactionSabotage, RegExp]>([
    ['compacted-files-are-not-synced', /is lost|is gone|damaged|ends at/],
    ['folders-are-not-synced', /is lost|is gone|damaged|ends at|missing/],
  ])('are caught when %s', async (sabotage, symptom) => {
    const caught: string[] = [];
    for (let seed = 1; seed <= 60; seed++) {
      await simulateCompaction(seed, sabotage).catch((error: Error) => caught.push(error.message));
    }
    expect(caught.some((message) => symptom.test(message))).toBe(true);
  });

  it('replay a seed exactly', async () => {
    for (const seed of [3, 14, 159]) {
      const [first, second] = [await simulateCompaction(seed), await simulateCompaction(seed)];
      expect(second).toEqual(first);
    }
  });
});

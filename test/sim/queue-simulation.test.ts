import { describe, expect, it } from 'vitest';
import { type QueueSimulationOptions, simulateQueues } from './queue-simulation.ts';

const SEEDS = Number(process.env['BURROW_SIM_SEEDS'] ?? 300);
const FIRST = Number(process.env['BURROW_SIM_FIRST'] ?? 1);

describe('queues on a failing disk', () => {
  it(`keep what they promise, over ${SEEDS} seeds`, { timeout: 600_000 }, async () => {
    const sums = new Map<string, number>();
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const result = await simulateQueues({ seed });
      for (const [name, value] of Object.entries(result)) {
        if (typeof value === 'number') sums.set(name, (sums.get(name) ?? 0) + value);
      }
    }
    console.log(`${SEEDS} seeds: ${JSON.stringify(Object.fromEntries(sums))}`);
    for (const [name, sum] of sums) expect(sum, name).toBeGreaterThan(SEEDS / 3);
  });

  it.each([
    ['publishers are told before the sync', 'journal-is-not-synced', /is lost after a restart/],
    ['settlements are not stored', 'settlements-are-not-stored', /was settled, and is back/],
    ['the log is trimmed too early', 'floor-is-trimmed-too-early', /is lost after a restart|not where it should be/],
    ['a requeued message is forgotten', 'a-requeued-message-is-forgotten', /overtakes/],
    ['a consumer is forgotten', 'credit-is-forgotten', /do not drain/],
    ['a requeued message goes to the end', 'returns-are-put-at-the-end', /overtakes/],
    ['notes outlive their messages', 'notes-outlive-their-messages', /is lost after a restart/],
    ['a purge is not stored', 'purges-are-not-stored', /was settled, and is back/],
  ] as const)('are caught when %s', async (_, sabotage: QueueSimulationOptions['sabotage'] & string, expected) => {
    const caught: string[] = [];
    for (let seed = 1; seed <= 60 && !caught.some((message) => expected.test(message)); seed++) {
      await simulateQueues({ seed, sabotage }).catch((error: Error) => caught.push(error.message));
    }
    expect(caught.filter((message) => expected.test(message))).not.toEqual([]);
  });

  it('replay a seed exactly', async () => {
    for (const seed of [3, 14, 159]) {
      const [first, second] = [await simulateQueues({ seed }), await simulateQueues({ seed })];
      expect(second).toEqual(first);
    }
  });
});

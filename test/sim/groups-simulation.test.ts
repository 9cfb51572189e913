import { describe, expect, it } from 'vitest';
import { type GroupsSimulationOptions, simulateGroups } from './groups-simulation.ts';

const SEEDS = Number(process.env['BURROW_SIM_SEEDS'] ?? 200);
const FIRST = Number(process.env['BURROW_SIM_FIRST'] ?? 1);

describe('consumer groups on a failing disk', () => {
  it(`keep what they promise to their members, over ${SEEDS} seeds`, { timeout: 600_000 }, async () => {
    let assignments = 0;
    let commits = 0;
    let crashes = 0;
    let deletions = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const result = await simulateGroups({ seed });
      assignments += result.assignments;
      commits += result.commits;
      crashes += result.crashes;
      deletions += result.deletions;
    }
    console.log(
      `${SEEDS} seeds: ${assignments} assignments, ${commits} commits, ${crashes} crashes, ${deletions} deleted groups`,
    );
    expect(assignments).toBeGreaterThan(SEEDS);
    expect(commits).toBeGreaterThan(SEEDS);
    expect(crashes).toBeGreaterThan(SEEDS);
    expect(deletions).toBeGreaterThan(0);
  });

  it.each([
    [
      'commits are acknowledged before the sync',
      'journal-is-not-synced',
      /is lost|was assigned after|forgotten|changed/,
    ],
    ['members are not stored', 'groups-are-not-stored', /was assigned after|was forgotten/],
    ['a partition is given to two members', 'leaders-share-partitions', /own partition 0 in generation/],
  ] as const)('are caught when %s', async (_, sabotage: GroupsSimulationOptions['sabotage'] & string, expected) => {
    const caught: string[] = [];
    for (let seed = 1; seed <= 20; seed++) {
      await simulateGroups({ seed, sabotage }).catch((error: Error) => caught.push(error.message));
    }
    expect(caught.some((message) => expected.test(message))).toBe(true);
  });

  it('replay a seed exactly', async () => {
    for (const seed of [3, 14, 159]) {
      const [first, second] = [await simulateGroups({ seed }), await simulateGroups({ seed })];
      expect(second).toEqual(first);
    }
  });
});

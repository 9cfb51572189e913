import { expect, test } from 'vitest';
import { runGroupChurn } from '../soak/group-churn.ts';

test('20 members in 5 processes join, leave and are killed: no record is missed, no partition has two holders', {
  timeout: 120_000,
}, async () => {
  const seed = Number(process.env['BURROW_CHURN_SEED'] ?? Date.now() % 1_000_000);
  const result = await runGroupChurn({ seed, durationMs: 8000 }).catch((error: unknown) => {
    throw new Error(`seed ${seed} (npm run soak -- groups --seconds 60 --seed ${seed} makes the same choices)`, {
      cause: error,
    });
  });
  console.log(JSON.stringify(result));
  // The machinery did what it is there for; how much of it depends on the machine.
  expect(result.produced).toBeGreaterThan(500);
  for (const count of [result.joins, result.leaves, result.moves, result.generations]) expect(count).toBeGreaterThan(2);
});

test('records that nobody processed are noticed', { timeout: 120_000 }, async () => {
  const churn = runGroupChurn({
    seed: 1,
    durationMs: 500,
    processes: 1,
    membersMax: 2,
    partitions: 2,
    sabotageEvery: 7,
    drainMsMax: 2000,
  });
  await expect(churn).rejects.toThrow(/never processed/);
});

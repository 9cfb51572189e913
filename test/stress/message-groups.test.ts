import { expect, test } from 'vitest';
import { runMessageGroupsStorm } from '../soak/message-groups-storm.ts';

test('message groups keep their order while 20 consumers come, go and break, and the broker is killed', {
  timeout: 180_000,
}, async () => {
  const seed = Number(process.env['BURROW_STORM_SEED'] ?? Date.now() % 1_000_000);
  const result = await runMessageGroupsStorm({ seed, durationMs: 6000, kills: 2 }).catch((error: unknown) => {
    throw new Error(
      `seed ${seed} (npm run soak -- message-groups --seconds 60 --seed ${seed} makes the same choices)`,
      {
        cause: error,
      },
    );
  });
  console.log(JSON.stringify(result));
  // The machinery did what it is there for; how much of it depends on the machine.
  for (const [name, count] of Object.entries(result)) if (name !== 'seed') expect(count, name).toBeGreaterThan(0);
  expect(result.published).toBeGreaterThan(500);
});

test('messages of a key that are in process together are noticed', { timeout: 120_000 }, async () => {
  const storm = runMessageGroupsStorm({ seed: 1, durationMs: 3000, kills: 0, keys: 50, ungrouped: true });
  await expect(storm).rejects.toThrow(/in process|overtakes/);
});

import { describe, expect, it } from 'vitest';
import { type MessageGroupsStormOptions, stormMessageGroups } from './message-groups-storm.ts';

const SEEDS = Number(process.env['BURROW_SIM_SEEDS'] ?? 3);
const FIRST = Number(process.env['BURROW_SIM_FIRST'] ?? 1);

describe('message groups of 10,000 keys with 20 consumers that come, die, give back, reject and get stuck', () => {
  it(`keep one message of a key in process, their order, and every message, over ${SEEDS} seeds`, {
    timeout: 600_000,
  }, async () => {
    const sums = new Map<string, number>();
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const result = await stormMessageGroups({ seed });
      for (const [name, value] of Object.entries(result)) sums.set(name, (sums.get(name) ?? 0) + value);
    }
    console.log(`${SEEDS} seeds: ${JSON.stringify(Object.fromEntries(sums))}`);
    // Consumers here know at once what becomes of what they settle.
    sums.delete('lost');
    for (const [name, sum] of sums) expect(sum, name).toBeGreaterThanOrEqual(SEEDS);
  });

  it.each([
    ['a busy key is taken for free', 'a-busy-key-is-taken-for-free', /while .* is in process/],
    ['one that comes back gives its key away', 'a-returned-message-gives-its-key-away', /overtakes|in process/],
    [
      'one that waits is forgotten',
      'a-message-that-waits-for-its-key-is-forgotten',
      /never settled|do not flow|overtakes/,
    ],
    ['one that comes back is forgotten', 'a-requeued-message-is-forgotten', /never settled|do not flow/],
    ['settlements are not stored', 'settlements-are-not-stored', /although it is gone/],
  ] as const)(
    'are caught when %s',
    { timeout: 60_000 },
    async (_, sabotage: MessageGroupsStormOptions['sabotage'] & string, expected) => {
      const caught: string[] = [];
      for (let seed = 1; seed <= 10 && !caught.some((message) => expected.test(message)); seed++) {
        await stormMessageGroups({ seed, messages: 5000, keys: 1000, sabotage }).catch((error: Error) =>
          caught.push(error.message),
        );
      }
      expect(caught.filter((message) => expected.test(message))).not.toEqual([]);
    },
  );

  it('replay a seed exactly', async () => {
    const [first, second] = [
      await stormMessageGroups({ seed: 3, messages: 8000 }),
      await stormMessageGroups({ seed: 3, messages: 8000 }),
    ];
    expect(second).toEqual(first);
  });
});

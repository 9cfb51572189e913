import { expect, test } from 'vitest';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { systemRandom } from '../../../broker/ports/system-random.ts';

function draws(random: SeededRandom): unknown[] {
  return [
    random.fraction(),
    random.below(1000),
    random.between(-5, 5),
    random.bytes(4).toString('hex'),
    random.fork('x').fraction(),
  ];
}

test('a seed replays, neighbouring seeds differ, and a number is its text', () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 1000; seed++) {
    expect(draws(new SeededRandom(seed))).toEqual(draws(new SeededRandom(String(seed))));
    seen.add(JSON.stringify(draws(new SeededRandom(seed))));
  }
  expect(seen.size).toBe(1000);
});

test('the generator gives this sequence for good, so that a recorded seed stays worth something', () => {
  const random = new SeededRandom('burrow');
  expect(draws(random)).toMatchInlineSnapshot(`
    [
      0.08352585246741984,
      946,
      -4,
      "5d539639",
      0.6798992128219868,
    ]
  `);
});

test('draws are spread evenly over their range, also across seeds', () => {
  const buckets = new Array<number>(10).fill(0);
  const first = new Array<number>(10).fill(0);
  const random = new SeededRandom(1);
  for (let i = 0; i < 100_000; i++) buckets[random.below(10)]!++;
  for (let seed = 0; seed < 100_000; seed++) first[new SeededRandom(seed).below(10)]!++;
  for (const count of [...buckets, ...first]) {
    expect(count).toBeGreaterThan(9_600);
    expect(count).toBeLessThan(10_400);
  }
});

test('helpers stay within their bounds', () => {
  const random = new SeededRandom('bounds');
  const seen = new Set<number>();
  for (let i = 0; i < 1000; i++) seen.add(random.between(3, 6));
  expect([...seen].sort()).toEqual([3, 4, 5, 6]);
  expect(random.chance(0)).toBe(false);
  expect(random.chance(1)).toBe(true);
  expect(['a', 'b']).toContain(random.pick(['a', 'b']));
  expect(() => random.pick([])).toThrow(RangeError);
  expect(random.shuffle([1, 2, 3, 4, 5]).sort()).toEqual([1, 2, 3, 4, 5]);
  expect(random.bytes(33)).toHaveLength(33);
});

test('forks are independent of the draws made after them, and of each other', () => {
  const one = new SeededRandom(7);
  const other = new SeededRandom(7);
  const forkOfOne = one.fork('disk');
  const forkOfOther = other.fork('disk');
  other.fraction();
  expect(forkOfOne.bytes(16)).toEqual(forkOfOther.bytes(16));
  const third = new SeededRandom(7);
  expect(third.fork('network').bytes(16)).not.toEqual(new SeededRandom(7).fork('disk').bytes(16));
});

test('the system draws fractions and bytes', () => {
  const fraction = systemRandom.fraction();
  expect(fraction).toBeGreaterThanOrEqual(0);
  expect(fraction).toBeLessThan(1);
  expect(systemRandom.bytes(16)).toHaveLength(16);
  expect(systemRandom.bytes(16)).not.toEqual(systemRandom.bytes(16));
});

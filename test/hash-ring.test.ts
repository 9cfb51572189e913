import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HashRing } from '../src/hash-ring.ts';

const KEYS = Array.from({ length: 20_000 }, (_, index) => `key-${index}`);

function ringOf(names: Iterable<string>, weight = 1): HashRing<string> {
  const ring = new HashRing<string>();
  for (const name of names) ring.set(name, name, weight);
  return ring;
}

function shares(ring: HashRing<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of KEYS) counts.set(ring.get(key)!, (counts.get(ring.get(key)!) ?? 0) + 1);
  return counts;
}

describe('a hash ring', () => {
  test('without nodes has no answer', () => {
    expect(new HashRing().get('key')).toBeUndefined();
    expect(new HashRing().getMany('key', 2)).toEqual([]);
  });

  test('spreads keys evenly over nodes of one weight', () => {
    const names = Array.from({ length: 10 }, (_, index) => `node-${index}`);
    const counts = shares(ringOf(names, 4));
    for (const name of names) {
      expect(counts.get(name), name).toBeGreaterThan(0.7 * (KEYS.length / 10));
      expect(counts.get(name), name).toBeLessThan(1.3 * (KEYS.length / 10));
    }
  });

  test('gives a node of three times the weight three times the keys', () => {
    const ring = new HashRing<string>({ pointsPerWeight: 400 });
    ring.set('light', 'light', 1);
    ring.set('heavy', 'heavy', 3);
    const counts = shares(ring);
    const ratio = counts.get('heavy')! / counts.get('light')!;
    expect(ratio).toBeGreaterThan(2.6);
    expect(ratio).toBeLessThan(3.4);
  });

  test('a new node takes about its share of the keys, and only it gets any', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ maxLength: 12 }), { minLength: 2, maxLength: 12 }), (names) => {
        const [added, ...others] = names as [string, ...string[]];
        const ring = ringOf(others, 4);
        const before = KEYS.map((key) => ring.get(key));
        ring.set(added, added, 4);
        let moved = 0;
        for (const [index, key] of KEYS.entries()) {
          const now = ring.get(key)!;
          if (now === before[index]) continue;
          moved++;
          if (now !== added) throw new Error(`${key} moved to ${now}, which was there before`);
        }
        const share = moved / KEYS.length;
        expect(share).toBeGreaterThan(0.55 / names.length);
        expect(share).toBeLessThan(1.6 / names.length);
      }),
      { numRuns: 50 },
    );
  });

  test('takes back exactly what was added', () => {
    const weighted = fc.uniqueArray(fc.tuple(fc.string({ maxLength: 8 }), fc.integer({ min: 1, max: 5 })), {
      selector: ([name]) => name,
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(weighted, fc.string(), fc.integer({ min: 1, max: 5 }), (members, other, weight) => {
        fc.pre(!members.some(([name]) => name === other));
        const ring = new HashRing<string>({ pointsPerWeight: 8 });
        for (const [name, own] of members) ring.set(name, name, own);
        const before = KEYS.slice(0, 200).map((key) => ring.get(key));
        ring.set(other, other, weight);
        expect(ring.count).toBe(members.length + 1);
        expect(ring.delete(other)).toBe(true);
        expect(ring.delete(other)).toBe(false);
        expect(KEYS.slice(0, 200).map((key) => ring.get(key))).toEqual(before);
      }),
      { numRuns: 200 },
    );
  });

  test('does not depend on the order in which nodes were added', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 10 }), (names) => {
        const forwards = ringOf(names);
        const backwards = ringOf([...names].reverse());
        for (const key of KEYS.slice(0, 200)) expect(backwards.get(key)).toBe(forwards.get(key));
      }),
      { numRuns: 50 },
    );
  });

  test('nor where two nodes meet at one position', () => {
    // The only points of these two are the same, so one of them gets everything.
    const names = ['node-9929', 'node-12769'];
    const owners = [names, [...names].reverse()].map((order) => {
      const ring = new HashRing<string>({ pointsPerWeight: 1 });
      for (const name of order) ring.set(name, name);
      return [...new Set(KEYS.slice(0, 50).map((key) => ring.get(key)))];
    });
    expect(owners).toEqual([['node-12769'], ['node-12769']]);
  });

  test('a node that gets another weight keeps its place', () => {
    const ring = ringOf(['a', 'b']);
    ring.set('a', 'a', 3);
    expect(ring.count).toBe(2);
    const fresh = ringOf(['b']);
    fresh.set('a', 'a', 3);
    for (const key of KEYS.slice(0, 500)) expect(ring.get(key)).toBe(fresh.get(key));
  });

  test('names different nodes for copies, the owner first', () => {
    const ring = ringOf(['a', 'b', 'c', 'd']);
    for (const key of KEYS.slice(0, 100)) {
      const nodes = ring.getMany(key, 3);
      expect(nodes[0]).toBe(ring.get(key));
      expect(new Set(nodes).size).toBe(3);
      expect(new Set(ring.getMany(key, 9))).toEqual(new Set(['a', 'b', 'c', 'd']));
    }
  });

  test.each([0, -1, 1.5, Number.NaN])('refuses a weight of %s', (weight) => {
    expect(() => new HashRing<string>().set('a', 'a', weight)).toThrow(RangeError);
  });
});

import { expect, test } from 'vitest';
import { closestName, didYouMean } from '../../src/closest-name.ts';

test('finds the name behind a slip of the fingers', () => {
  const names = ['produce', 'consume', 'topic', 'start'];
  expect(['prodcue', 'Consume', 'topics', 'strat', 'tpic'].map((name) => closestName(name, names))).toEqual([
    'produce',
    'consume',
    'topic',
    'start',
    'topic',
  ]);
});

test('says nothing where nothing is near', () => {
  expect(closestName('frobnicate', ['produce', 'topic'])).toBeUndefined();
  expect(didYouMean('x'.repeat(1_000_000), ['produce'])).toBe('');
  expect(didYouMean('port', [])).toBe('');
});

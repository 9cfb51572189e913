import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compilePattern } from '../../../broker/definitions/policy-pattern.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

describe('the pattern of a policy', () => {
  test.each([
    ['', ['', 'anything'], []],
    ['.*', ['', 'orders'], []],
    ['^orders', ['orders', 'orders.eu'], ['my.orders']],
    ['orders', ['orders', 'my.orders.eu'], ['order']],
    ['^(orders|invoices)\\.(eu|us)$', ['orders.eu', 'invoices.us'], ['orders.', 'orders.eu.x', 'ordersxeu']],
    ['^(?!amq\\.).*', ['orders', 'xamq.'], ['amq.topic']],
    ['^(?=.*\\.eu$)orders', ['orders.eu'], ['orders.us', 'x.orders.eu']],
    ['^q[0-9]{2,3}$', ['q12', 'q123'], ['q1', 'q1234', 'qab']],
    ['^a{2}b{0}c{1,}$', ['aac', 'aacc'], ['ac', 'aabc', 'aa']],
    ['^[^a-c]+$', ['xyz', '-'], ['a', 'xbx', '']],
    ['^[]a]$', [']', 'a'], ['b', '']],
    ['^[a\\-z]+$', ['a-z'], ['b']],
    ['^[\\w.-]+$', ['a_B.9-'], ['a b', '']],
    ['^\\d+\\s\\w\\W$', ['12 a.'], ['12 ab', '12a.']],
    ['\\bred\\b', ['red', 'dark red'], ['redder', 'bored']],
    ['\\Bred', ['bored'], ['red']],
    ['^(?:ab)*?c$', ['c', 'ababc'], ['abac']],
    ['^a|b$', ['ax', 'xb'], ['xa', 'bx']],
    ['a||b', ['', 'x'], []],
    ['(a*)*b', ['b', 'aab'], ['aaa', '']],
    ['^\\^\\$\\.\\*$', ['^$.*'], ['x']],
    ['^a{,2}$', ['a{,2}'], ['a', 'aa']],
  ])('%s matches %j and not %j', (source, matching, others) => {
    const pattern = compilePattern(source);
    for (const name of matching) expect(pattern.matches(name), name).toBe(true);
    for (const name of others) expect(pattern.matches(name), name).toBe(false);
  });

  const leaf = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\w', '\\.', '^', '$', '\\b');
  const { tree } = fc.letrec<{ tree: string; choice: string; repeated: string }>((tie) => ({
    tree: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('choice'), tie('repeated')),
    choice: fc
      .tuple(
        fc.constantFrom('(', '(?:', '(?=', '(?!'),
        fc.array(fc.array(tie('tree'), { maxLength: 3 }), { minLength: 1, maxLength: 3 }),
      )
      .map(([open, branches]) => `${open}${branches.map((parts) => parts.join('')).join('|')})`),
    repeated: fc
      .tuple(
        fc.oneof(
          fc.constantFrom('a', 'b', '.', '[ab]'),
          fc.array(tie('tree'), { maxLength: 2 }).map((parts) => `(${parts.join('')})`),
        ),
        fc.constantFrom('*', '+', '?', '{2}', '{1,2}', '{1,}', '*?'),
      )
      .map((parts) => parts.join('')),
  }));

  test('means what it means to JavaScript', () => {
    fc.assert(
      fc.property(
        fc.array(tree, { maxLength: 4 }).map((parts) => parts.join('')),
        fc.array(fc.array(fc.constantFrom('a', 'b', '.', '_'), { maxLength: 6 }), { minLength: 1, maxLength: 5 }),
        (source, names) => {
          fc.pre(source.length <= 60);
          const pattern = compilePattern(source);
          const theirs = new RegExp(source);
          for (const name of names)
            expect(pattern.matches(name.join('')), name.join('')).toBe(theirs.test(name.join('')));
        },
      ),
      { numRuns: 5000 },
    );
  });

  test.each([
    '(a+)+$',
    '^(a|a)*$',
    '(a|aa)+$',
    `${'a?'.repeat(60)}${'a'.repeat(60)}b`,
    '.*.*.*.*.*.*.*.*b',
    '(?=(a*)*c)',
    '(x+x+)+y|(a*)*b',
  ])('no pattern makes the broker wait: %s', (source) => {
    // With backtracking, years. If it came to that, the test would time out.
    expect(compilePattern(source).matches(`${'a'.repeat(254)}!`)).toBe(false);
  });

  test.each([
    '(',
    ')',
    'a)',
    '(?<a>b)',
    '(?<=a)b',
    '[',
    '[a',
    '[b-a]',
    '*a',
    '+',
    'a\\',
    '\\1',
    '\\p{L}',
    'a{3,2}',
    'a'.repeat(256),
    '(((a{50}){50}){50}){50}',
    'a{1999}b{1999}',
    '('.repeat(60) + ')'.repeat(60),
  ])('%s is refused', (source) => {
    expect(() => compilePattern(source)).toThrow(
      expect.toSatisfy((error: unknown) => isBurrowError(error, 'INVALID_ARGUMENT')),
    );
  });

  test('any text is a pattern or refused', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'ab()[]{}|*+?^$.\\-,0123:=!<dwsbB'), maxLength: 30 }),
        (source) => {
          try {
            compilePattern(source).matches('abba.0');
          } catch (error) {
            if (!isBurrowError(error, 'INVALID_ARGUMENT')) throw error;
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MatchedBinding } from '../../../broker/exchanges/binding-matcher.ts';
import { TopicTrie } from '../../../broker/exchanges/topic-trie.ts';
import { binding, destination, matches, message } from './bindings-bed.ts';

/** One pattern and one key at a time, word by word, as the specification says it. */
function matchesNaively(pattern: string, key: string): boolean {
  const split = (text: string): string[] => (text === '' ? [] : text.split('.'));
  const words = (patternWords: string[], keyWords: string[]): boolean => {
    const [first, ...rest] = patternWords;
    if (first === undefined) return keyWords.length === 0;
    if (first === '#') return words(rest, keyWords) || (keyWords.length > 0 && words(patternWords, keyWords.slice(1)));
    return keyWords.length > 0 && wordMatches(first, keyWords[0]!) && words(rest, keyWords.slice(1));
  };
  return words(split(pattern), split(key));
}

function wordMatches(pattern: string, word: string): boolean {
  if (pattern === '') return word === '';
  if (pattern.startsWith('*')) {
    return wordMatches(pattern.slice(1), word) || (word !== '' && wordMatches(pattern, word.slice(1)));
  }
  return word.startsWith(pattern[0]!) && wordMatches(pattern.slice(1), word.slice(1));
}

function trieOf(...patterns: string[]): TopicTrie {
  const trie = new TopicTrie();
  for (const pattern of patterns) trie.add(binding(destination(pattern), pattern));
  return trie;
}

describe('topic bindings', () => {
  test.each([
    ['stock.usd.nyse', ['stock.usd.nyse'], ['stock.usd', 'stock.usd.nyse.x', 'stock.eur.nyse', '']],
    ['*.stock.#', ['usd.stock', 'eur.stock.db', 'eur.stock.db.x'], ['stock.nasdaq', 'stock', 'a.b.stock']],
    ['#', ['', 'a', 'a.b.c', '.', '..'], []],
    ['*', ['a', '*', '#'], ['', 'a.b']],
    ['a.#', ['a', 'a.b', 'a.b.c', 'a.'], ['', 'b', 'ab']],
    ['#.a', ['a', 'b.a', '.a'], ['', 'a.b']],
    ['a.#.b', ['a.b', 'a.x.b', 'a.b.b'], ['a', 'b', 'ab']],
    ['#.#', ['', 'a', 'a.b'], []],
    ['#.*.#', ['a', 'a.b'], ['']],
    ['', [''], ['a', '.']],
    ['.', ['.'], ['', 'a', '..']],
    ['*.*', ['a.b', '.', 'a.'], ['a', 'a.b.c', '']],
    ['a#', ['a#'], ['a', 'ab']],
  ])('%s matches %j and not %j', (pattern, matching, others) => {
    for (const key of matching) expect(matches(trieOf(pattern), message(key)), key).toEqual([pattern]);
    for (const key of others) expect(matches(trieOf(pattern), message(key)), key).toEqual([]);
  });

  test.each([
    ['*123', ['xyz123', '123', '123123'], ['xyz12', '123x', 'a.123', '']],
    ['abc*', ['abc', 'abcd'], ['ab', 'xabc', 'abc.d']],
    ['a*c', ['ac', 'abc', 'accc', 'a*c'], ['ab', 'c', 'acb']],
    ['order.a*b*c.#', ['order.abc', 'order.aXbYc.z'], ['order.acb', 'order']],
    ['**', ['a', ''.padEnd(200, 'a')], ['', 'a.b']],
  ])(
    'a star inside a word stands for any run of its characters: %s matches %j and not %j',
    (pattern, matching, others) => {
      for (const key of matching) expect(matches(trieOf(pattern), message(key)), key).toEqual([pattern]);
      for (const key of others) expect(matches(trieOf(pattern), message(key)), key).toEqual([]);
    },
  );

  const word = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('a', 'b', '*', '#', '') },
    { weight: 1, arbitrary: fc.constantFrom('a*', '*b', 'a*b', '**', '*a*', 'ab', 'a#') },
  );
  const keyWord = fc.constantFrom('a', 'b', 'ab', 'aab', '', 'ba', '#', '*');
  const pattern = fc.array(word, { maxLength: 6 }).map((words) => words.join('.'));
  const key = fc.array(keyWord, { maxLength: 7 }).map((words) => words.join('.'));

  test('match as one pattern at a time does, while bindings come and go', () => {
    fc.assert(
      fc.property(
        fc.array(pattern, { maxLength: 20 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        fc.array(key, { minLength: 1, maxLength: 6 }),
        (patterns, removals, keys) => {
          const trie = new TopicTrie();
          const present = new Set<MatchedBinding>();
          for (const [index, text] of patterns.entries()) {
            const added = binding(destination(`${index % 7}`), text);
            trie.add(added);
            present.add(added);
          }
          const check = (): void => {
            for (const text of keys) {
              const expected = [...present]
                .filter(({ bindingKey }) => matchesNaively(bindingKey, text))
                .map(({ destination: { name } }) => name);
              expect(matches(trie, message(text)), text).toEqual([...new Set(expected)].sort());
            }
          };
          check();
          for (const removal of removals) {
            const gone = [...present][removal % Math.max(1, present.size)];
            if (gone === undefined) break;
            trie.remove(gone);
            present.delete(gone);
          }
          check();
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('leave nothing behind when they are removed', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 15 }), (patterns) => {
        const trie = new TopicTrie();
        const bindings = patterns.map((text, index) => binding(destination(`${index}`), text));
        for (const added of bindings) trie.add(added);
        for (const added of bindings) trie.remove(added);
        expect(trie.nodeCount).toBe(1);
      }),
      { numRuns: 500 },
    );
  });

  test('are counted: a queue bound twice stays until both are gone', () => {
    const trie = new TopicTrie();
    const queue = destination('q');
    const first = binding(queue, 'a.#.#');
    const second = binding(queue, 'a.#');
    trie.add(first);
    trie.add(second);
    trie.remove(first);
    expect(matches(trie, message('a.b'))).toEqual(['q']);
    trie.remove(second);
    expect(matches(trie, message('a.b'))).toEqual([]);
  });

  test('no key makes matching explode', () => {
    const trie = new TopicTrie();
    // As many words as fit into 255 bytes: a matcher that tries every split would not come back.
    trie.add(binding(destination('q'), Array.from({ length: 63 }, () => '#.a').join('.')));
    trie.add(binding(destination('r'), Array.from({ length: 127 }, () => '*').join('.')));
    const words = Array.from({ length: 127 }, () => 'a');
    expect(matches(trie, message(words.join('.')))).toEqual(['q', 'r']);
    expect(matches(trie, message(`${words.join('.')}.b`.slice(-255)))).toEqual([]);
    expect(trie.nodesEntered).toBeLessThan(2 * 128 * 256);
  });

  test('the work for a message does not grow with bindings that have other words', () => {
    const trie = new TopicTrie();
    for (const text of ['#.error', 'app.*.info', 'app.#']) trie.add(binding(destination(text), text));
    matches(trie, message('app.web.error'));
    const before = trie.nodesEntered;
    for (let index = 0; index < 20_000; index++) trie.add(binding(destination(`q${index}`), `tenant.${index}.*`));
    matches(trie, message('app.web.error'));
    expect(trie.nodesEntered - before).toBe(before);
  });
});

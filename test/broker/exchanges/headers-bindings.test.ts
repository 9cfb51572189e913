import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MatchedBinding } from '../../../broker/exchanges/binding-matcher.ts';
import { HeadersBindings } from '../../../broker/exchanges/headers-bindings.ts';
import type { FieldTable, FieldValue } from '../../../src/messages/field-value.ts';
import { binding, destination, matches, message, table } from './bindings-bed.ts';

/** One binding at a time, as rabbit_exchange_type_headers.erl tells it, for values that are plain. */
function matchesNaively(args: FieldTable, headers: FieldTable): boolean {
  const kind = String(args.get('x-match') ?? 'all');
  const hits: boolean[] = [];
  for (const [name, wanted] of args) {
    if (name === 'x-match' || (name.startsWith('x-') && !kind.endsWith('-with-x'))) continue;
    hits.push(headers.has(name) && (wanted === null || headers.get(name) === wanted));
  }
  return kind.startsWith('all') ? hits.every(Boolean) : hits.some(Boolean);
}

function matching(args: Readonly<Record<string, FieldValue>>, headers: Readonly<Record<string, FieldValue>>): boolean {
  const bindings = new HeadersBindings();
  bindings.add(binding(destination('q'), '', table(args)));
  return matches(bindings, message('', { headers: table(headers) })).length === 1;
}

describe('headers bindings', () => {
  test('match on all arguments unless x-match says otherwise', () => {
    const args = { format: 'pdf', type: 'report' };
    expect(matching(args, { format: 'pdf', type: 'report', more: 1 })).toBe(true);
    expect(matching(args, { format: 'pdf' })).toBe(false);
    expect(matching(args, { format: 'pdf', type: 'log' })).toBe(false);
    expect(matching({ ...args, 'x-match': 'all' }, { format: 'pdf' })).toBe(false);
    expect(matching({ ...args, 'x-match': 'any' }, { format: 'pdf' })).toBe(true);
    expect(matching({ ...args, 'x-match': 'any' }, { format: 'zip' })).toBe(false);
  });

  test('all of no arguments matches everything, any of none nothing', () => {
    const bindings = new HeadersBindings();
    bindings.add(binding(destination('all'), '', table({ 'x-match': 'all' })));
    bindings.add(binding(destination('any'), '', table({ 'x-match': 'any' })));
    expect(matches(bindings, message(''))).toEqual(['all']);
    expect(matches(bindings, message('', { headers: table({ a: 1 }) }))).toEqual(['all']);
  });

  test('arguments that begin with x- count only with all-with-x and any-with-x', () => {
    expect(matching({ 'x-tenant': 'a', b: 1, 'x-match': 'all' }, { b: 1 })).toBe(true);
    expect(matching({ 'x-tenant': 'a', b: 1, 'x-match': 'all-with-x' }, { b: 1 })).toBe(false);
    expect(matching({ 'x-tenant': 'a', b: 1, 'x-match': 'all-with-x' }, { b: 1, 'x-tenant': 'a' })).toBe(true);
    expect(matching({ 'x-tenant': 'a', 'x-match': 'any' }, { 'x-tenant': 'a' })).toBe(false);
    expect(matching({ 'x-tenant': 'a', 'x-match': 'any-with-x' }, { 'x-tenant': 'a' })).toBe(true);
  });

  test('an argument without a value asks for the header only', () => {
    expect(matching({ trace: null }, { trace: 'anything' })).toBe(true);
    expect(matching({ trace: null }, { trace: null })).toBe(true);
    expect(matching({ trace: null }, { other: 1 })).toBe(false);
    expect(matching({ trace: 'x' }, { trace: null })).toBe(false);
  });

  test.each<[FieldValue, FieldValue, boolean]>([
    [1, 1, true],
    [1, 1n, true],
    [2n ** 60n, 2n ** 60n, true],
    [2n ** 60n, 2n ** 60n + 1n, false],
    [1, '1', false],
    [true, 1, false],
    [true, true, true],
    [0, -0, true],
    ['ä', new TextEncoder().encode('ä'), true],
    [new Uint8Array([0xff, 1]), new Uint8Array([0xff, 1]), true],
    [new Uint8Array([0xff, 1]), new Uint8Array([0xfe, 1]), false],
    [5, { type: 'timestamp', seconds: 5 }, true],
    [{ type: 'decimal', scale: 1, value: 5 }, { type: 'decimal', scale: 1, value: 5 }, true],
    [{ type: 'decimal', scale: 1, value: 5 }, { type: 'decimal', scale: 2, value: 5 }, false],
    [[1, 'a', [null]], [1, 'a', [null]], true],
    [[1, 'a'], ['a', 1], false],
    [table({ a: 1, b: 2 }), table({ b: 2, a: 1 }), true],
    [table({ a: 1 }), table({ a: 2 }), false],
  ])('the value %o and the header %o are the same: %s', (wanted, header, same) => {
    expect(matching({ h: wanted }, { h: header })).toBe(same);
    expect(matching({ h: wanted, 'x-match': 'any' }, { h: header })).toBe(same);
  });

  const value = fc.constantFrom<FieldValue>('a', 'b', 1, 2, true, null);
  const name = fc.constantFrom('h', 'i', 'j', 'x-k', '__proto__');
  const entries = fc.uniqueArray(fc.tuple(name, value), { selector: ([text]) => text, maxLength: 4 });
  const kinds = fc.constantFrom(undefined, 'all', 'any', 'all-with-x', 'any-with-x');
  const args = fc
    .tuple(entries, kinds)
    .map(([fields, kind]) => new Map(kind === undefined ? fields : [...fields, ['x-match', kind] as const]));

  test('match as one binding at a time does, while bindings come and go', () => {
    fc.assert(
      fc.property(
        fc.array(args, { maxLength: 15 }),
        fc.array(fc.nat(), { maxLength: 15 }),
        fc.array(entries, { minLength: 1, maxLength: 5 }),
        (tables, removals, messages) => {
          const bindings = new HeadersBindings();
          const present = new Set<MatchedBinding>();
          for (const [index, fields] of tables.entries()) {
            const added = binding(destination(`${index % 5}`), '', fields);
            bindings.add(added);
            present.add(added);
          }
          const check = (): void => {
            for (const fields of messages) {
              const headers = new Map(fields);
              const expected = [...present]
                .filter((candidate) => matchesNaively(candidate.arguments, headers))
                .map((candidate) => candidate.destination.name);
              expect(matches(bindings, message('', { headers }))).toEqual([...new Set(expected)].sort());
            }
          };
          check();
          for (const removal of removals) {
            const gone = [...present][removal % Math.max(1, present.size)];
            if (gone === undefined) break;
            bindings.remove(gone);
            present.delete(gone);
          }
          check();
        },
      ),
      { numRuns: 4000 },
    );
  });

  test('only bindings that share an argument with the message are tried', () => {
    const bindings = new HeadersBindings();
    for (let index = 0; index < 5000; index++) {
      bindings.add(binding(destination(`q${index}`), '', table({ format: 'pdf', id: index })));
    }
    expect(matches(bindings, message('', { headers: table({ format: 'pdf', id: 77 }) }))).toEqual(['q77']);
    // The first binding stands under its format, the others under their ids.
    expect(bindings.tried).toBe(2);
  });
});

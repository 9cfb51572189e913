import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeStored, encodeStored } from '../../../broker/definitions/stored-definition.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';
import type { FieldTable, FieldValue } from '../../../src/messages/field-value.ts';

function roundTrip(table: FieldTable): FieldTable {
  return decodeStored('key', encodeStored({ kind: 'x' }, table), (_fields, read) => read);
}

const { value } = fc.letrec<{ value: FieldValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.integer(),
    fc.double().filter((number) => !Object.is(number, -0)),
    fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
    fc.uint8Array({ maxLength: 5 }),
    fc.nat().map((seconds) => ({ type: 'timestamp' as const, seconds })),
    fc
      .tuple(fc.nat({ max: 255 }), fc.integer())
      .map(([scale, number]) => ({ type: 'decimal' as const, scale, value: number })),
    fc.array(tie('value'), { maxLength: 3 }),
    fc
      .array(fc.tuple(fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor')), tie('value')), {
        maxLength: 3,
      })
      .map((entries) => new Map(entries)),
  ),
}));

describe('a stored definition', () => {
  test('keeps every value a field table can have', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), value), { maxLength: 5 }), (entries) => {
        const table = new Map(entries);
        expect(roundTrip(table)).toEqual(table);
      }),
      { numRuns: 3000 },
    );
    expect(roundTrip(new Map([['__proto__', 1]])).get('__proto__')).toBe(1);
  });

  test.each([
    ['', 'STORAGE_CORRUPT'],
    ['[]', 'STORAGE_CORRUPT'],
    ['{}', 'STORAGE_CORRUPT'],
    ['{"format":1}', 'STORAGE_CORRUPT'],
    ['{"format":1,"arguments":[]}', 'STORAGE_CORRUPT'],
    ['{"format":1,"arguments":{"a":{}}}', 'STORAGE_CORRUPT'],
    ['{"format":1,"arguments":{"a":{"long":"x"}}}', 'STORAGE_CORRUPT'],
    ['{"format":1,"arguments":{"a":{"double":"1"}}}', 'STORAGE_CORRUPT'],
    ['{"format":1,"arguments":{"a":{"decimal":[1]}}}', 'STORAGE_CORRUPT'],
    ['{"format":1,"arguments":{"a":{"timestamp":-1}}}', 'STORAGE_CORRUPT'],
    ['{"format":1,"arguments":{"a":{"long":"1","bytes":""}}}', 'STORAGE_CORRUPT'],
    ['{"format":2,"arguments":{}}', 'DATA_FOLDER_VERSION'],
  ] as const)('%s is refused with %s', (text, code) => {
    expect(() => decodeStored('key', text, () => 0)).toThrow(
      expect.toSatisfy((error: unknown) => isBurrowError(error, code)),
    );
  });
});

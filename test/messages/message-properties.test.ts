import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import { checkFieldTable, decodeFieldTable, editFieldTable, encodeFieldTable } from '../../src/messages/field-table.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';
import {
  checkProperties,
  decodeProperties,
  editProperties,
  encodeProperties,
  type MessageProperties,
  textProperty,
} from '../../src/messages/message-properties.ts';
import { RoutableProperties } from '../../src/messages/routable-properties.ts';

const text = fc.string({ unit: 'binary', maxLength: 60 });
const { value } = fc.letrec<{ value: FieldValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    text,
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.integer(),
    fc.double({ noNaN: true }).filter((number) => !Number.isInteger(number)),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
    fc.constant(null),
    fc.uint8Array({ maxLength: 10 }),
    fc.record({ type: fc.constant('timestamp' as const), seconds: fc.nat() }),
    fc.record({ type: fc.constant('decimal' as const), scale: fc.nat(255), value: fc.integer() }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(text, tie('value')), { maxLength: 4 }).map((entries): FieldTable => new Map(entries)),
  ),
}));
const table = fc.array(fc.tuple(text, value), { maxLength: 6 }).map((entries): FieldTable => new Map(entries));
const short = fc.string({ unit: 'binary', maxLength: 60 });
const properties: fc.Arbitrary<MessageProperties> = fc.record(
  {
    contentType: short,
    contentEncoding: short,
    headers: table,
    deliveryMode: fc.nat(255),
    priority: fc.nat(255),
    correlationId: short,
    replyTo: short,
    expiration: short,
    messageId: short,
    timestamp: fc.nat(),
    type: short,
    userId: short,
    appId: short,
    clusterId: short,
  },
  { requiredKeys: [] },
);

describe('field tables', () => {
  test('come back as they were', () => {
    fc.assert(
      fc.property(table, (given) => {
        const bytes = encodeFieldTable(given);
        checkFieldTable(bytes, 0, bytes.length);
        expect(decodeFieldTable(bytes, 0, bytes.length)).toEqual(given);
      }),
    );
  });

  test('that are edited keep the bytes of what stays', () => {
    fc.assert(
      fc.property(table, text, value, (given, name, changed) => {
        const bytes = encodeFieldTable(given);
        const edited = editFieldTable(bytes, 0, bytes.length, new Map([[name, changed]]));
        const expected = new Map(given);
        expected.delete(name);
        expected.set(name, changed);
        expect(Buffer.compare(edited, encodeFieldTable(expected))).toBe(0);
        const removed = editFieldTable(bytes, 0, bytes.length, new Map([[name, undefined]]));
        expected.delete(name);
        expect(Buffer.compare(removed, encodeFieldTable(expected))).toBe(0);
      }),
    );
  });

  test('know all types of RabbitMQ', () => {
    const entries: ReadonlyArray<readonly [string, number[], FieldValue]> = [
      ['t', [1], true],
      ['b', [0xff], -1],
      ['B', [0xff], 255],
      ['s', [0xff, 0xfe], -2],
      ['u', [0xff, 0xfe], 65_534],
      ['I', [0xff, 0xff, 0xff, 0xfd], -3],
      ['i', [0xff, 0xff, 0xff, 0xfd], 4_294_967_293],
      ['l', [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 2n ** 63n - 1n],
      ['L', [0, 0, 0, 0, 0, 0, 0, 5], 5],
      ['f', [0x3f, 0x80, 0, 0], 1],
      ['d', [0x3f, 0xe0, 0, 0, 0, 0, 0, 0], 0.5],
      ['D', [2, 0, 0, 0, 7], { type: 'decimal', scale: 2, value: 7 }],
      ['S', [0, 0, 0, 1, 0x61], 'a'],
      ['x', [0, 0, 0, 1, 0x61], Uint8Array.of(0x61)],
      ['A', [0, 0, 0, 2, 0x74, 0], [false]],
      ['F', [0, 0, 0, 3, 1, 0x6b, 0x56], new Map([['k', null]])],
      ['T', [0, 0, 0, 0, 0, 0, 0, 9], { type: 'timestamp', seconds: 9 }],
      ['V', [], null],
    ];
    for (const [type, bytes, expected] of entries) {
      const encoded = Buffer.from([1, 0x6e, type.charCodeAt(0), ...bytes]);
      expect(decodeFieldTable(encoded, 0, encoded.length).get('n'), type).toEqual(expected);
      const kept = editFieldTable(encoded, 0, encoded.length, new Map([['other', null]]));
      expect(Buffer.compare(kept.subarray(0, encoded.length), encoded)).toBe(0);
    }
  });

  test('may nest 32 deep, and no deeper', () => {
    const nested = (depth: number): Buffer => {
      let bytes = Buffer.alloc(0);
      for (let index = 0; index < depth; index++) {
        const head = Buffer.from([1, 0x6e, 0x46, 0, 0, 0, 0]);
        head.writeUInt32BE(bytes.length, 3);
        bytes = Buffer.concat([head, bytes]);
      }
      return bytes;
    };
    expect(() => checkFieldTable(nested(32), 0, nested(32).length)).not.toThrow();
    for (const check of [checkFieldTable, decodeFieldTable]) {
      expect(() => check(nested(1000), 0, nested(1000).length)).toThrow(/nest deeper than 32/);
    }
  });
});

describe('properties', () => {
  test('come back as they were, whole and field by field', () => {
    fc.assert(
      fc.property(properties, (given) => {
        const bytes = encodeProperties(given);
        checkProperties(bytes, 0, bytes.length);
        expect(decodeProperties(bytes)).toEqual(given);
        expect(textProperty(bytes, 0, bytes.length, 'expiration')).toEqual(given.expiration);
        expect(textProperty(bytes, 0, bytes.length, 'clusterId')).toEqual(given.clusterId);
        const routable = new RoutableProperties().set('key', bytes);
        expect(routable).toMatchObject({
          headers: given.headers,
          messageId: given.messageId,
          correlationId: given.correlationId,
          timestampSeconds: given.timestamp,
        });
      }),
    );
  });

  test('that are edited are as if they had been written so', () => {
    fc.assert(
      fc.property(properties, properties, text, value, (given, set, name, header) => {
        const { headers: _, ...fields } = set;
        const edited = editProperties(encodeProperties(given), {
          set: fields,
          remove: ['appId'],
          headers: new Map([[name, header]]),
        });
        const headers = new Map(given.headers ?? []);
        headers.delete(name);
        headers.set(name, header);
        const { appId: __, ...rest } = given;
        expect(decodeProperties(edited)).toEqual({ ...rest, ...fields, headers });
        checkProperties(edited, 0, edited.length);
      }),
    );
  });

  test('of any bytes are refused by type, or can be read', () => {
    const spoilt = fc
      .tuple(properties, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(4))
      .map(([given, changes, cut]) => {
        const bytes = Buffer.from(encodeProperties(given));
        for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        return bytes.subarray(0, Math.max(0, bytes.length - cut));
      });
    fc.assert(
      fc.property(fc.oneof(spoilt, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        try {
          checkProperties(bytes, 0, bytes.length);
        } catch (error) {
          expect(isBurrowError(error, 'MALFORMED_FRAME')).toBe(true);
          return;
        }
        decodeProperties(bytes);
        editProperties(bytes, { headers: new Map([['a', 'b']]) });
      }),
      { numRuns: 5000 },
    );
  });

  test('that do not fit are refused', () => {
    expect(() => encodeProperties({ messageId: 'x'.repeat(256) })).toThrow(/messageId has 256 bytes/);
    expect(() => encodeProperties({ priority: 256 })).toThrow(/priority must be a whole number from 0 to 255/);
    expect(() => encodeProperties({ headers: new Map([['n', 2n ** 64n]]) })).toThrow(/64 bits/);
  });
});

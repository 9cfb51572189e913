import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { messageOf, recordHeadersOf } from '../../broker/queues/record-mapping.ts';
import type { FieldValue } from '../../src/messages/field-value.ts';
import { decodeProperties, encodeProperties, type MessageProperties } from '../../src/messages/message-properties.ts';
import type { RecordHeader } from '../../src/records/record-header.ts';

const RECORD = { partition: 2, offset: 7, timestampMs: 5500, key: null, value: null, headers: [] };

function textsOf(headers: readonly RecordHeader[]): Array<[string, string | null]> {
  return headers.map(({ key, value }) => [key, value === null ? null : Buffer.from(value).toString()]);
}

describe('a message that becomes a record', () => {
  test('has its headers there, strings as they are and others as text', () => {
    const headers = new Map<string, FieldValue>([
      ['text', 'häuser'],
      ['bytes', Buffer.from('raw')],
      ['nothing', null],
      ['yes', true],
      ['count', 42],
      ['large', 2n ** 62n],
      ['half', 0.5],
      ['price', { type: 'decimal', scale: 2, value: -5 }],
      ['when', { type: 'timestamp', seconds: 1_700_000_000 }],
      ['list', ['a', 1, 2n ** 62n, Buffer.from([255])]],
      ['table', new Map<string, FieldValue>([['__proto__', null]])],
      ['amqp-priority', 'forged'],
    ]);
    const properties = encodeProperties({ headers });
    expect(textsOf(recordHeadersOf({ exchange: '', routingKey: undefined, properties }))).toEqual([
      ['text', 'häuser'],
      ['bytes', 'raw'],
      ['nothing', null],
      ['yes', 'true'],
      ['count', '42'],
      ['large', String(2n ** 62n)],
      ['half', '0.5'],
      ['price', '-0.05'],
      ['when', '1700000000'],
      ['list', '["a",1,"4611686018427387904","/w=="]'],
      ['table', '{"__proto__":null}'],
    ]);
  });

  test('has its exchange and properties under names of their own', () => {
    const properties = encodeProperties({ contentType: 'text/plain', priority: 3, timestamp: 99, messageId: 'm' });
    expect(textsOf(recordHeadersOf({ exchange: 'x', routingKey: 'k', properties }))).toEqual([
      ['amqp-exchange', 'x'],
      ['amqp-routing-key', 'k'],
      ['amqp-content-type', 'text/plain'],
      ['amqp-message-id', 'm'],
      ['amqp-priority', '3'],
      ['amqp-timestamp', '99'],
    ]);
  });
});

describe('a record that becomes a message', () => {
  test('has its key as routing key, and tells where it stands', () => {
    const key = Buffer.from('order.1');
    const value = Buffer.from('body');
    const headers = [
      { key: 'a', value: Buffer.from('first') },
      { key: 'a', value: Buffer.from('last') },
      { key: 'raw', value: Buffer.from([255, 0]) },
      { key: 'null', value: null },
      { key: 'n'.repeat(256), value: null },
    ];
    const message = messageOf({ ...RECORD, key, value, headers });
    expect(message).toMatchObject({ exchange: '', routingKey: 'order.1', body: [value] });
    expect(decodeProperties(message.properties)).toEqual({
      timestamp: 5,
      headers: new Map<string, FieldValue>([
        ['a', 'last'],
        ['raw', new Uint8Array([255, 0])],
        ['null', null],
        ['x-stream-offset', 7],
        ['x-stream-partition', 2],
      ]),
    });
  });

  test('keeps a key that is no routing key in a header, and says that it is a tombstone', () => {
    for (const key of [Buffer.from([255]), Buffer.alloc(256, 'x')]) {
      const message = messageOf({ ...RECORD, key });
      expect(message).toMatchObject({ routingKey: '', body: [] });
      const { headers } = decodeProperties(message.properties);
      expect(headers!.get('x-record-key')).toEqual(new Uint8Array(key));
      expect(headers!.get('x-tombstone')).toBe(true);
    }
    expect(messageOf(RECORD).routingKey).toBe('');
  });

  test('drops properties that AMQP does not allow', () => {
    const headers = [
      { key: 'amqp-priority', value: Buffer.from('256') },
      { key: 'amqp-delivery-mode', value: Buffer.from('two') },
      { key: 'amqp-timestamp', value: Buffer.from('9'.repeat(17)) },
      { key: 'amqp-content-type', value: Buffer.alloc(256, 'x') },
      { key: 'amqp-exchange', value: Buffer.from([255]) },
      { key: 'amqp-user-id', value: null },
    ];
    const { exchange, properties } = messageOf({ ...RECORD, timestampMs: -1, headers });
    expect(exchange).toBe('');
    expect(Object.keys(decodeProperties(properties))).toEqual(['headers']);
  });

  test('is the message again that it came from', () => {
    const short = fc.string({ maxLength: 20, unit: 'grapheme' });
    const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    const bytes = fc.uint8Array({ maxLength: 10 }).filter((value) => value.some((byte) => byte > 0xf7));
    const header = fc.tuple(
      short.filter((name) => !/^(amqp|x-)/.test(name)),
      fc.oneof(short, bytes, fc.constant(null)),
    );
    const fields = fc.record({
      contentType: optional(short),
      contentEncoding: optional(short),
      deliveryMode: optional(fc.nat(255)),
      priority: optional(fc.nat(255)),
      correlationId: optional(short),
      replyTo: optional(short),
      expiration: optional(short),
      messageId: optional(short),
      timestamp: optional(fc.maxSafeNat()),
      type: optional(short),
      userId: optional(short),
      appId: optional(short),
      clusterId: optional(short),
    });
    fc.assert(
      fc.property(
        fields,
        fc.array(header, { maxLength: 5 }),
        short,
        short,
        fc.boolean(),
        (some, list, exchange, routingKey, byKey) => {
          const headers = new Map<string, FieldValue>(list);
          const properties = encodeProperties({ ...some, headers } as MessageProperties);
          const recordHeaders = recordHeadersOf({ exchange, routingKey: byKey ? undefined : routingKey, properties });
          const key = Buffer.from(byKey ? routingKey : 'another');
          const message = messageOf({ ...RECORD, key, value: Buffer.from('b'), headers: recordHeaders });
          expect([message.exchange, message.routingKey]).toEqual([exchange, routingKey]);
          const back = decodeProperties(message.properties);
          const expected = Object.fromEntries(
            Object.entries({ ...some, timestamp: some.timestamp ?? 5 }).filter(([, value]) => value !== undefined),
          );
          expect({ ...back, headers: undefined }).toEqual({ ...expected, headers: undefined });
          const backHeaders = new Map(back.headers);
          expect(backHeaders.delete('x-stream-offset') && backHeaders.delete('x-stream-partition')).toBe(true);
          expect(backHeaders).toEqual(headers);
        },
      ),
    );
  });
});

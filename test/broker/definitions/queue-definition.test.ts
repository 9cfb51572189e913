import { describe, expect, test } from 'vitest';
import { QUEUE_ARGUMENTS } from '../../../broker/definitions/queue-arguments.ts';
import {
  checkQueue,
  checkSameQueue,
  decodeQueue,
  encodeQueue,
  isStoredQueue,
  type QueueDefinition,
} from '../../../broker/definitions/queue-definition.ts';
import { resolveQueueSettings } from '../../../broker/definitions/queue-settings.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { FieldValue } from '../../../src/messages/field-value.ts';
import { table } from '../exchanges/bindings-bed.ts';

type Fields = Readonly<Record<string, FieldValue>>;

function queue(args: Fields = {}, more: Partial<QueueDefinition> = {}): QueueDefinition {
  return { name: 'q', durable: true, exclusive: false, autoDelete: false, arguments: table(args), ...more };
}

function refusal(call: () => void): string {
  try {
    call();
  } catch (error) {
    return error instanceof BurrowError ? `${error.code} ${error.message}` : String(error);
  }
  return 'none';
}

const declared = (args: Fields, more: Partial<QueueDefinition> = {}): string =>
  refusal(() => checkQueue('/', queue(args, more)));

describe('the declaration of a queue', () => {
  test.each<[Fields]>([
    [{}],
    [{ 'x-message-ttl': 0, 'x-expires': 1, 'x-max-length': 0, 'x-max-length-bytes': 2 ** 40 }],
    [{ 'x-message-ttl': 315_360_000_000, 'x-expires': 315_360_000_000 }],
    [{ 'x-overflow': 'reject-publish', 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'k' }],
    [{ 'x-dead-letter-exchange': 'dlx', 'x-dead-letter-strategy': 'at-least-once' }],
    [{ 'x-max-priority': 0 }],
    [{ 'x-max-priority': 255, 'x-single-active-consumer': true }],
    [{ 'x-queue-type': 'quorum', 'x-delivery-limit': -1, 'x-consumer-timeout': 60_000, 'x-max-priority': 5 }],
    [{ 'x-delayed-retry-type': 'failed', 'x-delayed-retry-min': 100, 'x-delayed-retry-max': 1000 }],
    [{ 'x-queue-type': 'stream', 'x-max-age': '7D', 'x-max-length-bytes': 10, 'x-stream-max-segment-size-bytes': 1 }],
    [{ 'x-queue-mode': 'lazy', 'x-queue-leader-locator': 'balanced', 'x-queue-version': 2 }],
    [{ 'x-message-deduplication': true, 'x-cache-size': 1000, 'x-cache-ttl': 1000, 'x-cache-persistence': 'disk' }],
    [{ 'x-deduplication-header': 'id', 'x-group-key-header': 'customer' }],
    [{ 'x-group-key-header': '' }],
    [{ 'x-nobody-knows': [1], other: null }],
  ])('takes %o', (args) => {
    expect(declared(args)).toBe('none');
  });

  test.each<[Fields, RegExp]>([
    [{ 'x-message-ttl': -1 }, /invalid arg 'x-message-ttl' for queue 'q' in vhost '\/': -1 is less than 0/],
    [{ 'x-message-ttl': '1000' }, /'x-message-ttl'.*expected integer, got string/],
    [{ 'x-message-ttl': 1.5 }, /'x-message-ttl'.*expected integer, got double/],
    [{ 'x-message-ttl': 315_360_000_001 }, /'x-message-ttl'.*is more than 315360000000/],
    [{ 'x-message-ttl': 2n ** 60n }, /'x-message-ttl'.*is more than/],
    [{ 'x-expires': 0 }, /'x-expires'.*0 is less than 1/],
    [{ 'x-max-length': -1 }, /'x-max-length'/],
    [{ 'x-max-length-bytes': true }, /'x-max-length-bytes'.*expected integer, got boolean/],
    [{ 'x-overflow': 'drop' }, /'x-overflow'.*expected one of drop-head, reject-publish, reject-publish-dlx/],
    [{ 'x-overflow': 5 }, /'x-overflow'/],
    [
      { 'x-dead-letter-exchange': 5 },
      /invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '\/'/,
    ],
    [{ 'x-dead-letter-exchange': 'x'.repeat(256) }, /'x-dead-letter-exchange'.*255 bytes/],
    [{ 'x-dead-letter-routing-key': 'k' }, /'x-dead-letter-routing-key'.*needs x-dead-letter-exchange/],
    [{ 'x-dead-letter-exchange': 'x', 'x-dead-letter-routing-key': 5 }, /'x-dead-letter-routing-key'/],
    [{ 'x-dead-letter-strategy': 'never' }, /'x-dead-letter-strategy'/],
    [{ 'x-max-priority': 256 }, /'x-max-priority'.*256 is more than 255/],
    [{ 'x-max-priority': -1 }, /'x-max-priority'.*-1 is less than 0/],
    [{ 'x-single-active-consumer': 'yes' }, /'x-single-active-consumer'.*expected true or false/],
    [
      { 'x-queue-type': 'mirrored' },
      /'x-queue-type'.*unsupported queue type 'mirrored', expected one of classic, quorum, stream/,
    ],
    [{ 'x-queue-type': null }, /'x-queue-type'/],
    [{ 'x-delivery-limit': -2 }, /'x-delivery-limit'/],
    [{ 'x-consumer-timeout': -1 }, /'x-consumer-timeout'/],
    [{ 'x-delayed-retry-type': 'some' }, /'x-delayed-retry-type'/],
    [{ 'x-delayed-retry-min': 'a' }, /'x-delayed-retry-min'/],
    [{ 'x-delayed-retry-max': -1 }, /'x-delayed-retry-max'/],
    [{ 'x-queue-type': 'stream', 'x-max-age': '7' }, /'x-max-age'.*expected a time such as 7D/],
    [{ 'x-queue-type': 'stream', 'x-max-age': '0D' }, /'x-max-age'/],
    [{ 'x-queue-type': 'stream', 'x-max-age': 7 }, /'x-max-age'/],
    [{ 'x-queue-type': 'stream', 'x-max-age': '999999999999999Y' }, /'x-max-age'/],
    [{ 'x-queue-mode': 'eager' }, /'x-queue-mode'.*unsupported queue mode 'eager'/],
    [{ 'x-queue-version': 3 }, /'x-queue-version'.*unsupported queue version '3'/],
    [{ 'x-cache-size': 0 }, /'x-cache-size'/],
    [{ 'x-cache-size': 10_000_001 }, /'x-cache-size'/],
    [{ 'x-cache-ttl': 0 }, /'x-cache-ttl'/],
    [{ 'x-group-key-header': 7 }, /'x-group-key-header'.*expected a string, got integer/],
    [{ 'x-max-age': '7D' }, /invalid arg 'x-max-age' for queue 'q' in vhost '\/' of queue type classic/],
    [{ 'x-queue-type': 'stream', 'x-max-priority': 5 }, /'x-max-priority'.* of queue type stream/],
    [{ 'x-queue-type': 'stream', 'x-dead-letter-exchange': 'x' }, /'x-dead-letter-exchange'.* of queue type stream/],
  ])('refuses %o', (args, message) => {
    const text = declared(args);
    expect(text).toMatch(/^INVALID_ARGUMENT /);
    expect(text).toMatch(message);
  });

  test('quorum queues and streams are durable, not exclusive and not auto-delete', () => {
    for (const type of ['quorum', 'stream']) {
      const args = { 'x-queue-type': type };
      expect(declared(args)).toBe('none');
      expect(declared(args, { durable: false })).toMatch(/invalid property 'non-durable' for queue 'q' in vhost '\/'/);
      expect(declared(args, { exclusive: true })).toMatch(/invalid property 'exclusive-owner'/);
      expect(declared(args, { autoDelete: true })).toMatch(/invalid property 'auto-delete'/);
    }
    expect(declared({}, { durable: false, exclusive: true, autoDelete: true })).toBe('none');
    expect(declared({}, { durable: false })).toBe('none');
  });

  test('a name has at most 255 bytes of UTF-8', () => {
    expect(declared({}, { name: 'ä'.repeat(127) })).toBe('none');
    expect(declared({}, { name: 'ä'.repeat(128) })).toMatch(/^INVALID_NAME .*255 bytes/);
    expect(declared({}, { name: '\ud800' })).toMatch(/^INVALID_NAME .*well-formed/);
  });

  test('is stored if it is durable and not exclusive', () => {
    expect(isStoredQueue(queue())).toBe(true);
    expect(isStoredQueue(queue({}, { autoDelete: true }))).toBe(true);
    expect(isStoredQueue(queue({}, { exclusive: true }))).toBe(false);
    expect(isStoredQueue(queue({}, { durable: false }))).toBe(false);
  });

  test('comes back from storage as it was', () => {
    const stored = queue(
      { 'x-message-ttl': 5, 'x-max-length': 2n ** 50n, note: [1, table({ a: null })] },
      { autoDelete: true },
    );
    expect(decodeQueue('amqp/queues/1/q', 'q', encodeQueue(stored))).toEqual(stored);
  });
});

describe('the same queue declared again', () => {
  const again = (current: QueueDefinition, next: QueueDefinition): string =>
    refusal(() => checkSameQueue('/', current, next));

  test('is fine if it says the same', () => {
    expect(again(queue({ 'x-max-length': 5 }), queue({ 'x-max-length': 5n, 'x-unknown': 1 }))).toBe('none');
    expect(again(queue(), queue({ 'x-queue-type': 'classic' }))).toBe('none');
    expect(again(queue({ 'x-queue-type': 'classic' }), queue())).toBe('none');
  });

  test.each<[QueueDefinition, QueueDefinition, string]>([
    [
      queue(),
      queue({}, { durable: false }),
      "'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
    ],
    [
      queue(),
      queue({}, { autoDelete: true }),
      "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
    ],
    [
      queue(),
      queue({ 'x-max-priority': 2 }),
      "'x-max-priority' for queue 'q' in vhost '/': received the value '2' of type 'signedint' but current is none",
    ],
    [
      queue({ 'x-dead-letter-exchange': 'dlx' }),
      queue(),
      "'x-dead-letter-exchange' for queue 'q' in vhost '/': received none but current is the value 'dlx' of type 'longstr'",
    ],
    [
      queue({ 'x-message-ttl': 10 }),
      queue({ 'x-message-ttl': 20 }),
      "'x-message-ttl' for queue 'q' in vhost '/': received '20' but current is '10'",
    ],
    [
      queue({ 'x-queue-type': 'quorum' }),
      queue(),
      "'x-queue-type' for queue 'q' in vhost '/': received 'classic' but current is 'quorum'",
    ],
  ])('%# is refused in RabbitMQ’s words', (current, next, text) => {
    expect(again(current, next)).toBe(`DECLARED_DIFFERENTLY inequivalent arg ${text}`);
  });
});

describe('the settings of a queue', () => {
  const policy = (definition: Fields) => ({
    name: 'p',
    pattern: '',
    applyTo: 'all' as const,
    priority: 0,
    definition: table(definition),
  });

  test('are its arguments, and defaults', () => {
    expect(resolveQueueSettings(table())).toMatchObject({
      queueType: 'classic',
      messageTtlMs: undefined,
      overflow: 'drop-head',
      deadLetterStrategy: 'at-most-once',
      deliveryLimit: undefined,
      singleActiveConsumer: false,
      delayedRetryType: 'disabled',
      messageDeduplication: false,
    });
    expect(resolveQueueSettings(table({ 'x-queue-type': 'quorum' })).deliveryLimit).toBe(20);
    expect(
      resolveQueueSettings(table({ 'x-queue-type': 'quorum', 'x-delivery-limit': -1 })).deliveryLimit,
    ).toBeUndefined();
    expect(resolveQueueSettings(table({ 'x-queue-type': 'stream', 'x-max-age': '2h' })).maxAgeMs).toBe(7_200_000);
  });

  test('each setting comes from its argument', () => {
    const sample = new Map<string, FieldValue>([
      ['queue-type', 'quorum'],
      ['overflow', 'reject-publish'],
      ['dead-letter-exchange', 'dlx'],
      ['dead-letter-routing-key', 'key'],
      ['dead-letter-strategy', 'at-most-once'],
      ['single-active-consumer', true],
      ['delayed-retry-type', 'all'],
      ['max-age', '1s'],
      ['message-deduplication', true],
      ['deduplication-header', 'id'],
      ['group-key-header', 'customer'],
      ['topic', 'log'],
    ]);
    for (const { name, setting } of QUEUE_ARGUMENTS.values()) {
      if (setting === undefined) continue;
      const value = sample.get(name) ?? 77;
      const settings = resolveQueueSettings(table({ [`x-${name}`]: value }));
      expect(settings[setting], name).toBe(name === 'max-age' ? 1000 : value);
    }
  });

  test.each<[Fields, Fields, Fields]>([
    // Limits: the smaller wins.
    [{ 'x-message-ttl': 10 }, { 'message-ttl': 5 }, { messageTtlMs: 5 }],
    [{ 'x-message-ttl': 5 }, { 'message-ttl': 10 }, { messageTtlMs: 5 }],
    [{ 'x-expires': 10 }, { expires: 5 }, { expiresMs: 5 }],
    [{ 'x-max-length': 10 }, { 'max-length': 0 }, { maxLength: 0 }],
    [{ 'x-max-length-bytes': 10 }, { 'max-length-bytes': 20 }, { maxLengthBytes: 10 }],
    [{ 'x-consumer-timeout': 10 }, { 'consumer-timeout': 5 }, { consumerTimeoutMs: 5 }],
    [{ 'x-queue-type': 'stream', 'x-max-age': '1D' }, { 'max-age': '1h' }, { maxAgeMs: 3_600_000 }],
    // No limit is negative, and gives way to one.
    [{ 'x-delivery-limit': 10 }, { 'delivery-limit': 5 }, { deliveryLimit: 5 }],
    [{ 'x-delivery-limit': -1 }, { 'delivery-limit': 5 }, { deliveryLimit: 5 }],
    [{ 'x-delivery-limit': -1 }, { 'delivery-limit': -1 }, { deliveryLimit: undefined as unknown as null }],
    // Names and choices: the argument wins, but for what RabbitMQ's quorum queues and streams do.
    [{ 'x-dead-letter-exchange': 'a' }, { 'dead-letter-exchange': 'b' }, { deadLetterExchange: 'a' }],
    [{ 'x-overflow': 'drop-head' }, { overflow: 'reject-publish' }, { overflow: 'drop-head' }],
    [
      { 'x-queue-type': 'quorum', 'x-overflow': 'drop-head' },
      { overflow: 'reject-publish' },
      { overflow: 'reject-publish' },
    ],
    [
      { 'x-queue-type': 'stream', 'x-stream-max-segment-size-bytes': 1 },
      { 'stream-max-segment-size-bytes': 2 },
      { streamMaxSegmentSizeBytes: 2 },
    ],
    // What only one of them says.
    [{}, { 'message-ttl': 5, 'dead-letter-routing-key': 'k' }, { messageTtlMs: 5, deadLetterRoutingKey: 'k' }],
    [{ 'x-message-ttl': 5 }, { 'max-length': 7 }, { messageTtlMs: 5, maxLength: 7 }],
    // Not for policies.
    [
      {},
      { 'max-priority': 5, 'queue-type': 'quorum' },
      { maxPriority: undefined as unknown as null, queueType: 'classic' },
    ],
  ])('of arguments %o and policy %o are %o', (args, definition, expected) => {
    expect(resolveQueueSettings(table(args), policy(definition))).toMatchObject(expected);
  });
});

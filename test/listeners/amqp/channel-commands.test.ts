/** What a channel's methods do where RabbitMQ says more than AMQP 0-9-1. The side-by-side run compares; these need no RabbitMQ. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../../../broker/index.ts';
import type { MethodArguments, MethodName } from '../../../broker/listeners/amqp/methods.ts';
import { type FieldTable, type FieldValue, NO_FIELDS } from '../../../src/messages/field-value.ts';
import { decodeProperties, encodeProperties } from '../../../src/messages/message-properties.ts';
import { bodyFrame, headerFrame, methodFrame, RawClient } from './raw-client.ts';

const DECLARATION = {
  queue: 'q',
  passive: false,
  durable: false,
  exclusive: false,
  autoDelete: false,
  noWait: false,
  arguments: NO_FIELDS,
};
const CONSUMPTION = {
  queue: 'q',
  consumerTag: 'c',
  noLocal: false,
  noAck: false,
  exclusive: false,
  noWait: false,
  arguments: NO_FIELDS,
};

class Bed {
  readonly client: RawClient;

  constructor(client: RawClient) {
    this.client = client;
  }

  call<N extends MethodName, A extends MethodName>(name: N, args: MethodArguments<N>, answer: A, channel = 1) {
    this.client.method(channel, name, args);
    return this.client.expect(answer, channel);
  }

  declare(more: Partial<MethodArguments<'queue.declare'>>) {
    return this.call('queue.declare', { ...DECLARATION, ...more }, 'queue.declare-ok');
  }

  declareRefused(more: Partial<MethodArguments<'queue.declare'>>) {
    return this.call('queue.declare', { ...DECLARATION, ...more }, 'channel.close');
  }

  consume(more: Partial<MethodArguments<'basic.consume'>> = {}) {
    return this.call('basic.consume', { ...CONSUMPTION, ...more }, 'basic.consume-ok');
  }

  publish(routingKey: string, exchange = '', properties: Uint8Array = Buffer.alloc(2)): void {
    const args = { exchange, routingKey, mandatory: false, immediate: false };
    this.client.send(
      methodFrame(1, 'basic.publish', args),
      headerFrame(1, 1, properties),
      bodyFrame(1, Buffer.from('x')),
    );
  }

  /** The message behind a method that has one. */
  async properties() {
    const { payload } = await this.client.frame();
    await this.client.frame();
    return decodeProperties(payload, 12);
  }
}

async function open(): Promise<Bed & { connect(): Promise<Bed> }> {
  const broker = await startBroker({ storage: 'memory', amqpPort: 0 });
  const clients: RawClient[] = [];
  onTestFinished(async () => {
    for (const client of clients) client.socket.destroy();
    await broker.close();
  });
  const connect = async (): Promise<Bed> => {
    const client = await RawClient.open(broker.ports.amqp!);
    clients.push(client);
    await client.openChannel(1);
    return new Bed(client);
  };
  return Object.assign(await connect(), { connect });
}

function table(entries: { readonly [name: string]: FieldValue }): FieldTable {
  return new Map(Object.entries(entries));
}

describe('queue.declare', () => {
  test('takes line ends out of names, as all methods with names do', async () => {
    const bed = await open();
    expect(await bed.declare({ queue: 'a\r\nb' })).toMatchObject({ queue: 'ab' });
    const binding = { queue: 'a\nb', exchange: 'amq.\rdirect', routingKey: 'k\n', noWait: false, arguments: NO_FIELDS };
    await bed.call('queue.bind', binding, 'queue.bind-ok');
    await bed.call(
      'queue.delete',
      { queue: 'ab\n', ifUnused: false, ifEmpty: false, noWait: false },
      'queue.delete-ok',
    );
    expect(await bed.declareRefused({ queue: 'ab', passive: true })).toMatchObject({ replyCode: 404 });
  });

  test('passive with an empty name means that name, not the last queue', async () => {
    const bed = await open();
    await bed.declare({});
    expect(await bed.declareRefused({ queue: '', passive: true })).toMatchObject({
      replyText: "NOT_FOUND - no queue '' in vhost '/'",
    });
  });

  test('makes up no names for quorum queues and streams', async () => {
    for (const type of ['quorum', 'stream']) {
      const bed = await open();
      const refusal = await bed.declareRefused({
        queue: '',
        durable: true,
        arguments: table({ 'x-queue-type': type }),
      });
      expect(refusal).toMatchObject({ replyCode: 406 });
    }
  });

  test.each([
    [true, false],
    [false, true],
  ])('is 405 for one’s own queue if exclusive is %s and was %s', async (exclusive, before) => {
    const bed = await open();
    await bed.declare({ exclusive: before });
    expect(await bed.declareRefused({ exclusive })).toMatchObject({ replyCode: 405 });
  });

  test('tells whether somebody waits for direct replies, also others', async () => {
    const bed = await open();
    await bed.declare({ queue: 'questions' });
    expect(await bed.declare({ queue: 'amq.rabbitmq.reply-to' })).toMatchObject({ messageCount: 0, consumerCount: 1 });
    await bed.consume({ queue: 'amq.rabbitmq.reply-to', noAck: true });
    bed.publish('questions', '', encodeProperties({ replyTo: 'amq.rabbitmq.reply-to' }));
    await bed.call('basic.get', { queue: 'questions', noAck: true }, 'basic.get-ok');
    const { replyTo } = await bed.properties();
    const other = await bed.connect();
    expect(await other.declare({ queue: replyTo!, passive: true })).toMatchObject({ queue: replyTo, consumerCount: 1 });
    expect(await other.declareRefused({ queue: `${replyTo}x`, passive: true })).toMatchObject({ replyCode: 404 });
  });
});

describe('deliveries', () => {
  test.each([
    ['classic', undefined],
    ['quorum', 1],
  ])('from a %s queue tell of returns: %s', async (type, count) => {
    const bed = await open();
    await bed.declare({ durable: true, arguments: table({ 'x-queue-type': type }) });
    bed.publish('q');
    await bed.call('basic.get', { queue: 'q', noAck: false }, 'basic.get-ok');
    expect((await bed.properties()).headers).toBeUndefined();
    bed.client.method(1, 'basic.reject', { deliveryTag: 1, requeue: true });
    expect(await bed.call('basic.get', { queue: 'q', noAck: false }, 'basic.get-ok')).toMatchObject({
      redelivered: true,
    });
    const { payload } = await bed.client.frame();
    await bed.client.frame();
    expect(decodeProperties(payload, 12).headers?.get('x-delivery-count')).toBe(count);
    // As a 64-bit integer.
    expect(payload.includes('x-delivery-countl')).toBe(count !== undefined);
  });

  test('come behind the answers to qos and recover that bring them about', async () => {
    const bed = await open();
    await bed.declare({});
    await bed.call('basic.qos', { prefetchSize: 0, prefetchCount: 1, global: true }, 'basic.qos-ok');
    await bed.consume();
    for (let count = 0; count < 2; count++) bed.publish('q');
    await bed.client.expect('basic.deliver', 1);
    await bed.properties();
    await bed.call('basic.qos', { prefetchSize: 0, prefetchCount: 0, global: true }, 'basic.qos-ok');
    await bed.client.expect('basic.deliver', 1);
    await bed.properties();
    await bed.call('basic.recover', { requeue: true }, 'basic.recover-ok');
    await bed.client.expect('basic.deliver', 1);
  });

  test('have priorities that are whole numbers, and not nothing', async () => {
    for (const priority of ['5', 1.5, null]) {
      const bed = await open();
      await bed.declare({});
      const args = { ...CONSUMPTION, arguments: table({ 'x-priority': priority }) };
      expect(await bed.call('basic.consume', args, 'channel.close')).toMatchObject({ replyCode: 406 });
    }
  });
});

describe('a transaction', () => {
  test('refuses at once what is published to no exchange, and settled without a delivery', async () => {
    const bed = await open();
    await bed.call('tx.select', {}, 'tx.select-ok');
    bed.publish('k', 'none');
    expect(await bed.client.expect('channel.close', 1)).toMatchObject({ replyCode: 404, classId: 60, methodId: 40 });
    const other = await bed.connect();
    await other.call('tx.select', {}, 'tx.select-ok');
    expect(await other.call('basic.ack', { deliveryTag: 7, multiple: false }, 'channel.close')).toMatchObject({
      replyCode: 406,
      classId: 60,
      methodId: 80,
    });
  });

  test('closes the channel if a full queue takes not all of it', async () => {
    const bed = await open();
    await bed.declare({ arguments: table({ 'x-max-length': 0, 'x-overflow': 'reject-publish' }) });
    await bed.call('tx.select', {}, 'tx.select-ok');
    bed.publish('q');
    expect(await bed.call('tx.commit', {}, 'channel.close')).toEqual({
      replyCode: 406,
      replyText: 'PRECONDITION_FAILED - partial tx completion',
      classId: 90,
      methodId: 20,
    });
  });
});

test.each([
  ['+5', true],
  ['315360000000', true],
  ['315360000001', false],
  ['', false],
  ['-1', false],
])('an expiration of %j is taken: %s', async (expiration, isTaken) => {
  const bed = await open();
  bed.publish('nowhere', '', encodeProperties({ expiration }));
  bed.client.method(1, 'tx.select', {});
  expect((await bed.client.next()).name).toBe(isTaken ? 'tx.select-ok' : 'channel.close');
});

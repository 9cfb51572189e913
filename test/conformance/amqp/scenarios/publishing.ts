/** From the client to queues, and single messages back. */
import type { GetMessage } from 'amqplib';
import { expect } from 'vitest';
import type { MessageProperties } from '../client-adapter.ts';
import { propertiesFromAmqplib } from '../clients/amqplib-headers.ts';
import { bodyOf, eventually } from '../scenario-bed.ts';
import type { Scenario } from './scenario.ts';

const PROPERTIES: MessageProperties = {
  contentType: 'application/x-test',
  contentEncoding: 'identity',
  headers: { text: 'ä', count: 5, flag: true },
  deliveryMode: 2,
  priority: 3,
  correlationId: 'correlation',
  replyTo: 'reply',
  expiration: '60000',
  messageId: 'message',
  timestamp: 1_700_000_000,
  type: 'type',
  userId: 'guest',
  appId: 'app',
};

/** amqplib's way to say of which type a field is: all but those that it cannot write (`U`, `L`). */
const TYPED_HEADERS = {
  b: { '!': 'int8', value: -5 },
  B: { '!': 'uint8', value: 200 },
  s: { '!': 'int16', value: -300 },
  u: { '!': 'uint16', value: 60_000 },
  I: { '!': 'int32', value: -70_000 },
  i: { '!': 'uint32', value: 4_000_000_000 },
  l: { '!': 'int64', value: 2 ** 40 },
  f: { '!': 'float', value: 0.5 },
  d: { '!': 'double', value: 2.25 },
  D: { '!': 'decimal', value: { places: 2, digits: 314 } },
  T: { '!': 'timestamp', value: 1_700_000_000 },
  t: true,
  S: 'täxt',
  x: Buffer.from([0, 1, 255]),
  V: null,
  A: [1, 'two', [3], { four: false }],
  F: { inner: { deep: 'x', list: [] } },
};

/** The same, as adapters give it. */
const PLAIN_HEADERS = {
  ...TYPED_HEADERS,
  b: -5,
  B: 200,
  s: -300,
  u: 60_000,
  I: -70_000,
  i: 4_000_000_000,
  l: 2 ** 40,
  f: 0.5,
  d: 2.25,
  D: { '!decimal': '3.14' },
  T: { '!timestamp': 1_700_000_000 },
  x: { '!bytes': '0001ff' },
};

/** Larger than any client's frames, and not the same in any two of them. */
function largeBody(): Buffer {
  const body = Buffer.alloc(700_003);
  for (let index = 0; index < body.length; index++) body[index] = (index * 31 + (index >> 8)) & 0xff;
  return body;
}

export const PUBLISHING: readonly Scenario[] = [
  {
    name: 'publishes to a queue that it has declared, and gets the messages one by one',
    needs: [],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      expect(await channel.get(queue, { noAck: true })).toBeUndefined();
      for (const body of ['a', 'b', 'c']) await channel.publish({ routingKey: queue, body: Buffer.from(body) });
      await bed.ready(queue, 3);
      for (const body of ['a', 'b', 'c']) {
        const message = await channel.get(queue, { noAck: true });
        expect(bodyOf(message!)).toBe(body);
      }
      expect(await channel.get(queue, { noAck: true })).toBeUndefined();
    },
  },
  {
    name: 'is told how many messages are left, and whether one came before',
    needs: ['settling'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await bed.fill(queue, ['a', 'b']);
      const first = await channel.get(queue, { noAck: false });
      expect(first).toMatchObject({ exchange: '', routingKey: queue, redelivered: false, messageCount: 1 });
      await channel.nack(first!.deliveryTag, { requeue: true });
      const again = await channel.get(queue, { noAck: false });
      expect(again).toMatchObject({ body: Buffer.from('a'), redelivered: true, messageCount: 1 });
      await channel.ack(again!.deliveryTag);
      expect(await bed.drain(queue)).toEqual(['b']);
    },
  },
  {
    name: 'has its publishes confirmed, many at once',
    needs: ['confirms'],
    async run(bed) {
      const { queue } = await bed.channelAndQueue();
      const channel = await bed.channel({ confirms: true });
      const bodies = Array.from({ length: 50 }, (_, index) => String(index));
      const publishes = bodies.map((body) =>
        channel.publish({ routingKey: queue, body: Buffer.from(body), properties: { deliveryMode: 2 } }),
      );
      expect(new Set(await Promise.all(publishes))).toEqual(new Set(['confirmed']));
      expect(await bed.drain(queue)).toEqual(bodies);
    },
  },
  {
    name: 'is refused what a full queue rejects',
    needs: ['confirms', 'arguments'],
    async run(bed) {
      const limits = { 'x-max-length': 1, 'x-overflow': 'reject-publish' };
      const { queue } = await bed.channelAndQueue({ arguments: limits });
      const channel = await bed.channel({ confirms: true });
      expect(await channel.publish({ routingKey: queue, body: Buffer.from('a') })).toBe('confirmed');
      expect(await channel.publish({ routingKey: queue, body: Buffer.from('b') })).toBe('refused');
      expect(await bed.drain(queue)).toEqual(['a']);
    },
  },
  {
    name: 'has mandatory messages that no queue takes returned, and confirmed all the same',
    needs: ['confirms', 'returns'],
    async run(bed) {
      const channel = await bed.channel({ confirms: true });
      const routingKey = bed.name('nobody');
      const properties = { messageId: 'returned' };
      await channel.publish({ routingKey, body: Buffer.from('silent') });
      const exchange = 'amq.direct';
      const answer = await channel.publish({
        exchange,
        routingKey,
        body: Buffer.from('a'),
        properties,
        mandatory: true,
      });
      expect(answer).toBe('confirmed');
      await eventually(() => expect(channel.returns).toHaveLength(1));
      const body = Buffer.from('a');
      const returned = { replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey, properties, body };
      expect(channel.returns[0]).toMatchObject(returned);
    },
  },
  {
    name: 'keeps every property of a message',
    needs: ['properties', 'headers'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await channel.publish({ routingKey: queue, body: Buffer.from('a'), properties: PROPERTIES });
      await bed.ready(queue, 1);
      const message = await channel.get(queue, { noAck: true });
      expect(message!.properties).toEqual(PROPERTIES);
    },
  },
  {
    name: 'keeps headers of every type, which it reads and writes again',
    needs: ['headers'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      const copies = bed.name('copies');
      await channel.declareQueue(copies);
      const other = await (await bed.other()).createConfirmChannel();
      for (let copy = 0; copy < 2; copy++) other.sendToQueue(queue, Buffer.from('a'), { headers: TYPED_HEADERS });
      await other.waitForConfirms();
      const { readsOtherwise, writesOtherwise } = bed.client;
      const message = await channel.get(queue, { noAck: true });
      expect(message!.properties.headers).toEqual({ ...PLAIN_HEADERS, ...readsOtherwise });
      await channel.forward(queue, copies);
      await bed.ready(copies, 1);
      const copy = (await other.get(copies, { noAck: true })) as GetMessage;
      expect(propertiesFromAmqplib(copy.properties).headers).toEqual({ ...PLAIN_HEADERS, ...writesOtherwise });
    },
  },
  {
    name: 'sends and receives bodies over several frames, and empty ones',
    needs: [],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      const bodies = [Buffer.alloc(0), largeBody(), Buffer.from('small')];
      for (const body of bodies) await channel.publish({ routingKey: queue, body });
      await bed.ready(queue, bodies.length);
      for (const body of bodies) {
        const message = await channel.get(queue, { noAck: true });
        expect(message!.body.equals(body)).toBe(true);
      }
    },
  },
  {
    name: 'routes by direct, topic, fanout and headers exchanges, and from one to another',
    needs: ['exchanges', 'headers'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      const [topics, all] = [bed.name('topics'), bed.name('all')];
      await channel.declareExchange(topics, 'topic');
      await channel.declareExchange(all, 'fanout', { durable: false });
      await channel.bindExchange(all, topics, 'a.#');
      await channel.bindQueue(queue, all, '');
      await channel.bindQueue(queue, 'amq.direct', queue);
      await channel.bindQueue(queue, 'amq.headers', '', { 'x-match': 'all', queue, size: 5 });
      const publish = (exchange: string, routingKey: string, body: string, properties: MessageProperties = {}) =>
        channel.publish({ exchange, routingKey, body: Buffer.from(body), properties });
      await publish(topics, 'a.b.c', 'topic');
      await publish(topics, 'b.a', 'not');
      await publish('amq.direct', queue, 'direct');
      await publish('amq.headers', '', 'headers', { headers: { queue, size: 5, more: 'x' } });
      await publish('amq.headers', '', 'not', { headers: { queue, size: 6 } });
      await publish(all, 'any', 'fanout');
      await bed.ready(queue, 4);
      await channel.unbindQueue(queue, 'amq.direct', queue);
      await publish('amq.direct', queue, 'not');
      await publish(all, '', 'last');
      await bed.ready(queue, 5);
      expect(await bed.drain(queue)).toEqual(['topic', 'direct', 'headers', 'fanout', 'last']);
      await channel.deleteExchange(topics);
      await channel.deleteExchange(all);
    },
  },
  {
    name: 'commits and rolls back transactions',
    needs: ['transactions', 'settling'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await channel.selectTransactions();
      await channel.publish({ routingKey: queue, body: Buffer.from('rolled back') });
      await channel.rollback();
      await channel.publish({ routingKey: queue, body: Buffer.from('committed') });
      expect(await bed.drain(queue)).toEqual([]);
      await channel.commit();
      const message = await channel.get(queue, { noAck: false });
      expect(bodyOf(message!)).toBe('committed');
      await channel.ack(message!.deliveryTag);
      await channel.commit();
      await channel.close();
      expect(await bed.drain(queue)).toEqual([]);
    },
  },
];

/** What becomes of messages that are rejected, too old, too many or too often returned; and which goes first. */
import { expect } from 'vitest';
import type { Headers } from '../client-adapter.ts';
import { bodyOf, delivered, type ScenarioBed } from '../scenario-bed.ts';
import type { Scenario } from './scenario.ts';

/** A queue whose dead letters go to another, by the fanout exchange that both are given. */
async function queueWithDeadLetters(bed: ScenarioBed, queueArguments: Headers = {}) {
  const channel = await bed.channel();
  const [queue, dead, exchange] = [bed.name('queue'), bed.name('dead'), bed.name('dead-letters')];
  await channel.declareExchange(exchange, 'fanout');
  await channel.declareQueue(dead);
  await channel.bindQueue(dead, exchange, '');
  await channel.declareQueue(queue, { arguments: { 'x-dead-letter-exchange': exchange, ...queueArguments } });
  return { channel, queue, dead };
}

const SINCE = Math.floor(Date.now() / 1000);

/** Not every client tells a timestamp from a number. */
function isNow(time: number | { readonly '!timestamp': number }): boolean {
  const seconds = typeof time === 'number' ? time : time['!timestamp'];
  return seconds >= SINCE && seconds < SINCE + 3600;
}

/** The headers of a message that died once. */
function diedOnce(queue: string, reason: string): unknown {
  const death = {
    queue,
    reason,
    count: 1,
    exchange: '',
    'routing-keys': [queue],
    time: expect.toSatisfy(isNow),
  };
  return {
    'x-death': [expect.objectContaining(death)],
    'x-first-death-queue': queue,
    'x-first-death-reason': reason,
    'x-first-death-exchange': '',
  };
}

export const DEAD_LETTERING: readonly Scenario[] = [
  {
    name: 'finds what it rejects among the dead letters, with its history',
    needs: ['settling', 'headers', 'arguments', 'exchanges'],
    async run(bed) {
      const { channel, queue, dead } = await queueWithDeadLetters(bed);
      await bed.fill(queue, ['a']);
      await channel.consume(queue);
      const [message] = await delivered(channel, 1);
      await channel.reject(message!.deliveryTag, { requeue: false });
      await bed.ready(dead, 1);
      const letter = await channel.get(dead, { noAck: true });
      expect(letter).toMatchObject({ body: Buffer.from('a'), routingKey: queue });
      expect(letter!.properties.headers).toMatchObject(diedOnce(queue, 'rejected') as object);
    },
  },
  {
    name: "finds expired messages among the dead letters, by the queue's time to live and by their own",
    needs: ['headers', 'arguments', 'exchanges', 'properties'],
    async run(bed) {
      const { channel, queue, dead } = await queueWithDeadLetters(bed, { 'x-message-ttl': 40 });
      await channel.publish({ routingKey: queue, body: Buffer.from('own'), properties: { expiration: '20' } });
      await channel.publish({ routingKey: queue, body: Buffer.from('queue') });
      await bed.ready(dead, 2);
      const own = await channel.get(dead, { noAck: true });
      expect(own).toMatchObject({ body: Buffer.from('own') });
      expect(own!.properties.headers).toMatchObject(diedOnce(queue, 'expired') as object);
      expect(own!.properties.headers!['x-death']).toMatchObject([{ 'original-expiration': '20' }]);
      expect(own!.properties.expiration).toBeUndefined();
      const second = await channel.get(dead, { noAck: true });
      expect(second!.properties.headers).toMatchObject(diedOnce(queue, 'expired') as object);
    },
  },
  {
    name: 'finds what a full queue drops among the dead letters',
    needs: ['headers', 'arguments', 'exchanges'],
    async run(bed) {
      const { channel, queue, dead } = await queueWithDeadLetters(bed, { 'x-max-length': 1 });
      await bed.fill(queue, ['a', 'b']);
      await bed.ready(dead, 1);
      const letter = await channel.get(dead, { noAck: true });
      expect(bodyOf(letter!)).toBe('a');
      expect(letter!.properties.headers).toMatchObject(diedOnce(queue, 'maxlen') as object);
      expect(await bed.drain(queue)).toEqual(['b']);
    },
  },
  {
    name: "is told how often a message was returned to a quorum queue, until the queue's limit",
    needs: ['settling', 'headers', 'arguments', 'exchanges'],
    async run(bed) {
      const limit = { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 };
      const { channel, queue, dead } = await queueWithDeadLetters(bed, limit);
      await bed.fill(queue, ['a']);
      await channel.consume(queue);
      for (let delivery = 0; delivery <= 2; delivery++) {
        const message = (await delivered(channel, delivery + 1))[delivery]!;
        expect(message.properties.headers?.['x-delivery-count'] ?? 0).toBe(delivery);
        await channel.nack(message.deliveryTag, { requeue: true });
      }
      await bed.ready(dead, 1);
      const letter = await channel.get(dead, { noAck: true });
      expect(letter!.properties.headers).toMatchObject(diedOnce(queue, 'delivery_limit') as object);
    },
  },
  {
    name: 'is delivered higher priorities first',
    needs: ['arguments', 'properties', 'confirms'],
    async run(bed) {
      const { queue } = await bed.channelAndQueue({ arguments: { 'x-max-priority': 5 } });
      const channel = await bed.channel({ confirms: true });
      for (const [body, priority] of [
        ['none', undefined],
        ['low', 1],
        ['high', 4],
        ['above', 200],
        ['high again', 4],
      ] as const) {
        const properties = priority === undefined ? {} : { priority };
        await channel.publish({ routingKey: queue, body: Buffer.from(body), properties });
      }
      await channel.consume(queue, { noAck: true });
      const deliveries = await delivered(channel, 5);
      expect(deliveries.map(bodyOf)).toEqual(['above', 'high', 'high again', 'low', 'none']);
    },
  },
];

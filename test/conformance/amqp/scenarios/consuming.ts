/** From queues to the client. */
import { expect } from 'vitest';
import { bodyOf, delivered, eventually } from '../scenario-bed.ts';
import type { Scenario } from './scenario.ts';

export const CONSUMING: readonly Scenario[] = [
  {
    name: 'consumes what was in the queue and what comes, in order',
    needs: [],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await bed.fill(queue, ['a', 'b']);
      const consumerTag = await channel.consume(queue, { noAck: true });
      await delivered(channel, 2);
      await bed.fill(queue, ['c']);
      const deliveries = await delivered(channel, 3);
      expect(deliveries.map(bodyOf)).toEqual(['a', 'b', 'c']);
      expect(await bed.consumers(queue)).toBe(1);
      await channel.cancel(consumerTag);
      await eventually(async () => expect(await bed.consumers(queue)).toBe(0));
      await bed.fill(queue, ['d']);
      expect(await bed.drain(queue)).toEqual(['d']);
      expect(channel.deliveries).toHaveLength(3);
    },
  },
  {
    name: 'is delivered no more than its prefetch until it acknowledges, several at once too',
    needs: ['settling'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await bed.fill(
        queue,
        Array.from({ length: 8 }, (_, index) => String(index)),
      );
      await channel.prefetch(3);
      const consumerTag = await channel.consume(queue);
      const deliveries = await delivered(channel, 3);
      expect(deliveries[0]).toMatchObject({ deliveryTag: 1, consumerTag, redelivered: false, routingKey: queue });
      await bed.ready(queue, 5);
      await channel.ack(deliveries[0]!.deliveryTag);
      await delivered(channel, 4);
      await bed.ready(queue, 4);
      await channel.ack(channel.deliveries[3]!.deliveryTag, { multiple: true });
      await delivered(channel, 7);
      expect(channel.deliveries.map(bodyOf)).toEqual(['0', '1', '2', '3', '4', '5', '6']);
      await channel.close();
      // What was not acknowledged is back, in its old place.
      await bed.ready(queue, 4);
      expect(await bed.drain(queue)).toEqual(['4', '5', '6', '7']);
    },
  },
  {
    name: 'shares one prefetch among the consumers of its channel',
    needs: ['settling', 'globalPrefetch'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await channel.prefetch(2, { global: true });
      await channel.consume(queue);
      await channel.consume(queue);
      await bed.fill(queue, ['a', 'b', 'c']);
      const deliveries = await delivered(channel, 2);
      await bed.ready(queue, 1);
      await channel.ack(deliveries[0]!.deliveryTag);
      // Clients may run the two consumers side by side.
      expect((await delivered(channel, 3)).map(bodyOf).sort()).toEqual(['a', 'b', 'c']);
    },
  },
  {
    name: 'gets back what it requeues, by nack and by reject, and not what it does not',
    needs: ['settling'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await bed.fill(queue, ['a', 'b', 'c']);
      await channel.consume(queue);
      const [first, second] = await delivered(channel, 3);
      await channel.nack(first!.deliveryTag, { requeue: true });
      expect((await delivered(channel, 4))[3]).toMatchObject({ body: Buffer.from('a'), redelivered: true });
      await channel.reject(second!.deliveryTag, { requeue: true });
      expect((await delivered(channel, 5))[4]).toMatchObject({ body: Buffer.from('b'), redelivered: true });
      await channel.reject(channel.deliveries[3]!.deliveryTag, { requeue: false });
      // The rest: c and b again.
      await channel.nack(channel.deliveries[4]!.deliveryTag, { multiple: true, requeue: false });
      await channel.close();
      expect(await bed.drain(queue)).toEqual([]);
    },
  },
  {
    name: 'gets back all that it has not settled, by recover',
    needs: ['settling', 'recover'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await bed.fill(queue, ['a', 'b', 'c']);
      await channel.consume(queue);
      const deliveries = await delivered(channel, 3);
      await channel.ack(deliveries[1]!.deliveryTag);
      await channel.recover();
      const again = (await delivered(channel, 5)).slice(3);
      expect(again.map((message) => [bodyOf(message), message.redelivered])).toEqual([
        ['a', true],
        ['c', true],
      ]);
    },
  },
  {
    name: 'takes turns with another consumer, or goes first by its priority',
    needs: ['settling', 'consumerArguments'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      const [low, high] = [await bed.channel(), await bed.channel()];
      await channel.consume(queue, { noAck: true });
      await low.consume(queue, { noAck: true });
      await bed.fill(queue, ['a', 'b', 'c', 'd']);
      await delivered(channel, 2);
      await delivered(low, 2);
      await high.consume(queue, { noAck: true, arguments: { 'x-priority': 5 } });
      await bed.fill(queue, ['e', 'f', 'g']);
      expect((await delivered(high, 3)).map(bodyOf)).toEqual(['e', 'f', 'g']);
    },
  },
  {
    name: 'is told when its consumer ends with the queue',
    needs: ['cancelNotices'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      const consumerTag = await channel.consume(queue);
      await (await (await bed.other()).createChannel()).deleteQueue(queue);
      await eventually(() => expect(channel.cancelled).toEqual([consumerTag]));
      // The channel lives on.
      await channel.declareQueue(queue);
    },
  },
  {
    name: 'asks and answers by direct reply-to',
    needs: ['settling', 'properties'],
    async run(bed) {
      const { channel: server, queue } = await bed.channelAndQueue();
      await server.consume(queue);
      const client = await bed.channel();
      await client.consume('amq.rabbitmq.reply-to', { noAck: true });
      for (const [index, correlationId] of ['one', 'two'].entries()) {
        const properties = { replyTo: 'amq.rabbitmq.reply-to', correlationId };
        await client.publish({ routingKey: queue, body: Buffer.from('question'), properties });
        const question = (await delivered(server, index + 1))[index]!;
        expect(question.properties.correlationId).toBe(correlationId);
        expect(question.properties.replyTo).toMatch(/^amq\.rabbitmq\.reply-to\../);
        const body = Buffer.from(`answer ${correlationId}`);
        await server.publish({ routingKey: question.properties.replyTo!, body, properties: { correlationId } });
        await server.ack(question.deliveryTag);
        const answer = (await delivered(client, index + 1))[index]!;
        expect([bodyOf(answer), answer.properties.correlationId]).toEqual([`answer ${correlationId}`, correlationId]);
      }
    },
  },
];

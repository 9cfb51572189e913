/** A broker that is killed with -9 and started again. */
import { expect } from 'vitest';
import { eventually } from '../scenario-bed.ts';
import type { Scenario } from './scenario.ts';

export const RESTARTS: readonly Scenario[] = [
  {
    name: 'finds what is durable, and nothing else, when the broker was killed',
    needs: ['settling', 'confirms', 'exchanges', 'arguments', 'passive'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue({ arguments: { 'x-max-length': 100 } });
      const [exchange, transient] = [bed.name('exchange'), bed.name('transient')];
      await channel.declareExchange(exchange, 'topic');
      await channel.bindQueue(queue, exchange, 'a.*');
      await channel.declareQueue(transient, { durable: false });
      const publisher = await bed.channel({ confirms: true });
      const publish = (routingKey: string, body: string) =>
        publisher.publish({ exchange, routingKey, body: Buffer.from(body), properties: { deliveryMode: 2 } });
      for (const body of ['acknowledged', 'held']) expect(await publish('a.b', body)).toBe('confirmed');
      const first = await channel.get(queue, { noAck: false });
      await channel.get(queue, { noAck: false });
      await channel.ack(first!.deliveryTag);
      // The broker has heard of the acknowledgment when this is answered, and stored it when the next message is confirmed.
      await channel.checkQueue(queue);
      expect(await publish('a.b', 'ready')).toBe('confirmed');

      await bed.target.killAndStartAgain();
      const connection = await bed.connect();
      const again = await connection.openChannel();
      expect(await again.declareQueue(queue, { arguments: { 'x-max-length': 100 } })).toMatchObject({ queue });
      const messages = [await again.get(queue, { noAck: false }), await again.get(queue, { noAck: false })];
      expect(messages.map((message) => message?.body.toString())).toEqual(['held', 'ready']);
      expect(await again.get(queue, { noAck: false })).toBeUndefined();
      for (const message of messages) await again.ack(message!.deliveryTag);
      await again.declareExchange(exchange, 'topic');
      await again.publish({ exchange, routingKey: 'a.c', body: Buffer.from('bound') });
      await eventually(async () => expect((await again.checkQueue(queue)).messageCount).toBe(1));
      const error = await bed.channelError((own) => own.checkQueue(transient), connection);
      expect(error.code).toBe(404);
    },
  },
  {
    name: 'comes back by itself when the broker was killed, and goes on consuming and publishing',
    needs: ['survivors'],
    async run(bed) {
      const queue = bed.name('survived');
      const survivor = await bed.client.survive!(bed.target, queue);
      try {
        await survivor.publish('before');
        await eventually(() => expect(survivor.bodies).toEqual(['before']));
        await bed.target.killAndStartAgain();
        await bed.fill(queue, ['after']);
        // What was on its way when the broker died may come twice.
        await eventually(() => expect(survivor.bodies.at(-1)).toBe('after'));
        await survivor.publish('at last');
        await eventually(() => expect(survivor.bodies.at(-1)).toBe('at last'));
        expect(new Set(survivor.bodies)).toEqual(new Set(['before', 'after', 'at last']));
      } finally {
        await survivor.close();
      }
    },
  },
];

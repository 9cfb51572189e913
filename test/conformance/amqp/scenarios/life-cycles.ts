/** Queues and exchanges that come and go. */
import { expect } from 'vitest';
import { eventually } from '../scenario-bed.ts';
import type { Scenario } from './scenario.ts';

export const LIFE_CYCLES: readonly Scenario[] = [
  {
    name: 'deletes a queue',
    needs: [],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await bed.fill(queue, ['a', 'b']);
      expect(await channel.deleteQueue(queue)).toBe(2);
      // Anew, and empty.
      expect(await channel.declareQueue(queue)).toMatchObject({ queue, messageCount: 0, consumerCount: 0 });
    },
  },
  {
    name: 'purges a queue of what is ready',
    needs: ['purge', 'settling', 'passive'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      await bed.fill(queue, ['a', 'b', 'c']);
      await channel.get(queue, { noAck: false });
      expect(await channel.purgeQueue(queue)).toBe(2);
      expect(await channel.checkQueue(queue)).toEqual({ queue, messageCount: 0, consumerCount: 0 });
      await channel.close();
      await bed.ready(queue, 1);
    },
  },
  {
    name: 'is given a name for a queue, under which nobody else reaches it, and which goes with its connection',
    needs: ['lifeCycles', 'passive'],
    async run(bed) {
      const connection = await bed.connect();
      const own = await connection.openChannel();
      const { queue } = await own.declareQueue('', { exclusive: true });
      expect(queue).toMatch(/^amq\.gen-/);
      await own.publish({ routingKey: queue, body: Buffer.from('a') });
      await eventually(async () => expect((await own.checkQueue(queue)).messageCount).toBe(1));
      expect((await bed.channelError((channel) => channel.checkQueue(queue))).code).toBe(405);
      await connection.close();
      await bed.gone((channel) => channel.checkQueue(queue));
    },
  },
  {
    name: 'has an auto-delete queue go with its last consumer',
    needs: ['lifeCycles', 'passive'],
    async run(bed) {
      const channel = await bed.channel();
      const queue = bed.name('auto');
      await channel.declareQueue(queue, { autoDelete: true });
      const other = await bed.channel();
      const [tag] = [await channel.consume(queue), await other.consume(queue)];
      await other.close();
      expect(await channel.checkQueue(queue)).toMatchObject({ consumerCount: 1 });
      await channel.cancel(tag);
      await bed.gone((late) => late.checkQueue(queue));
    },
  },
  {
    name: 'has an auto-delete exchange go with its last binding',
    needs: ['lifeCycles', 'passive', 'exchanges'],
    async run(bed) {
      const { channel, queue } = await bed.channelAndQueue();
      const exchange = bed.name('auto');
      await channel.declareExchange(exchange, 'fanout', { autoDelete: true });
      await channel.bindQueue(queue, exchange, '');
      await channel.checkExchange(exchange);
      await channel.unbindQueue(queue, exchange, '');
      await bed.gone((late) => late.checkExchange(exchange));
    },
  },
];

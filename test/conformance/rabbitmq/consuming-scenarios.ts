/** Consuming and settling: qos, consume, cancel, get, ack, nack, reject, recover, priorities, single active consumers. */
import { type Scenario, type Side, scenario } from './scenario.ts';
import type { ScriptedChannel } from './scripted-connection.ts';
import { type Field, typed } from './typed-fields.ts';

async function fill(channel: ScriptedChannel, queue: string, ...bodies: string[]): Promise<void> {
  for (const body of bodies) await channel.put(queue, body);
}

/** A queue ~q with these messages, and what is then done with it. */
function filled(name: string, bodies: readonly string[], run: (side: Side) => Promise<void>): Scenario {
  return scenario(name, async (side) => {
    await side.c.declare('~q');
    await fill(side.c, '~q', ...bodies);
    await run(side);
  });
}

/** A settlement with a tag that is none. */
function unknownTag(name: string, settle: (channel: ScriptedChannel) => void): Scenario {
  return filled(`settle: ${name}`, ['1'], async ({ a, c }) => {
    await a.open();
    settle(a);
    await a.closed();
    await c.sync('~q');
  });
}

const CONSUMER_ARGUMENTS: ReadonlyArray<readonly [string, string, Field]> = [
  ['a priority', 'x-priority', 5],
  ['a negative priority', 'x-priority', -5],
  ['a priority that is a text', 'x-priority', '5'],
  ['a priority that is a double', 'x-priority', 1.5],
  ['a priority that is nothing', 'x-priority', null],
  ['a priority that is a long', 'x-priority', typed('l', 2 ** 40)],
  ['an argument that means nothing', 'x-mine', { a: 1 }],
  ['x-cancel-on-ha-failover', 'x-cancel-on-ha-failover', true],
];

export const CONSUMING_SCENARIOS: readonly Scenario[] = [
  scenario('get: queue that is not there', async ({ a }) => void (await a.get('~missing'))),
  scenario('get: empty queue', async ({ a }) => {
    await a.declare('~q');
    await a.get('~q');
    await a.get('~q', { noAck: true });
  }),
  scenario('get: empty name is the queue declared last', async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', 'x');
    await a.get('');
  }),
  scenario('get: empty name and none declared', async ({ a }) => void (await a.get(''))),
  filled('get: tells how many are left', ['1', '2', '3'], async ({ a }) => {
    await a.get('~q');
    await a.get('~q', { noAck: true });
    await a.get('~q');
    await a.get('~q');
  }),
  filled('get: messages that were taken without ack are gone', ['1'], async ({ a, c }) => {
    await a.get('~q', { noAck: true });
    await a.close();
    await c.sync('~q');
  }),

  scenario('consume: queue that is not there', async ({ a }) => void (await a.consume('~missing'))),
  scenario('consume: empty name and none declared', async ({ a }) => void (await a.consume(''))),
  filled('consume: messages come in order', ['1', '2', '3', '4', '5'], async ({ a }) => {
    await a.consume('~q');
    await a.messages(5);
    await a.sync('~q');
  }),
  filled('consume: without ack', ['1', '2'], async ({ a, c }) => {
    await a.consume('~q', { noAck: true });
    await a.messages(2);
    await c.sync('~q');
    await a.close();
    await c.sync('~q');
  }),
  scenario('consume: tags by the broker', async ({ a }) => {
    await a.declare('~q');
    await a.consume('~q', { consumerTag: '' });
    await a.consume('~q', { consumerTag: '' });
    await a.sync('~q');
  }),
  scenario('consume: the same tag on another channel', async ({ a, a2 }) => {
    await a.declare('~q');
    await a.consume('~q');
    await a2.consume('~q');
    await a.sync('~q');
  }),
  scenario('consume: the same tag twice', async ({ a }) => {
    await a.declare('~q');
    await a.consume('~q');
    await a.consume('~q');
  }),
  scenario('consume: a tag again after cancel', async ({ a }) => {
    await a.declare('~q');
    await a.consume('~q');
    await a.call('basic.cancel', { consumerTag: 'c' });
    await a.consume('~q');
  }),
  scenario('consume: without waiting', async ({ a }) => {
    await a.declare('~q');
    a.send('basic.consume', { queue: '~q', consumerTag: 'c', noWait: true });
    await a.put('~q', 'x');
    await a.messages(1);
    a.send('basic.cancel', { consumerTag: 'c', noWait: true });
    await a.sync('~q');
  }),
  scenario('consume: exclusive', async ({ a, b }) => {
    await a.declare('~q');
    await a.consume('~q', { exclusive: true });
    await b.consume('~q');
  }),
  scenario('consume: exclusive with another consumer there', async ({ a, b }) => {
    await a.declare('~q');
    await a.consume('~q');
    await b.consume('~q', { exclusive: true });
  }),
  scenario('consume: exclusive twice on one channel', async ({ a }) => {
    await a.declare('~q');
    await a.consume('~q', { exclusive: true });
    await a.consume('~q', { exclusive: true, consumerTag: 'd' });
  }),
  scenario('consume: exclusive ends with cancel', async ({ a, b }) => {
    await a.declare('~q');
    await a.consume('~q', { exclusive: true });
    await a.call('basic.cancel', { consumerTag: 'c' });
    await b.consume('~q');
  }),
  filled('get: beside an exclusive consumer', ['1'], async ({ a, b }) => {
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.consume('~q', { exclusive: true });
    await a.messages(1);
    await b.get('~q');
  }),
  scenario('consume: no-local is not heeded', async ({ a }) => {
    await a.declare('~q');
    await a.consume('~q', { noLocal: true });
    await a.put('~q', 'own');
    await a.messages(1);
  }),
  ...CONSUMER_ARGUMENTS.map(([name, key, value]) =>
    scenario(`consume: ${name}`, async ({ a }) => {
      await a.declare('~q');
      await a.consume('~q', { arguments: { [key]: value } });
    }),
  ),
  scenario('cancel: a tag that is not there', async ({ a }) => {
    await a.call('basic.cancel', { consumerTag: 'nobody' });
    await a.call('basic.cancel', { consumerTag: '' });
  }),
  filled('cancel: what was delivered can still be settled', ['1', '2'], async ({ a, c }) => {
    await a.consume('~q');
    await a.messages(2);
    await a.call('basic.cancel', { consumerTag: 'c' });
    await c.sync('~q');
    a.send('basic.ack', { deliveryTag: 1 });
    a.send('basic.reject', { deliveryTag: 2, requeue: true });
    await a.counted('~q', 1);
    await a.get('~q');
  }),

  // Prefetch
  filled('qos: per consumer', ['1', '2', '3', '4', '5'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 2 });
    await a.consume('~q');
    await a.messages(2);
    await a.sync('~q');
    a.send('basic.ack', { deliveryTag: 1 });
    await a.messages(1);
    await a.sync('~q');
    a.send('basic.ack', { deliveryTag: 3, multiple: true });
    await a.messages(2);
    await a.sync('~q');
  }),
  filled('qos: per consumer, for consumers to come', ['1', '2', '3', '4'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.consume('~q');
    await a.messages(1);
    await a.call('basic.qos', { prefetchCount: 2 });
    await a.sync('~q');
    await a.consume('~q', { consumerTag: 'd' });
    await a.messages(2);
    await a.sync('~q');
  }),
  filled('qos: of the channel', ['1', '2', '3', '4'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 3, global: true });
    await a.consume('~q');
    await a.messages(3);
    await a.sync('~q');
    a.send('basic.ack', { deliveryTag: 1 });
    await a.messages(1);
  }),
  filled('qos: of the channel, lifted', ['1', '2', '3', '4'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 1, global: true });
    await a.consume('~q');
    await a.messages(1);
    await a.sync('~q');
    await a.call('basic.qos', { prefetchCount: 0, global: true });
    await a.messages(3);
  }),
  filled('qos: of the channel, raised', ['1', '2', '3', '4'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 1, global: true });
    await a.consume('~q');
    await a.messages(1);
    await a.call('basic.qos', { prefetchCount: 3, global: true });
    await a.messages(2);
    await a.sync('~q');
  }),
  filled('qos: of the channel and per consumer', ['1', '2', '3', '4', '5'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 2 });
    await a.call('basic.qos', { prefetchCount: 3, global: true });
    await a.consume('~q');
    await a.messages(2);
    await a.consume('~q', { consumerTag: 'd' });
    await a.messages(1);
    await a.sync('~q');
  }),
  filled('qos: get does not count', ['1', '2', '3'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.get('~q');
    await a.consume('~q');
    await a.messages(1);
    await a.sync('~q');
  }),
  filled('qos: consumers without ack are not bound by it', ['1', '2', '3'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.consume('~q', { noAck: true });
    await a.messages(3);
  }),

  // Settling
  unknownTag('ack of a tag that is not there', (channel) => channel.send('basic.ack', { deliveryTag: 5 })),
  unknownTag('ack of tag 0', (channel) => channel.send('basic.ack', { deliveryTag: 0 })),
  unknownTag('nack of a tag that is not there', (channel) =>
    channel.send('basic.nack', { deliveryTag: 5, requeue: true }),
  ),
  unknownTag('reject of a tag that is not there', (channel) => channel.send('basic.reject', { deliveryTag: 5 })),
  unknownTag('ack up to a tag that is not there', (channel) =>
    channel.send('basic.ack', { deliveryTag: 5, multiple: true }),
  ),
  scenario('settle: ack all, and there is nothing', async ({ a }) => {
    await a.open();
    a.send('basic.ack', { deliveryTag: 0, multiple: true });
    a.send('basic.nack', { deliveryTag: 0, multiple: true, requeue: true });
    await a.call('tx.select');
  }),
  filled('settle: ack twice', ['1'], async ({ a, c }) => {
    await a.get('~q');
    a.send('basic.ack', { deliveryTag: 1 });
    a.send('basic.ack', { deliveryTag: 1 });
    await a.closed();
    await c.sync('~q');
  }),
  filled('settle: ack of what needs none', ['1'], async ({ a }) => {
    await a.get('~q', { noAck: true });
    a.send('basic.ack', { deliveryTag: 1 });
    await a.closed();
  }),
  filled('settle: ack up to a tag', ['1', '2', '3', '4'], async ({ a, c }) => {
    for (let count = 0; count < 4; count++) await a.get('~q');
    a.send('basic.ack', { deliveryTag: 3, multiple: true });
    await a.sync('~q');
    await a.close();
    await c.counted('~q', 1);
    await c.get('~q');
    await c.get('~q');
  }),
  filled('settle: ack up to a tag of which some are settled', ['1', '2', '3'], async ({ a, c }) => {
    for (let count = 0; count < 3; count++) await a.get('~q');
    a.send('basic.ack', { deliveryTag: 2 });
    a.send('basic.ack', { deliveryTag: 3, multiple: true });
    await a.call('tx.select');
    await a.close();
    await c.counted('~q', 0);
  }),
  filled('settle: ack up to a tag that is settled', ['1', '2', '3'], async ({ a, c }) => {
    for (let count = 0; count < 3; count++) await a.get('~q');
    a.send('basic.ack', { deliveryTag: 2 });
    a.send('basic.ack', { deliveryTag: 2, multiple: true });
    await a.call('tx.select');
    await a.close();
    await c.counted('~q', 2);
  }),
  filled('settle: ack all with tag 0', ['1', '2'], async ({ a, c }) => {
    await a.get('~q');
    await a.get('~q');
    a.send('basic.ack', { deliveryTag: 0, multiple: true });
    await a.call('tx.select');
    await a.close();
    await c.sync('~q');
  }),
  filled('settle: the tag of another channel', ['1'], async ({ a, a2 }) => {
    await a.get('~q');
    await a2.open();
    a2.send('basic.ack', { deliveryTag: 1 });
    await a2.closed();
  }),
  filled('settle: reject with requeue comes first again', ['1', '2', '3'], async ({ a }) => {
    await a.get('~q');
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1, requeue: true });
    await a.counted('~q', 2);
    await a.get('~q');
    await a.get('~q');
  }),
  filled('settle: reject without requeue', ['1', '2'], async ({ a }) => {
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1, requeue: false });
    await a.sync('~q');
    await a.get('~q');
  }),
  filled('settle: nack up to a tag with requeue keeps the order', ['1', '2', '3', '4'], async ({ a }) => {
    for (let count = 0; count < 3; count++) await a.get('~q');
    a.send('basic.nack', { deliveryTag: 2, multiple: true, requeue: true });
    await a.counted('~q', 3);
    for (let count = 0; count < 3; count++) await a.get('~q');
  }),
  filled('settle: nack all', ['1', '2', '3'], async ({ a }) => {
    for (let count = 0; count < 3; count++) await a.get('~q');
    a.send('basic.nack', { deliveryTag: 0, multiple: true, requeue: true });
    await a.counted('~q', 3);
    for (let count = 0; count < 3; count++) await a.get('~q');
  }),
  filled('settle: a consumer gets back what it has requeued', ['1', '2'], async ({ a }) => {
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.consume('~q');
    await a.messages(1);
    a.send('basic.nack', { deliveryTag: 1, requeue: true });
    await a.messages(1);
    a.send('basic.nack', { deliveryTag: 2, requeue: true });
    await a.messages(1);
    a.send('basic.ack', { deliveryTag: 3 });
    await a.messages(1);
  }),
  filled('settle: recover', ['1', '2', '3'], async ({ a }) => {
    await a.get('~q');
    await a.get('~q');
    await a.call('basic.recover', { requeue: true });
    await a.counted('~q', 3);
    await a.get('~q');
  }),
  filled('settle: recover to a consumer', ['1', '2'], async ({ a }) => {
    await a.consume('~q');
    await a.messages(2);
    await a.call('basic.recover', { requeue: true });
    await a.messages(2);
  }),
  filled('settle: recover-async', ['1'], async ({ a }) => {
    await a.get('~q');
    a.send('basic.recover-async', { requeue: true });
    await a.counted('~q', 1);
    await a.get('~q');
  }),
  filled('settle: delivery tags count on, over consumers and get', ['1', '2', '3'], async ({ a }) => {
    await a.get('~q', { noAck: true });
    await a.consume('~q', { noAck: true });
    await a.messages(2);
    await a.put('~q', '4');
    await a.messages(1);
    await a.call('basic.cancel', { consumerTag: 'c' });
    await a.put('~q', '5');
    await a.get('~q');
  }),

  // Who gets what
  scenario('consumers: in turn', async ({ a, a2, c }) => {
    await c.declare('~q');
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.consume('~q');
    await a2.call('basic.qos', { prefetchCount: 1 });
    await a2.consume('~q');
    await fill(c, '~q', '1', '2', '3');
    await a.messages(1);
    await a2.messages(1);
    await c.sync('~q');
  }),
  scenario('consumers: by priority', async ({ a, a2, c }) => {
    await c.declare('~q');
    await a.consume('~q', { arguments: { 'x-priority': 1 } });
    await a2.call('basic.qos', { prefetchCount: 2 });
    await a2.consume('~q', { arguments: { 'x-priority': 10 } });
    await fill(c, '~q', '1', '2', '3', '4');
    await a2.messages(2);
    await a.messages(2);
  }),
  scenario('consumers: only one is active', async (side) => {
    const { a, a2, c } = side;
    await c.declare('~q', { 'x-single-active-consumer': true });
    await a.consume('~q');
    await a2.consume('~q');
    await fill(c, '~q', '1', '2');
    await a.messages(2);
    await c.sync('~q');
    await a.call('basic.cancel', { consumerTag: 'c' });
    await fill(c, '~q', '3');
    await a2.messages(1);
  }),
  scenario('consumers: the active one is lost', async (side) => {
    const { a, b, c } = side;
    await c.declare('~q', { 'x-single-active-consumer': true });
    await a.consume('~q');
    await b.consume('~q');
    await fill(c, '~q', '1');
    await a.messages(1);
    side.connection('a').destroy();
    await b.messages(1);
  }),
  scenario('consumers: an exclusive consumer on a queue with one active', async ({ a }) => {
    await a.declare('~q', { 'x-single-active-consumer': true });
    await a.consume('~q', { exclusive: true });
  }),
  scenario('consumers: with a message on its way the queue tells its counts', async ({ a, c }) => {
    await c.declare('~q');
    await a.consume('~q');
    await fill(c, '~q', '1');
    await a.messages(1);
    await c.sync('~q');
  }),

  // Priorities of messages
  scenario('priority: higher ones first, equal ones in order', async ({ a, c }) => {
    await c.declare('~q', { 'x-max-priority': 5 });
    for (const [body, priority] of [
      ['a', 1],
      ['b', 5],
      ['c', 1],
      ['d', 9],
      ['e', undefined],
      ['f', 0],
    ] as const) {
      await c.put('~q', body, priority === undefined ? {} : { priority });
    }
    await a.consume('~q');
    await a.messages(6);
  }),
  scenario('priority: a requeued message comes back among its own', async ({ a, c }) => {
    await c.declare('~q', { 'x-max-priority': 5 });
    for (const body of ['1', '2']) await c.put('~q', body, { priority: 3 });
    await a.get('~q');
    await c.put('~q', 'urgent', { priority: 4 });
    a.send('basic.reject', { deliveryTag: 1, requeue: true });
    await a.counted('~q', 3);
    for (let count = 0; count < 3; count++) await a.get('~q');
  }),
  scenario('priority: means nothing without x-max-priority', async ({ a, c }) => {
    await c.declare('~q');
    await c.put('~q', '1', { priority: 1 });
    await c.put('~q', '2', { priority: 9 });
    await a.get('~q');
    await a.get('~q');
  }),

  scenario('quorum: a message that comes back is counted', async ({ a, c }) => {
    await c.declare('~q', { 'x-queue-type': 'quorum' }, { durable: true });
    await c.put('~q', 'x');
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1, requeue: true });
    await a.counted('~q', 1);
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 2, requeue: true });
    await a.counted('~q', 1);
    await a.get('~q');
  }),
  scenario('quorum: a global prefetch', async ({ a, c }) => {
    await c.declare('~q', { 'x-queue-type': 'quorum' }, { durable: true });
    await a.call('basic.qos', { prefetchCount: 1, global: true });
    await a.consume('~q');
  }),
];

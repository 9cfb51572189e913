/** Channels: opening, closing, what happens between close and close-ok, flow; and exchanges with all that can be said of them. */
import { methodFrame } from '../../listeners/amqp/raw-client.ts';
import { type Scenario, scenario } from './scenario.ts';

const publish = { exchange: '', routingKey: 'nowhere', mandatory: false, immediate: false };

export const CHANNEL_SCENARIOS: readonly Scenario[] = [
  scenario('channel: open, close, open again', async ({ a }) => {
    await a.open();
    await a.call('channel.close', { replyCode: 200, replyText: 'bye' });
    await a.call('channel.open');
    await a.declare('~q', {}, { exclusive: true });
  }),
  scenario('channel: flow on', async ({ a }) => void (await a.call('channel.flow', { active: true }))),
  scenario('channel: access.request', async ({ a }) => {
    await a.call('access.request', { realm: '/data', active: true, write: true, read: true });
  }),
  scenario('channel: an error closes only its channel', async ({ a, a2 }) => {
    await a2.open();
    await a.declare('~missing', {}, { passive: true });
    await a2.declare('~q', {}, { exclusive: true });
  }),
  scenario('channel: may be opened again after an error', async ({ a }) => {
    await a.declare('~missing', {}, { passive: true });
    await a.reopen();
    await a.declare('~q', {}, { exclusive: true });
  }),
  scenario('channel: what follows an error is dropped', async ({ a, b }) => {
    await a.open();
    a.send('queue.declare', { queue: '~missing', passive: true });
    a.send('queue.declare', { queue: '~after' });
    a.publish({ routingKey: '~after' }, 'dropped');
    await a.closed();
    await b.declare('~after', {}, { passive: true });
  }),
  scenario('channel: close-ok that nobody asked for', async ({ a }) => {
    await a.open();
    a.send('channel.close-ok');
    await a.call('tx.select');
  }),
  scenario('channel: flow-ok that nobody asked for', async ({ a }) => {
    await a.open();
    a.send('channel.flow-ok', { active: true });
    await a.call('tx.select');
  }),
  scenario('channel: cancel-ok that nobody asked for', async ({ a }) => {
    await a.open();
    a.send('basic.cancel-ok', { consumerTag: 'nobody' });
    await a.call('tx.select');
  }),
  scenario('channel: close in the midst of a message', async ({ a }) => {
    await a.open();
    a.raw(methodFrame(1, 'basic.publish', publish));
    a.send('channel.close', { replyCode: 200, replyText: 'bye' });
    await a.closed();
  }),
  scenario('channel: close returns what was not settled', async ({ a, a2 }) => {
    await a.declare('~q');
    await a.put('~q', 'one');
    await a2.get('~q');
    await a2.close();
    await a.counted('~q', 1);
    await a.get('~q');
  }),
  scenario('channel: close ends its consumers', async (side) => {
    await side.a.declare('~q');
    await side.a2.consume('~q');
    await side.a.sync('~q');
    await side.a2.close();
    await side.counts('~q', 0, 0);
  }),
  scenario('channel: exclusive queues stay when their channel is closed', async ({ a, a2 }) => {
    await a2.declare('~q', {}, { exclusive: true });
    await a2.close();
    await a.declare('~q', {}, { passive: true });
  }),
  scenario('channel: many channels of one connection', async (side) => {
    const connection = side.connection('a');
    for (let number = 1; number <= 20; number++) {
      await connection.channel(number).declare(`~q${number}`, {}, { exclusive: true });
    }
  }),
];

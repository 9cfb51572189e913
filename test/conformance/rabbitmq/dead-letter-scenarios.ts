/** What becomes of messages that nobody takes: time to live, limits of length, dead letters with their history. */
import { type Scenario, scenario } from './scenario.ts';
import type { ScriptedChannel } from './scripted-connection.ts';
import { type Fields, typed } from './typed-fields.ts';

/** Declares ~q whose dead letters go to ~dead, with these arguments. */
async function withDeadLetters(channel: ScriptedChannel, args: Fields = {}, more: Fields = {}): Promise<void> {
  await channel.declareExchange('~dlx', 'fanout');
  await channel.declare('~dead', more);
  await channel.bind('~dead', '~dlx', '');
  await channel.declare('~q', { 'x-dead-letter-exchange': '~dlx', ...args });
}

/** Gives what a queue has, one by one. */
async function drain(channel: ScriptedChannel, queue: string, count: number): Promise<void> {
  for (let each = 0; each < count; each++) await channel.get(queue, { noAck: true });
}

/** Messages that do not fit, one after the other; what is left. */
function overflow(name: string, args: Fields, bodies: readonly string[]): Scenario {
  return scenario(`length: ${name}`, async (side) => {
    await withDeadLetters(side.a, args);
    for (const body of bodies) await side.a.put('~q', body);
    await side.a.sync('~q');
    await drain(side.b, '~q', bodies.length);
    await side.b.sync('~dead');
    await drain(side.b, '~dead', bodies.length);
  });
}

export const DEAD_LETTER_SCENARIOS: readonly Scenario[] = [
  scenario('ttl: of the queue', async (side) => {
    await side.a.declare('~q', { 'x-message-ttl': 100 });
    await side.a.put('~q', 'x');
    await side.counts('~q', 0);
  }),
  scenario('ttl: of the message', async (side) => {
    await side.a.declare('~q');
    await side.a.put('~q', 'x', { expiration: '100' });
    await side.counts('~q', 0);
  }),
  scenario('ttl: the smaller one counts', async (side) => {
    await side.a.declare('~q', { 'x-message-ttl': 600_000 });
    await side.a.put('~q', 'short', { expiration: '50' });
    await side.counts('~q', 0);
    await side.a.put('~q', 'long', { expiration: '900000' });
    await side.a.get('~q');
  }),
  scenario('ttl: 0 of the queue, nobody consumes', async (side) => {
    await side.a.declare('~q', { 'x-message-ttl': 0 });
    await side.a.put('~q', 'x', {}, { mandatory: true });
    await side.counts('~q', 0);
  }),
  scenario('ttl: 0 of the queue, somebody consumes', async ({ a, b }) => {
    await a.declare('~q', { 'x-message-ttl': 0 });
    await b.consume('~q');
    await a.put('~q', 'x');
    await b.messages(1);
  }),
  scenario('ttl: 0 of the message, somebody consumes', async ({ a, b }) => {
    await a.declare('~q');
    await b.consume('~q');
    await a.put('~q', 'x', { expiration: '0' });
    await b.messages(1);
  }),
  scenario('ttl: a message that expires behind one that does not', async (side) => {
    await side.a.declare('~q');
    await side.a.declare('~clock');
    await side.a.put('~q', 'stays');
    await side.a.put('~q', 'expires', { expiration: '50' });
    await side.a.put('~clock', 'x', { expiration: '200' });
    await side.counts('~clock', 0);
    await side.a.get('~q', { noAck: true });
    await side.a.get('~q', { noAck: true });
  }),
  scenario('ttl: what is with a consumer does not expire', async (side) => {
    await side.a.declare('~q', { 'x-message-ttl': 50 });
    await side.a.declare('~clock', { 'x-message-ttl': 200 });
    await side.b.consume('~q');
    await side.a.put('~q', 'x');
    await side.b.messages(1);
    await side.a.put('~clock', 'x');
    await side.counts('~clock', 0);
    side.b.send('basic.ack', { deliveryTag: 1 });
    await side.b.call('tx.select');
  }),
  scenario('ttl: what is requeued too late expires', async (side) => {
    await side.b.open();
    await side.a.declare('~q', { 'x-message-ttl': 500 });
    await side.a.declare('~clock', { 'x-message-ttl': 800 });
    await side.a.put('~q', 'x');
    await side.b.get('~q');
    await side.a.put('~clock', 'x');
    await side.counts('~clock', 0);
    side.b.send('basic.reject', { deliveryTag: 1, requeue: true });
    await side.counts('~q', 0);
  }),

  scenario('dead letters: rejected', async ({ a, b }) => {
    await withDeadLetters(a);
    await a.put('~q', 'x', { messageId: 'id', headers: { mine: 1 } });
    await a.get('~q');
    await b.consume('~dead');
    a.send('basic.reject', { deliveryTag: 1, requeue: false });
    await b.messages(1);
  }),
  scenario('dead letters: several with one nack', async ({ a, b }) => {
    await withDeadLetters(a);
    for (const body of ['1', '2', '3']) await a.put('~q', body);
    for (let count = 0; count < 3; count++) await a.get('~q');
    await b.consume('~dead');
    a.send('basic.nack', { deliveryTag: 3, multiple: true, requeue: false });
    await b.messages(3);
  }),
  scenario('dead letters: expired by the queue', async ({ a, b }) => {
    await withDeadLetters(a, { 'x-message-ttl': 50 });
    await b.consume('~dead');
    await a.put('~q', 'x');
    await b.messages(1);
  }),
  scenario('dead letters: expired by the message, whose expiration is taken away', async ({ a, b }) => {
    await withDeadLetters(a);
    await b.consume('~dead');
    await a.put('~q', 'x', { expiration: '50' });
    await b.messages(1);
  }),
  scenario('dead letters: several that expire come in order', async ({ a, b }) => {
    await withDeadLetters(a, { 'x-message-ttl': 100 });
    await b.consume('~dead');
    for (const body of ['1', '2', '3']) await a.put('~q', body);
    await b.messages(3);
  }),
  scenario('dead letters: with a routing key', async ({ a, b }) => {
    await a.declare('~q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': '~dead' });
    await a.declare('~dead');
    await b.consume('~dead');
    await a.put('~q', 'x');
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: with their own routing key', async ({ a, b }) => {
    await a.declareExchange('~dlx', 'direct');
    await a.declare('~dead');
    await a.bind('~dead', '~dlx', '~q');
    await a.declare('~q', { 'x-dead-letter-exchange': '~dlx' });
    await b.consume('~dead');
    await a.put('~q', 'x');
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: by the name of an exchange and key', async ({ a, b }) => {
    await withDeadLetters(a);
    await a.bind('~q', 'amq.topic', '~k.#');
    await b.consume('~dead');
    await a.put('~k.1', 'x', {}, { exchange: 'amq.topic' });
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: with CC and BCC', async ({ a, b }) => {
    await withDeadLetters(a);
    await b.consume('~dead');
    await a.put('~q', 'x', { headers: { CC: ['~other'], BCC: ['~hidden'] } });
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: CC, and a routing key of the queue', async ({ a, b }) => {
    await withDeadLetters(a, { 'x-dead-letter-routing-key': 'dead' });
    await b.consume('~dead');
    await a.put('~q', 'x', { headers: { CC: ['~other'] } });
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: CC that leads to the dead letter queue', async ({ a, b }) => {
    await a.declare('~dead');
    await a.declare('~q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': '~dead' });
    await b.consume('~dead');
    await a.put('~q', 'x', { headers: { CC: ['~dead'] } });
    await b.messages(1);
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: an exchange that is not there', async ({ a }) => {
    await a.declare('~q', { 'x-dead-letter-exchange': '~missing' });
    await a.put('~q', 'x');
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.sync('~q');
  }),
  scenario('dead letters: nowhere to go', async ({ a }) => {
    await a.declareExchange('~dlx', 'fanout');
    await a.declare('~q', { 'x-dead-letter-exchange': '~dlx' });
    await a.put('~q', 'x');
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.sync('~q');
  }),
  scenario('dead letters: purge and delete make none', async ({ a }) => {
    await withDeadLetters(a);
    await a.put('~q', '1');
    await a.call('queue.purge', { queue: '~q' });
    await a.put('~q', '2');
    await a.call('queue.delete', { queue: '~q' });
    await a.sync('~dead');
  }),
  scenario('dead letters: twice in the same queue count 2', async ({ a, b }) => {
    await a.declare('~dead', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': '~q' });
    await a.declare('~q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': '~dead' });
    await a.consume('~q');
    await b.consume('~dead');
    await a.put('~q', 'x');
    for (let tag = 1; tag <= 3; tag++) {
      await a.messages(1);
      a.send('basic.reject', { deliveryTag: tag });
      await b.messages(1);
      b.send('basic.reject', { deliveryTag: tag });
    }
    await a.messages(1);
  }),
  scenario('dead letters: a chain of queues', async ({ a, b }) => {
    await a.declare('~third');
    await a.declare('~second', {
      'x-message-ttl': 30,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': '~third',
    });
    await a.declare('~q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': '~second' });
    await b.consume('~third');
    await a.put('~q', 'x');
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: retried over a queue that waits', async ({ a }) => {
    await a.declare('~wait', {
      'x-message-ttl': 30,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': '~q',
    });
    await a.declare('~q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': '~wait' });
    await a.consume('~q');
    await a.put('~q', 'x');
    for (let tag = 1; tag <= 3; tag++) {
      await a.messages(1);
      a.send('basic.reject', { deliveryTag: tag });
    }
    await a.messages(1);
  }),
  scenario('dead letters: a circle without a rejection drops the message', async (side) => {
    await side.a.declare('~q', {
      'x-message-ttl': 30,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': '~q',
    });
    await side.a.put('~q', 'x');
    await side.counts('~q', 0);
  }),
  scenario('dead letters: a circle of two queues drops the message', async (side) => {
    for (const [queue, next] of [
      ['~one', '~two'],
      ['~two', '~one'],
    ] as const) {
      await side.a.declare(queue, {
        'x-message-ttl': 30,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': next,
      });
    }
    await side.a.put('~one', 'x');
    await side.counts('~one', 0);
    await side.counts('~two', 0);
  }),
  scenario('dead letters: headers of the client that look like a history', async ({ a, b }) => {
    await withDeadLetters(a);
    await b.consume('~dead');
    await a.put('~q', 'x', {
      headers: { 'x-death': 'mine', 'x-first-death-queue': 'mine', 'x-last-death-queue': 'mine' },
    });
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: a history published by the client', async ({ a, b }) => {
    await withDeadLetters(a);
    await b.consume('~dead');
    const death = {
      count: typed('l', 3),
      reason: 'rejected',
      queue: '~q',
      time: typed('T', 1_000_000),
      exchange: '',
      'routing-keys': ['~q'],
    };
    await a.put('~q', 'x', { headers: { 'x-death': [death] } });
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('dead letters: to several queues', async ({ a, b, c }) => {
    await withDeadLetters(a);
    await a.declare('~dead2');
    await a.bind('~dead2', '~dlx', '');
    await b.consume('~dead');
    await c.consume('~dead2');
    await a.put('~q', 'x');
    await a.get('~q');
    a.send('basic.reject', { deliveryTag: 1 });
    await b.messages(1);
    await c.messages(1);
  }),
  scenario('dead letters: beyond the delivery limit of a quorum queue', async ({ a, b }) => {
    await a.declareExchange('~dlx', 'fanout');
    await a.declare('~dead');
    await a.bind('~dead', '~dlx');
    await a.declare(
      '~q',
      { 'x-queue-type': 'quorum', 'x-delivery-limit': 1, 'x-dead-letter-exchange': '~dlx' },
      { durable: true },
    );
    await b.consume('~dead');
    await a.put('~q', 'x');
    await a.consume('~q');
    for (let tag = 1; tag <= 2; tag++) {
      await a.messages(1);
      a.send('basic.reject', { deliveryTag: tag, requeue: true });
    }
    await b.messages(1);
  }),
  scenario('dead letters: of a quorum queue, rejected', async ({ a, b }) => {
    await a.declareExchange('~dlx', 'fanout');
    await a.declare('~dead');
    await a.bind('~dead', '~dlx');
    await a.declare('~q', { 'x-queue-type': 'quorum', 'x-dead-letter-exchange': '~dlx' }, { durable: true });
    await b.consume('~dead');
    await a.put('~q', 'x', { headers: { mine: 1 } });
    await a.consume('~q');
    await a.messages(1);
    a.send('basic.reject', { deliveryTag: 1, requeue: false });
    await b.messages(1);
  }),
  scenario('dead letters: of a quorum queue, expired', async ({ a, b }) => {
    await a.declareExchange('~dlx', 'fanout');
    await a.declare('~dead');
    await a.bind('~dead', '~dlx');
    await a.declare(
      '~q',
      { 'x-queue-type': 'quorum', 'x-message-ttl': 50, 'x-dead-letter-exchange': '~dlx' },
      { durable: true },
    );
    await b.consume('~dead');
    await a.put('~q', 'x', { expiration: '40' });
    await b.messages(1);
  }),

  overflow('drop-head', { 'x-max-length': 2 }, ['1', '2', '3', '4']),
  overflow('none is kept', { 'x-max-length': 0 }, ['1', '2']),
  overflow('reject-publish', { 'x-max-length': 2, 'x-overflow': 'reject-publish' }, ['1', '2', '3', '4']),
  overflow('reject-publish-dlx', { 'x-max-length': 2, 'x-overflow': 'reject-publish-dlx' }, ['1', '2', '3', '4']),
  overflow('bytes, drop-head', { 'x-max-length-bytes': 10 }, ['12345', '12345', 'abc', '1234567890', '12345678901']),
  overflow('bytes, reject-publish', { 'x-max-length-bytes': 10, 'x-overflow': 'reject-publish' }, [
    '12345',
    '123456',
    'x',
    'y',
  ]),
  overflow('messages and bytes', { 'x-max-length': 3, 'x-max-length-bytes': 10 }, ['12345678', '1', '2', '3', '4567']),
  scenario('length: without a dead letter exchange', async ({ a }) => {
    await a.declare('~q', { 'x-max-length': 1 });
    await a.put('~q', '1');
    await a.put('~q', '2');
    await a.get('~q');
  }),
  scenario('length: messages with consumers do not count', async ({ a, b }) => {
    await a.declare('~q', { 'x-max-length': 1 });
    await b.call('basic.qos', { prefetchCount: 1 });
    await b.consume('~q');
    await a.put('~q', '1');
    await b.messages(1);
    await a.put('~q', '2');
    await a.sync('~q');
    b.send('basic.ack', { deliveryTag: 1 });
    await b.messages(1);
  }),
  scenario('length: a requeued message may be dropped', async ({ a, b }) => {
    await a.declare('~q', { 'x-max-length': 1 });
    await a.put('~q', '1');
    await b.get('~q');
    await a.put('~q', '2');
    b.send('basic.reject', { deliveryTag: 1, requeue: true });
    await b.call('basic.qos', { prefetchCount: 1 });
    await b.counted('~q', 1);
    await b.get('~q');
  }),
  scenario('length: drop-head with priorities drops the least', async ({ a }) => {
    await a.declare('~q', { 'x-max-length': 2, 'x-max-priority': 5 });
    await a.put('~q', 'low', { priority: 1 });
    await a.put('~q', 'high', { priority: 5 });
    await a.put('~q', 'middle', { priority: 3 });
    await drain(a, '~q', 3);
  }),
];

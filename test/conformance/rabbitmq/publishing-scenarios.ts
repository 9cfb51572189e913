/** Publishing: returns, confirms, transactions, properties and headers, sizes, direct replies. */
import { bodyFrame, headerFrame, methodFrame } from '../../listeners/amqp/raw-client.ts';
import { type Scenario, scenario } from './scenario.ts';
import type { Message } from './scripted-connection.ts';
import { type Field, type Properties, typed } from './typed-fields.ts';
import type { Received } from './wire.ts';

/** A message with these properties goes through a queue unchanged. */
function passes(name: string, properties: Properties, body: string | Buffer = 'body'): Scenario {
  return scenario(`content: ${name}`, async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', body, properties);
    await a.get('~q');
  });
}

/** A message with a header of this type and value. */
function header(name: string, value: Field): Scenario {
  return passes(`header: ${name}`, { headers: { value } });
}

/** A message that is refused with an error. */
function refused(name: string, properties: Properties): Scenario {
  return scenario(`content: ${name} is refused`, async ({ a }) => {
    await a.declare('~q');
    a.publish({ routingKey: '~q' }, 'x', properties);
    await a.sync('~q');
  });
}

/** A message with an expiration: taken or not? */
function expiration(text: string): Scenario {
  return scenario(`content: expiration ${JSON.stringify(text)}`, async ({ a }) => {
    await a.declare('~q');
    a.publish({ routingKey: '~q' }, 'x', { expiration: text });
    await a.call('basic.qos', { prefetchCount: 1 });
  });
}

/** The address that a broker has put into a message for direct replies. */
function replyToOf(message: Received | undefined): string {
  return (message as Message | undefined)?.properties.get('replyTo') ?? '';
}

const publish = { exchange: '', routingKey: 'nowhere', mandatory: false, immediate: false };
const REPLY_TO = 'amq.rabbitmq.reply-to';
const ALL: Properties = {
  contentType: 'text/plain',
  contentEncoding: 'utf-8',
  headers: { a: 1 },
  deliveryMode: 2,
  priority: 7,
  correlationId: 'corr',
  replyTo: 'answers',
  expiration: '600000',
  messageId: 'id',
  timestamp: 1_234_567_890,
  type: 'kind',
  userId: 'guest',
  appId: 'app',
  clusterId: 'cluster',
};

export const PUBLISHING_SCENARIOS: readonly Scenario[] = [
  scenario('publish: exchange that is not there', async ({ a }) => {
    await a.open();
    a.publish({ exchange: '~missing', routingKey: 'k' }, 'x');
    await a.closed();
  }),
  scenario('publish: exchange that is not there, in confirm mode', async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', 'one');
    a.publish({ exchange: '~missing', routingKey: 'k' }, 'two');
    await a.closed();
  }),
  scenario('publish: internal exchange', async ({ a }) => {
    await a.declareExchange('~x', 'direct', {}, { internal: true });
    a.publish({ exchange: '~x', routingKey: 'k' }, 'x');
    await a.closed();
  }),
  scenario('publish: nowhere, not mandatory', async ({ a }) => {
    await a.put('~nowhere', 'x');
  }),
  scenario('publish: nowhere, mandatory', async ({ a }) => {
    await a.open();
    a.publish({ routingKey: '~nowhere', mandatory: true }, 'body', ALL);
    await a.event();
  }),
  scenario('publish: mandatory and routed', async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', 'x', {}, { mandatory: true });
  }),
  scenario('publish: mandatory to an exchange without bindings', async ({ a }) => {
    await a.declareExchange('~x', 'fanout');
    await a.put('k', '', {}, { exchange: '~x', mandatory: true });
  }),
  scenario('publish: mandatory to a queue that is full', async ({ a }) => {
    await a.declare('~q', { 'x-max-length': 1, 'x-overflow': 'reject-publish' });
    await a.put('~q', '1');
    await a.put('~q', '2', {}, { mandatory: true });
  }),
  scenario('publish: a large returned message', async ({ a }) => {
    await a.put('~nowhere', Buffer.alloc(300_000, 'x'), {}, { mandatory: true });
  }),
  scenario('publish: nothing follows the header of an empty message', async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', '');
    await a.get('~q');
  }),
  scenario('publish: empty body frames are taken', async ({ a }) => {
    await a.open();
    a.raw(
      methodFrame(1, 'basic.publish', publish),
      headerFrame(1, 3),
      bodyFrame(1, Buffer.alloc(0)),
      bodyFrame(1, Buffer.from('abc')),
    );
    await a.call('tx.select');
  }),
  scenario('publish: in many small frames', async ({ a }) => {
    await a.declare('~q');
    a.raw(
      methodFrame(1, 'queue.bind', {
        queue: '',
        exchange: 'amq.fanout',
        routingKey: '',
        noWait: true,
        arguments: new Map(),
      }),
      methodFrame(1, 'basic.publish', { ...publish, exchange: 'amq.fanout' }),
      headerFrame(1, 5),
      ...[...'hello'].map((letter) => bodyFrame(1, Buffer.from(letter))),
    );
    await a.call('queue.unbind', { queue: '~q', exchange: 'amq.fanout', routingKey: '' });
    await a.counted('~q', 1);
    await a.get('~q');
  }),
  scenario('publish: two channels in turns, frame by frame', async ({ a, a2 }) => {
    await a.declare('~q');
    await a2.open();
    const names = [methodFrame(1, 'basic.publish', publish), methodFrame(2, 'basic.publish', publish)];
    a.raw(
      names[0]!,
      names[1]!,
      headerFrame(2, 1),
      headerFrame(1, 1),
      bodyFrame(1, Buffer.from('a')),
      bodyFrame(2, Buffer.from('b')),
    );
    await a.call('tx.select');
    await a2.call('tx.select');
  }),
  scenario('publish: a body beyond what a message may have', async ({ a, b }) => {
    await a.open();
    a.raw(methodFrame(1, 'basic.publish', publish), headerFrame(1, 1024 * 1024 * 1024));
    await a.call('tx.select');
    await b.open();
  }),

  passes('all properties', ALL),
  passes('no properties', {}),
  passes('empty properties', { contentType: '', headers: {}, correlationId: '', messageId: '', type: '', appId: '' }),
  passes('a long correlation id', { correlationId: 'c'.repeat(255) }),
  passes('other letters', { messageId: 'Ä☃😀', headers: { 'Ü☃': 'Ä☃😀' } }, 'Ä☃😀'),
  passes('bytes that are no text', { contentType: 'application/octet-stream' }, Buffer.from('00ff10feff', 'hex')),
  passes('delivery mode 1', { deliveryMode: 1 }),
  passes('delivery mode 2', { deliveryMode: 2 }),
  passes('priority 255', { priority: 255 }),
  passes('a timestamp of 0', { timestamp: 0 }),
  passes('a timestamp far ahead', { timestamp: 2 ** 40 }),
  passes('a body of one frame', {}, Buffer.alloc(131_064, 'x')),
  passes('a body of one frame and a byte', {}, Buffer.alloc(131_065, 'x')),
  passes('a body of a megabyte', {}, Buffer.alloc(1_000_000, 'x')),
  header('a boolean', true),
  header('a false boolean', false),
  header('an int8', typed('b', -5)),
  header('a uint8', typed('B', 200)),
  header('an int16', typed('s', -500)),
  header('a uint16', typed('u', 60_000)),
  header('an int32', typed('I', -5)),
  header('a uint32', typed('i', 4_000_000_000)),
  header('an int64', typed('l', -(2n ** 62n))),
  header('an int64 written with L', typed('L', 5)),
  header('a float', typed('f', 0.5)),
  header('a double', typed('d', 0.1)),
  header('a decimal', typed('D', 314)),
  header('a text', 'text'),
  header('a text that is no UTF-8', typed('S', Buffer.from('fffe00', 'hex'))),
  header('an empty text', ''),
  header('bytes', typed('x', Buffer.from('00ff', 'hex'))),
  header('a list', [1, 'two', typed('b', 3), null, [true]]),
  header('an empty list', []),
  header('a table', { a: 1, b: { c: typed('s', 2) } }),
  header('an empty table', {}),
  header('a timestamp', typed('T', 1_000_000)),
  header('nothing', null),
  header('a text of 100,000 bytes', 'x'.repeat(100_000)),
  passes('a header with an empty name', { headers: { '': 1 } }),
  passes('a hundred headers', {
    headers: Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`h${index}`, index])),
  }),
  passes('twenty tables in each other', {
    headers: Array.from({ length: 20 }).reduce<Record<string, Field>>((inner) => ({ t: inner }), {}),
  }),

  refused('the id of another user', { userId: 'somebody' }),
  passes('the own user id', { userId: 'guest' }),
  ...['0', '1000', '4294967295', '4294967296', '-1', '', 'soon', '1.5', ' 1', '1 ', '+5', '007', '10000000000'].map(
    expiration,
  ),

  // Confirms
  scenario('confirm: select twice', async ({ a }) => {
    await a.call('confirm.select');
    await a.call('confirm.select');
  }),
  scenario('confirm: select without waiting', async ({ a }) => {
    await a.open();
    a.send('confirm.select', { noWait: true });
    a.publish({ routingKey: '~nowhere' }, 'x');
    await a.confirmed();
  }),
  scenario('confirm: after tx', async ({ a }) => {
    await a.call('tx.select');
    await a.call('confirm.select');
  }),
  scenario('confirm: tx after it', async ({ a }) => {
    await a.call('confirm.select');
    await a.call('tx.select');
  }),
  scenario('confirm: each message once', async ({ a }) => {
    await a.declare('~q', {}, { durable: true });
    await a.confirms();
    for (let count = 0; count < 100; count++)
      a.publish({ routingKey: '~q' }, `${count}`, { deliveryMode: 1 + (count % 2) });
    await a.confirmed();
    await a.sync('~q');
  }),
  scenario('confirm: numbers begin with confirm.select', async ({ a }) => {
    await a.declare('~q');
    a.publish({ routingKey: '~q' }, 'before');
    await a.counted('~q', 1);
    a.forgetPublished();
    await a.put('~q', 'after');
    await a.sync('~q');
  }),
  scenario('confirm: a returned message is returned first', async ({ a }) => {
    await a.confirms();
    a.tellConfirms();
    await a.put('~nowhere', 'x', {}, { mandatory: true });
  }),
  scenario('confirm: a full queue refuses', async ({ a }) => {
    await a.declare('~q', { 'x-max-length': 2, 'x-overflow': 'reject-publish' });
    for (let count = 0; count < 4; count++) await a.put('~q', `${count}`);
    await a.get('~q', { noAck: true });
    await a.put('~q', 'again');
    await a.sync('~q');
  }),
  scenario('confirm: one of two queues is full', async ({ a }) => {
    await a.declareExchange('~x', 'fanout');
    await a.declare('~full', { 'x-max-length': 0, 'x-overflow': 'reject-publish' });
    await a.declare('~q');
    await a.bind('~full', '~x');
    await a.bind('~q', '~x');
    await a.put('', 'x', {}, { exchange: '~x' });
    await a.sync('~q');
    await a.sync('~full');
  }),
  scenario('confirm: a queue that is deleted meanwhile', async ({ a }) => {
    await a.declare('~q');
    await a.confirms();
    a.publish({ routingKey: '~q' }, 'x');
    await a.call('queue.delete', { queue: '~q' });
    await a.put('~q', 'y');
  }),

  // Transactions
  scenario('tx: commit and rollback without select', async ({ a, a2 }) => {
    await a.call('tx.commit');
    await a2.call('tx.rollback');
  }),
  scenario('tx: select twice', async ({ a }) => {
    await a.call('tx.select');
    await a.call('tx.select');
    await a.call('tx.commit');
    await a.call('tx.rollback');
  }),
  scenario('tx: messages come with the commit', async ({ a, b }) => {
    await a.declare('~q');
    await a.call('tx.select');
    a.publish({ routingKey: '~q' }, '1');
    a.publish({ routingKey: '~q' }, '2');
    await a.sync('~q');
    await a.call('tx.commit');
    await b.get('~q');
    await b.get('~q');
  }),
  scenario('tx: messages are gone with a rollback', async ({ a }) => {
    await a.declare('~q');
    await a.call('tx.select');
    a.publish({ routingKey: '~q' }, '1');
    await a.call('tx.rollback');
    await a.call('tx.commit');
    await a.sync('~q');
  }),
  scenario('tx: acknowledgments count with the commit', async ({ a, c }) => {
    await c.declare('~q');
    await c.put('~q', '1');
    await c.put('~q', '2');
    await a.call('tx.select');
    await a.get('~q');
    await a.get('~q');
    a.send('basic.ack', { deliveryTag: 1 });
    await a.call('tx.commit');
    a.send('basic.ack', { deliveryTag: 2 });
    await a.close();
    await c.counted('~q', 1);
    await c.get('~q');
  }),
  scenario('tx: acknowledgments may be rolled back', async ({ a, c }) => {
    await c.declare('~q');
    await c.put('~q', '1');
    await a.call('tx.select');
    await a.get('~q');
    a.send('basic.ack', { deliveryTag: 1 });
    await a.call('tx.rollback');
    await c.sync('~q');
    a.send('basic.ack', { deliveryTag: 1 });
    await a.call('tx.commit');
    await a.close();
    await c.sync('~q');
  }),
  scenario('tx: requeue with the commit', async ({ a, c }) => {
    await c.declare('~q');
    await c.put('~q', '1');
    await a.call('tx.select');
    await a.get('~q');
    a.send('basic.nack', { deliveryTag: 1, requeue: true });
    await a.sync('~q');
    await a.call('tx.commit');
    await a.counted('~q', 1);
  }),
  scenario('tx: an unknown tag', async ({ a }) => {
    await a.call('tx.select');
    a.send('basic.ack', { deliveryTag: 7 });
    await a.call('tx.commit');
  }),
  scenario('tx: mandatory messages are returned at the commit', async ({ a }) => {
    await a.call('tx.select');
    a.publish({ routingKey: '~nowhere', mandatory: true }, 'x');
    await a.call('basic.qos', { prefetchCount: 1 });
    await a.call('tx.commit');
    await a.event();
  }),
  scenario('tx: an exchange that is not there', async ({ a }) => {
    await a.call('tx.select');
    a.publish({ exchange: '~missing', routingKey: 'k' }, 'x');
    await a.call('tx.commit');
  }),
  scenario('tx: a full queue', async ({ a }) => {
    await a.declare('~q', { 'x-max-length': 0, 'x-overflow': 'reject-publish' });
    await a.call('tx.select');
    a.publish({ routingKey: '~q' }, 'x');
    await a.call('tx.commit');
  }),
  scenario('tx: a transaction ends with its channel', async ({ a, b }) => {
    await a.declare('~q');
    await a.call('tx.select');
    a.publish({ routingKey: '~q' }, 'x');
    await a.close();
    await b.sync('~q');
  }),

  // Direct reply-to
  scenario('reply-to: consume with ack', async ({ a }) => void (await a.consume(REPLY_TO))),
  scenario('reply-to: consume twice', async ({ a }) => {
    await a.consume(REPLY_TO, { noAck: true });
    await a.consume(REPLY_TO, { noAck: true, consumerTag: 'd' });
  }),
  scenario('reply-to: publish without consuming', async ({ a }) => {
    await a.open();
    a.publish({ routingKey: '~nowhere' }, 'x', { replyTo: REPLY_TO });
    await a.closed();
  }),
  scenario('reply-to: a question and its answer', async ({ a, b }) => {
    await b.declare('~questions');
    await a.consume(REPLY_TO, { noAck: true });
    await a.put('~questions', 'why?', { replyTo: REPLY_TO, correlationId: '1' });
    const question = await b.get('~questions', { noAck: true });
    const replyTo = replyToOf(question);
    await b.put(replyTo, 'because', { correlationId: '1' }, { mandatory: true });
    await a.messages(1);
    await b.put(replyTo, 'and', { correlationId: '1', headers: { a: 1 } });
    await a.messages(1);
  }),
  scenario('reply-to: is declared passively', async ({ a, b }) => {
    await a.consume(REPLY_TO, { noAck: true });
    await a.declare(REPLY_TO, {}, { passive: true });
    await a.declare('~questions');
    await a.put('~questions', 'why?', { replyTo: REPLY_TO });
    const question = await b.get('~questions', { noAck: true });
    await b.declare(replyToOf(question), {}, { passive: true });
    await b.declare(`${REPLY_TO}.nobody`, {}, { passive: true });
  }),
  scenario('reply-to: nobody is there any more', async ({ a, b, c }) => {
    await b.declare('~questions');
    await a.consume(REPLY_TO, { noAck: true });
    await a.put('~questions', 'why?', { replyTo: REPLY_TO });
    const question = await b.get('~questions', { noAck: true });
    const replyTo = replyToOf(question);
    await a.close();
    await c.put(replyTo, 'too late', {}, { mandatory: true });
  }),
  scenario('reply-to: cancel and consume again', async ({ a }) => {
    await a.consume(REPLY_TO, { noAck: true });
    await a.call('basic.cancel', { consumerTag: 'c' });
    await a.consume(REPLY_TO, { noAck: true });
  }),
  scenario('reply-to: get', async ({ a }) => void (await a.get(REPLY_TO))),
  scenario('reply-to: other reply addresses stay', async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', 'x', { replyTo: 'somewhere' });
    await a.get('~q');
  }),
];

/** Queues: every method, argument and refusal, and how they come and go. */
import { type Scenario, scenario } from './scenario.ts';
import { type Field, type Fields, typed } from './typed-fields.ts';
import type { Arguments } from './wire.ts';

/** A queue is declared with an argument of this value. */
function argument(name: string, values: ReadonlyArray<readonly [string, Field]>, more: Fields = {}): Scenario[] {
  return values.map(([value, field]) =>
    scenario(`queue argument: ${[name, ...Object.values(more)].join(' with ')}: ${value}`, async ({ a }) => {
      await a.declare('~q', { ...more, [name]: field }, { durable: true });
    }),
  );
}

/** A queue is declared, then again with something else. */
function redeclare(name: string, first: Arguments<'queue.declare'>, second: Arguments<'queue.declare'>): Scenario {
  return scenario(`queue: declared again: ${name}`, async ({ a }) => {
    await a.call('queue.declare', { queue: '~q', ...first });
    await a.call('queue.declare', { queue: '~q', ...second });
  });
}

function redeclareArguments(name: string, first: Fields, second: Fields): Scenario {
  return redeclare(name, { arguments: first }, { arguments: second });
}

/** A method that a connection tries on an exclusive queue of another. */
function locked(name: string, method: (queue: string) => Parameters<Attempt>): Scenario {
  return scenario(`queue: exclusive to another connection: ${name}`, async ({ a, b }) => {
    await a.declare('~q', {}, { exclusive: true });
    await b.call(...method('~q'));
  });
}
type Attempt = (
  name: 'queue.declare' | 'queue.delete' | 'queue.purge' | 'basic.consume' | 'basic.get' | 'queue.bind',
  args: { readonly [name: string]: string | boolean },
) => unknown;

const NUMBERS: ReadonlyArray<readonly [string, Field]> = [
  ['1000', 1000],
  ['0', 0],
  ['-1', -1],
  ['a long', typed('l', 1000)],
  ['a short', typed('s', 1000)],
  ['a byte', typed('b', 10)],
  ['an unsigned byte', typed('B', 200)],
  ['an unsigned short', typed('u', 60_000)],
  ['an unsigned int', typed('i', 3_000_000_000)],
  ['2^31', 2 ** 31],
  ['2^32 - 1', 2 ** 32 - 1],
  ['2^32', 2 ** 32],
  ['10^12', 10 ** 12],
  ['a text', '1000'],
  ['a double', 1000.5],
  ['a float', typed('f', 1000)],
  ['a boolean', true],
  ['nothing', null],
  ['a list', [1000]],
  ['a timestamp', typed('T', 1000)],
];
const TEXTS: ReadonlyArray<readonly [string, Field]> = [
  ['a text', '~x'],
  ['an empty text', ''],
  ['a number', 1],
  ['a boolean', true],
  ['nothing', null],
  ['bytes', typed('x', '~x')],
  ['a table', {}],
];
const OTHERS: ReadonlyArray<readonly [string, Field]> = [
  ['an unknown word', 'other'],
  ['a number', 1],
  ['nothing', null],
];
const QUORUM = { 'x-queue-type': 'quorum' };

export const QUEUE_SCENARIOS: readonly Scenario[] = [
  scenario('queue: declare, again, passive, delete, passive', async ({ a }) => {
    await a.declare('~q', {}, { durable: true });
    await a.declare('~q', {}, { durable: true });
    await a.declare('~q', {}, { passive: true });
    await a.call('queue.delete', { queue: '~q' });
    await a.declare('~q', {}, { passive: true });
  }),
  scenario('queue: passive with other properties and arguments', async ({ a }) => {
    await a.declare('~q', { 'x-max-length': 5 }, { durable: true });
    await a.declare('~q', { 'x-max-length': 6 }, { passive: true, autoDelete: true });
  }),
  scenario('queue: names by the broker', async ({ a }) => {
    await a.declare('', {}, { exclusive: true });
    await a.declare('', {}, { exclusive: true });
    await a.declare('', {}, { passive: true });
    await a.call('queue.delete', { queue: '' });
  }),
  scenario('queue: a name by the broker can be used by others', async ({ a, b }) => {
    const queue = String((await a.declare(''))?.args['queue']);
    await b.put(queue, 'x');
    await a.get(queue);
    await b.call('queue.delete', { queue });
  }),
  scenario('queue: passive with an empty name and none declared', async ({ a }) => {
    await a.declare('', {}, { passive: true });
  }),
  scenario('queue: a name that begins with amq.', async ({ a }) => void (await a.declare('amq.~q'))),
  scenario('queue: amq. passive', async ({ a }) => void (await a.declare('amq.~q', {}, { passive: true }))),
  scenario('queue: amq without a dot', async ({ a }) => void (await a.declare('amq~q'))),
  scenario('queue: a name with line ends, slashes and other letters', async ({ a }) => {
    await a.declare('~q\r\n/ü☃');
    await a.sync('~q/ü☃');
  }),
  scenario('queue: a long name', async ({ a }) => void (await a.declare(`~${'q'.repeat(200)}`))),
  scenario('queue: without waiting', async ({ a }) => {
    await a.open();
    a.send('queue.declare', { queue: '~q', noWait: true });
    await a.sync('~q');
    await a.put('~q', 'x');
    a.send('queue.purge', { queue: '~q', noWait: true });
    await a.sync('~q');
    a.send('queue.delete', { queue: '~q', noWait: true });
    await a.sync('~q');
  }),
  scenario('queue: an error without waiting', async ({ a }) => {
    await a.open();
    a.send('queue.declare', { queue: '~missing', passive: true, noWait: true });
    await a.closed();
  }),
  scenario('queue: delete one that is not there', async ({ a }) => {
    await a.call('queue.delete', { queue: '~missing' });
    await a.call('queue.delete', { queue: '~missing', ifUnused: true, ifEmpty: true });
  }),
  scenario('queue: delete with an empty name and none declared', async ({ a }) => {
    await a.call('queue.delete', { queue: '' });
  }),
  scenario('queue: delete if empty, and it is not', async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', 'x');
    await a.call('queue.delete', { queue: '~q', ifEmpty: true });
  }),
  scenario('queue: delete if empty, and its only message is with a consumer', async ({ a, a2 }) => {
    await a.declare('~q');
    await a.put('~q', 'x');
    await a2.get('~q');
    await a.call('queue.delete', { queue: '~q', ifEmpty: true });
  }),
  scenario('queue: delete if unused, and it has a consumer', async ({ a }) => {
    await a.declare('~q');
    await a.consume('~q');
    await a.call('queue.delete', { queue: '~q', ifUnused: true });
  }),
  scenario('queue: delete if unused and empty, and it is', async ({ a }) => {
    await a.declare('~q');
    await a.call('queue.delete', { queue: '~q', ifUnused: true, ifEmpty: true });
  }),
  scenario('queue: delete tells how many messages went with it', async ({ a, a2 }) => {
    await a.declare('~q');
    for (const body of ['1', '2', '3']) await a.put('~q', body);
    await a2.get('~q');
    await a.call('queue.delete', { queue: '~q' });
  }),
  scenario('queue: delete tells its consumers', async (side) => {
    await side.a.declare('~q');
    await side.b.consume('~q');
    await side.a.call('queue.delete', { queue: '~q' });
    await side.b.event();
    await side.b.call('basic.cancel', { consumerTag: 'c' });
  }),
  scenario('queue: delete tells nobody who has not asked for it', async (side) => {
    await side.connect('b', { capabilities: { 'basic.nack': true } });
    await side.a.declare('~q');
    await side.b.consume('~q');
    await side.a.call('queue.delete', { queue: '~q' });
    await side.b.call('tx.select');
  }),
  scenario('queue: purge', async ({ a, a2 }) => {
    await a.declare('~q');
    for (const body of ['1', '2', '3']) await a.put('~q', body);
    const got = await a2.get('~q');
    await a.call('queue.purge', { queue: '~q' });
    await a.sync('~q');
    a2.send('basic.reject', { deliveryTag: Number(got?.args['deliveryTag']), requeue: true });
    await a2.counted('~q', 1);
  }),
  scenario(
    'queue: purge one that is not there',
    async ({ a }) => void (await a.call('queue.purge', { queue: '~missing' })),
  ),
  scenario('queue: purge with an empty name', async ({ a }) => {
    await a.declare('~q');
    await a.call('queue.purge', { queue: '' });
  }),
  scenario('queue: purge with an empty name and none declared', async ({ a }) => void (await a.call('queue.purge'))),

  locked('declare', (queue) => ['queue.declare', { queue, exclusive: true }]),
  locked('declare without exclusive', (queue) => ['queue.declare', { queue }]),
  locked('passive', (queue) => ['queue.declare', { queue, passive: true }]),
  locked('delete', (queue) => ['queue.delete', { queue }]),
  locked('purge', (queue) => ['queue.purge', { queue }]),
  locked('consume', (queue) => ['basic.consume', { queue }]),
  locked('get', (queue) => ['basic.get', { queue }]),
  locked('bind', (queue) => ['queue.bind', { queue, exchange: 'amq.direct', routingKey: queue }]),
  scenario('queue: exclusive to another connection: publishing to it is allowed', async ({ a, b }) => {
    await a.declare('~q', {}, { exclusive: true });
    await b.put('~q', 'x', {}, { mandatory: true });
    await a.get('~q');
  }),
  scenario('queue: exclusive ones go with their connection', async (side) => {
    await side.a.declare('~q', {}, { exclusive: true });
    await side.a.declare('~durable', {}, { exclusive: true, durable: true });
    side.connection('a').destroy();
    await side.gone('~q');
    await side.gone('~durable');
  }),
  scenario('queue: exclusive ones are known on all channels of their connection', async ({ a, a2 }) => {
    await a.declare('~q', {}, { exclusive: true });
    await a2.declare('~q', {}, { exclusive: true });
    await a2.declare('~q');
  }),
  scenario('queue: auto-delete goes with its last consumer', async (side) => {
    const { a, a2 } = side;
    await a.declare('~q', {}, { autoDelete: true });
    await a.consume('~q');
    await a2.consume('~q');
    await a.call('basic.cancel', { consumerTag: 'c' });
    await a.sync('~q');
    await a2.call('basic.cancel', { consumerTag: 'c' });
    await side.gone('~q');
  }),
  scenario('queue: auto-delete goes when the channel of its consumer is closed', async (side) => {
    await side.a.declare('~q', {}, { autoDelete: true });
    await side.a.consume('~q');
    await side.a.close();
    await side.gone('~q');
  }),
  scenario('queue: auto-delete goes when the connection of its consumer is lost', async (side) => {
    await side.a.declare('~q', {}, { autoDelete: true });
    await side.a.consume('~q');
    side.connection('a').destroy();
    await side.gone('~q');
  }),
  scenario('queue: auto-delete stays without any consumer', async ({ a, b }) => {
    await a.declare('~q', {}, { autoDelete: true });
    await a.put('~q', 'x');
    await a.get('~q', { noAck: true });
    await a.close();
    await b.sync('~q');
  }),
  scenario('queue: expires', async (side) => {
    await side.a.declare('~q', { 'x-expires': 200 });
    await side.a.put('~q', 'goes too');
    await side.gone('~q');
  }),
  scenario('queue: expires not while it has a consumer', async (side) => {
    await side.a.declare('~q', { 'x-expires': 2000 });
    await side.a.declare('~clock', { 'x-expires': 3000 });
    await side.a.consume('~q');
    await side.gone('~clock');
    await side.a.sync('~q');
    await side.a.call('basic.cancel', { consumerTag: 'c' });
    await side.gone('~q');
  }),
  scenario('queue: deleted while a consumer has messages', async (side) => {
    await side.a.declare('~q');
    await side.a.put('~q', 'x');
    await side.b.consume('~q');
    const [message] = await side.b.messages(1);
    await side.a.call('queue.delete', { queue: '~q' });
    await side.b.event();
    side.b.send('basic.ack', { deliveryTag: message?.deliveryTag ?? 0 });
    await side.b.call('tx.select');
  }),
  scenario('queue: deleted and declared again is another one', async ({ a }) => {
    await a.declare('~q', { 'x-max-length': 5 });
    await a.bind('~q', 'amq.direct', '~k');
    await a.call('queue.delete', { queue: '~q' });
    await a.declare('~q', { 'x-max-length': 6 });
    await a.put('~k', 'x', {}, { exchange: 'amq.direct', mandatory: true });
  }),

  redeclare('durable', {}, { durable: true }),
  redeclare('not durable', { durable: true }, {}),
  redeclare('exclusive', {}, { exclusive: true }),
  redeclare('auto-delete', {}, { autoDelete: true }),
  redeclareArguments('an argument that means nothing', {}, { 'x-mine': 1 }),
  redeclareArguments('a time to live more', {}, { 'x-message-ttl': 1000 }),
  redeclareArguments('a time to live less', { 'x-message-ttl': 1000 }, {}),
  redeclareArguments('another time to live', { 'x-message-ttl': 1000 }, { 'x-message-ttl': 2000 }),
  redeclareArguments(
    'the same time to live as a long',
    { 'x-message-ttl': 1000 },
    { 'x-message-ttl': typed('l', 1000) },
  ),
  redeclareArguments('another expiry', { 'x-expires': 100_000 }, { 'x-expires': 200_000 }),
  redeclareArguments('another length', { 'x-max-length': 1 }, { 'x-max-length': 2 }),
  redeclareArguments('another length in bytes', { 'x-max-length-bytes': 1 }, { 'x-max-length-bytes': 2 }),
  redeclareArguments('another overflow', { 'x-overflow': 'drop-head' }, { 'x-overflow': 'reject-publish' }),
  redeclareArguments(
    'another dead letter exchange',
    { 'x-dead-letter-exchange': '~x' },
    { 'x-dead-letter-exchange': '~y' },
  ),
  redeclareArguments(
    'another dead letter routing key',
    { 'x-dead-letter-exchange': '~x', 'x-dead-letter-routing-key': 'a' },
    { 'x-dead-letter-exchange': '~x', 'x-dead-letter-routing-key': 'b' },
  ),
  redeclareArguments('another priority', { 'x-max-priority': 5 }, { 'x-max-priority': 6 }),
  redeclareArguments('single active consumer more', {}, { 'x-single-active-consumer': true }),
  redeclareArguments('another mode', { 'x-queue-mode': 'default' }, { 'x-queue-mode': 'lazy' }),
  redeclare(
    'another type',
    { durable: true, arguments: { 'x-queue-type': 'classic' } },
    { durable: true, arguments: QUORUM },
  ),
  redeclare('the default type by name', { durable: true }, { durable: true, arguments: { 'x-queue-type': 'classic' } }),

  ...argument('x-message-ttl', NUMBERS),
  ...argument('x-expires', NUMBERS),
  ...argument('x-max-length', NUMBERS),
  ...argument('x-max-length-bytes', NUMBERS.slice(0, 3)),
  ...argument('x-max-priority', [...NUMBERS, ['255', 255], ['256', 256], ['1', 1], ['10', 10]]),
  ...argument('x-delivery-limit', NUMBERS.slice(0, 4), QUORUM),
  ...argument('x-delivery-limit', NUMBERS.slice(0, 3)),
  ...argument('x-consumer-timeout', NUMBERS.slice(0, 3)),
  ...argument('x-dead-letter-exchange', TEXTS),
  ...argument('x-dead-letter-routing-key', TEXTS, { 'x-dead-letter-exchange': '~x' }),
  ...argument('x-dead-letter-routing-key', [['without an exchange', 'k']]),
  ...argument('x-overflow', [
    ['drop-head', 'drop-head'],
    ['reject-publish', 'reject-publish'],
    ['reject-publish-dlx', 'reject-publish-dlx'],
    ...OTHERS,
  ]),
  ...argument('x-queue-mode', [['lazy', 'lazy'], ['default', 'default'], ...OTHERS]),
  ...argument('x-queue-version', [
    ['1', 1],
    ['2', 2],
    ['3', 3],
    ['a text', '1'],
  ]),
  ...argument('x-queue-type', [
    ['classic', 'classic'],
    ['quorum', 'quorum'],
    ['in capitals', 'QUORUM'],
    ['empty', ''],
    ...OTHERS,
  ]),
  ...argument('x-single-active-consumer', [
    ['true', true],
    ['false', false],
    ['a text', 'true'],
    ['a number', 1],
  ]),
  ...argument('x-queue-master-locator', [['min-masters', 'min-masters'], ...OTHERS]),
  ...argument('x-mine', [
    ['a text', 'x'],
    ['a table', { a: [1, { b: true }] }],
    ['nothing', null],
  ]),

  scenario('queue: a quorum queue that is not durable', async ({ a }) => void (await a.declare('~q', QUORUM))),
  scenario('queue: an exclusive quorum queue', async ({ a }) => {
    await a.declare('~q', QUORUM, { durable: true, exclusive: true });
  }),
  scenario('queue: an auto-delete quorum queue', async ({ a }) => {
    await a.declare('~q', QUORUM, { durable: true, autoDelete: true });
  }),
  scenario('queue: a quorum queue with a name by the broker', async ({ a }) => {
    await a.declare('', QUORUM, { durable: true });
  }),
  scenario(
    'queue: a stream that is not durable',
    async ({ a }) => void (await a.declare('~q', { 'x-queue-type': 'stream' })),
  ),
  scenario('queue: an exclusive stream', async ({ a }) => {
    await a.declare('~q', { 'x-queue-type': 'stream' }, { durable: true, exclusive: true });
  }),
];

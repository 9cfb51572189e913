/** Exchanges and bindings: every method, argument and refusal. */
import { type Scenario, scenario } from './scenario.ts';
import type { ScriptedChannel } from './scripted-connection.ts';
import { type Field, type Fields, typed } from './typed-fields.ts';

type Declaration = Parameters<ScriptedChannel['declareExchange']>;

/** Declares an exchange, then again with something else. */
function redeclare(name: string, first: Partial<Declaration[3]>, second: Partial<Declaration[3]>): Scenario {
  return scenario(`exchange: declared again: ${name}`, async ({ a }) => {
    await a.declareExchange('~x', 'direct', {}, first);
    await a.declareExchange('~x', 'direct', {}, second);
  });
}

function redeclareArguments(name: string, first: Fields, second: Fields): Scenario {
  return scenario(`exchange: declared again: ${name}`, async ({ a }) => {
    await a.declareExchange('~x', 'direct', first);
    await a.declareExchange('~x', 'direct', second);
  });
}

const PREDECLARED: ReadonlyArray<readonly [string, string]> = [
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
];

const ALTERNATES: ReadonlyArray<readonly [string, Field]> = [
  ['a number', 5],
  ['a boolean', true],
  ['nothing', null],
  ['a table', { a: 1 }],
  ['an empty name', ''],
  ['an exchange that is not there', '~nowhere'],
  ['bytes', typed('x', Buffer.from('x'))],
];

export const EXCHANGE_SCENARIOS: readonly Scenario[] = [
  ...['direct', 'fanout', 'topic', 'headers'].map((type) =>
    scenario(`exchange: declare ${type}`, async ({ a }) => {
      await a.declareExchange('~x', type, {}, { durable: true });
      await a.declareExchange('~x', type, {}, { durable: true });
      await a.declareExchange('~x', '', {}, { passive: true });
      await a.call('exchange.delete', { exchange: '~x' });
      await a.declareExchange('~x', '', {}, { passive: true });
    }),
  ),
  scenario('exchange: passive is not there', async ({ a }) => {
    await a.declareExchange('~missing', 'direct', {}, { passive: true });
  }),
  scenario('exchange: passive of another type', async ({ a }) => {
    await a.declareExchange('~x', 'direct');
    await a.declareExchange('~x', 'fanout', {}, { passive: true, durable: true });
  }),
  scenario('exchange: passive of an unknown type', async ({ a }) => {
    await a.declareExchange('~x', 'direct');
    await a.declareExchange('~x', 'telepathy', {}, { passive: true });
  }),
  scenario('exchange: an unknown type', async ({ a }) => void (await a.declareExchange('~x', 'telepathy'))),
  scenario('exchange: an empty type', async ({ a }) => void (await a.declareExchange('~x', ''))),
  scenario('exchange: a type in capitals', async ({ a }) => void (await a.declareExchange('~x', 'DIRECT'))),
  scenario('exchange: another type', async ({ a }) => {
    await a.declareExchange('~x', 'direct');
    await a.declareExchange('~x', 'fanout');
  }),
  redeclare('durable', {}, { durable: true }),
  redeclare('not durable', { durable: true }, {}),
  redeclare('auto-delete', {}, { autoDelete: true }),
  redeclare('internal', {}, { internal: true }),
  redeclareArguments('an alternate exchange more', {}, { 'alternate-exchange': '~alt' }),
  redeclareArguments('an alternate exchange less', { 'alternate-exchange': '~alt' }, {}),
  redeclareArguments('another alternate exchange', { 'alternate-exchange': '~one' }, { 'alternate-exchange': '~two' }),
  redeclareArguments('an argument that means nothing', {}, { 'x-mine': 1 }),
  ...ALTERNATES.map(([name, value]) =>
    scenario(`exchange: an alternate exchange that is ${name}`, async ({ a }) => {
      await a.declareExchange('~x', 'direct', { 'alternate-exchange': value });
      await a.put('key', 'x', {}, { exchange: '~x', mandatory: true });
    }),
  ),
  ...PREDECLARED.map(([name, type]) =>
    scenario(`exchange: ${name} is there`, async ({ a }) => {
      await a.declareExchange(name, type, {}, { durable: true });
      await a.declareExchange(name, type, {}, { passive: true });
      await a.call('exchange.delete', { exchange: name });
    }),
  ),
  scenario('exchange: amq.direct as it is not', async ({ a }) => {
    await a.declareExchange('amq.direct', 'fanout', {}, { durable: true });
  }),
  scenario(
    'exchange: amq.direct that is not durable',
    async ({ a }) => void (await a.declareExchange('amq.direct', 'direct')),
  ),
  scenario(
    'exchange: a name that begins with amq.',
    async ({ a }) => void (await a.declareExchange('amq.~x', 'direct')),
  ),
  scenario('exchange: amq. passive', async ({ a }) => {
    await a.declareExchange('amq.~x', 'direct', {}, { passive: true });
  }),
  scenario(
    'exchange: amq alone is a name like others',
    async ({ a }) => void (await a.declareExchange('amq~x', 'direct')),
  ),
  scenario('exchange: delete one that begins with amq. and is not there', async ({ a }) => {
    await a.call('exchange.delete', { exchange: 'amq.~x' });
  }),
  scenario(
    'exchange: an empty name',
    async ({ a }) => void (await a.declareExchange('', 'direct', {}, { durable: true })),
  ),
  scenario('exchange: the default one, passive', async ({ a }) => {
    await a.declareExchange('', 'direct', {}, { passive: true });
  }),
  scenario(
    'exchange: delete the default one',
    async ({ a }) => void (await a.call('exchange.delete', { exchange: '' })),
  ),
  scenario('exchange: bind a queue to the default one', async ({ a }) => {
    await a.declare('~q');
    await a.bind('~q', '', 'key');
  }),
  scenario('exchange: unbind a queue from the default one', async ({ a }) => {
    await a.declare('~q');
    await a.call('queue.unbind', { queue: '~q', exchange: '', routingKey: '~q' });
  }),
  scenario('exchange: bind to the default one', async ({ a }) => {
    await a.declareExchange('~x', 'fanout');
    await a.call('exchange.bind', { source: '~x', destination: '', routingKey: 'k' });
  }),
  scenario('exchange: bind from the default one', async ({ a }) => {
    await a.declareExchange('~x', 'fanout');
    await a.call('exchange.bind', { source: '', destination: '~x', routingKey: 'k' });
  }),
  scenario('exchange: unbind from the default one', async ({ a }) => {
    await a.declareExchange('~x', 'fanout');
    await a.call('exchange.unbind', { source: '', destination: '~x', routingKey: 'k' });
  }),
  scenario('exchange: delete one that is not there', async ({ a }) => {
    await a.call('exchange.delete', { exchange: '~missing' });
    await a.call('exchange.delete', { exchange: '~missing', ifUnused: true });
  }),
  scenario('exchange: delete if unused, and it is', async ({ a }) => {
    await a.declareExchange('~x', 'direct');
    await a.call('exchange.delete', { exchange: '~x', ifUnused: true });
  }),
  scenario('exchange: delete if unused, and it is bound to a queue', async ({ a }) => {
    await a.declareExchange('~x', 'direct');
    await a.declare('~q');
    await a.bind('~q', '~x', 'k');
    await a.call('exchange.delete', { exchange: '~x', ifUnused: true });
  }),
  scenario('exchange: delete if unused, and it is only the destination of a binding', async ({ a }) => {
    await a.declareExchange('~x', 'direct');
    await a.call('exchange.bind', { source: 'amq.fanout', destination: '~x', routingKey: '~' });
    await a.call('exchange.delete', { exchange: '~x', ifUnused: true });
  }),
  scenario('exchange: auto-delete goes with its last binding', async (side) => {
    const { a } = side;
    await a.declareExchange('~x', 'direct', {}, { autoDelete: true });
    await a.declare('~q');
    await a.bind('~q', '~x', 'k');
    await a.bind('~q', '~x', 'l');
    await a.call('queue.unbind', { queue: '~q', exchange: '~x', routingKey: 'k' });
    await a.declareExchange('~x', 'direct', {}, { passive: true });
    await a.call('queue.unbind', { queue: '~q', exchange: '~x', routingKey: 'l' });
    await side.exchangeGone('~x');
  }),
  scenario('exchange: auto-delete stays before its first binding', async ({ a }) => {
    await a.declareExchange('~x', 'direct', {}, { autoDelete: true });
    await a.declare('~q');
    await a.call('queue.unbind', { queue: '~q', exchange: '~x', routingKey: 'k' });
    await a.declareExchange('~x', 'direct', {}, { passive: true });
  }),
  scenario('exchange: auto-delete goes when the bound queue is deleted', async (side) => {
    await side.a.declareExchange('~x', 'direct', {}, { autoDelete: true });
    await side.a.declare('~q');
    await side.a.bind('~q', '~x', 'k');
    await side.a.call('queue.delete', { queue: '~q' });
    await side.exchangeGone('~x');
  }),
  scenario('exchange: auto-delete goes when the bound exchange is deleted', async (side) => {
    await side.a.declareExchange('~x', 'direct', {}, { autoDelete: true });
    await side.a.declareExchange('~y', 'direct');
    await side.a.call('exchange.bind', { source: '~x', destination: '~y', routingKey: 'k' });
    await side.a.call('exchange.delete', { exchange: '~y' });
    await side.exchangeGone('~x');
  }),
  scenario('exchange: a chain of auto-delete exchanges goes', async (side) => {
    await side.a.declareExchange('~x', 'direct', {}, { autoDelete: true });
    await side.a.declareExchange('~y', 'direct', {}, { autoDelete: true });
    await side.a.declare('~q');
    await side.a.call('exchange.bind', { source: '~x', destination: '~y', routingKey: 'k' });
    await side.a.bind('~q', '~y', 'k');
    await side.a.call('queue.delete', { queue: '~q' });
    await side.exchangeGone('~y');
    await side.exchangeGone('~x');
  }),
  scenario('exchange: declare and delete without waiting', async ({ a }) => {
    await a.open();
    a.send('exchange.declare', { exchange: '~x', type: 'direct', noWait: true });
    await a.declareExchange('~x', 'direct', {}, { passive: true });
    a.send('exchange.delete', { exchange: '~x', noWait: true });
    await a.declareExchange('~x', 'direct', {}, { passive: true });
  }),
  scenario('exchange: a long name', async ({ a }) => void (await a.declareExchange(`~${'x'.repeat(200)}`, 'direct'))),
  scenario('exchange: a name with line ends, slashes and other letters', async ({ a }) => {
    await a.declareExchange('~x\r\n/ü☃', 'direct');
    await a.declareExchange('~x\r\n/ü☃', 'fanout');
  }),

  // Bindings
  scenario('binding: queue that is not there', async ({ a }) => void (await a.bind('~missing', 'amq.direct', 'k'))),
  scenario('binding: exchange that is not there', async ({ a }) => {
    await a.declare('~q');
    await a.bind('~q', '~missing', 'k');
  }),
  scenario('binding: neither is there', async ({ a }) => void (await a.bind('~missing', '~nowhere', 'k'))),
  scenario('binding: twice is once', async ({ a }) => {
    await a.declare('~q');
    await a.bind('~q', 'amq.direct', '~k');
    await a.bind('~q', 'amq.direct', '~k');
    await a.put('~k', 'x', {}, { exchange: 'amq.direct' });
    await a.sync('~q');
    await a.call('queue.unbind', { queue: '~q', exchange: 'amq.direct', routingKey: '~k' });
    await a.put('~k', 'x', {}, { exchange: 'amq.direct', mandatory: true });
  }),
  scenario('binding: two keys, one message each', async ({ a }) => {
    await a.declare('~q');
    await a.bind('~q', 'amq.topic', '~k.#');
    await a.bind('~q', 'amq.topic', '~k.*');
    await a.put('~k.1', 'x', {}, { exchange: 'amq.topic' });
    await a.sync('~q');
  }),
  scenario('binding: empty queue name is the one declared last', async ({ a }) => {
    await a.declare('~one');
    await a.declare('~two');
    await a.bind('', 'amq.direct', '~k');
    await a.put('~k', 'x', {}, { exchange: 'amq.direct' });
    await a.sync('~two');
  }),
  scenario('binding: empty queue name and key', async ({ a }) => {
    await a.declare('~q');
    await a.bind('', 'amq.direct', '');
    await a.put('~q', 'x', {}, { exchange: 'amq.direct' });
    await a.sync('~q');
    await a.call('queue.unbind', { queue: '', exchange: 'amq.direct', routingKey: '' });
    await a.put('~q', 'x', {}, { exchange: 'amq.direct', mandatory: true });
  }),
  scenario('binding: empty queue name and none declared', async ({ a }) => void (await a.bind('', 'amq.direct', 'k'))),
  scenario('binding: unbind what is not bound', async ({ a }) => {
    await a.declare('~q');
    await a.call('queue.unbind', { queue: '~q', exchange: 'amq.direct', routingKey: 'never' });
  }),
  scenario('binding: unbind from an exchange that is not there', async ({ a }) => {
    await a.declare('~q');
    await a.call('queue.unbind', { queue: '~q', exchange: '~missing', routingKey: 'k' });
  }),
  scenario('binding: unbind a queue that is not there', async ({ a }) => {
    await a.call('queue.unbind', { queue: '~missing', exchange: 'amq.direct', routingKey: 'k' });
  }),
  scenario('binding: arguments make another binding', async ({ a }) => {
    await a.declare('~q');
    await a.bind('~q', 'amq.direct', '~k', { a: 1 });
    await a.bind('~q', 'amq.direct', '~k', { a: 2 });
    await a.call('queue.unbind', { queue: '~q', exchange: 'amq.direct', routingKey: '~k', arguments: { a: 1 } });
    await a.put('~k', 'x', {}, { exchange: 'amq.direct', mandatory: true });
    await a.call('queue.unbind', { queue: '~q', exchange: 'amq.direct', routingKey: '~k' });
    await a.put('~k', 'x', {}, { exchange: 'amq.direct', mandatory: true });
    await a.sync('~q');
  }),
  scenario('binding: without waiting', async ({ a }) => {
    await a.declare('~q');
    a.send('queue.bind', { queue: '~q', exchange: 'amq.direct', routingKey: '~k', noWait: true });
    await a.put('~k', 'x', {}, { exchange: 'amq.direct', mandatory: true });
    await a.sync('~q');
  }),
  scenario('binding: an exclusive queue of another connection', async ({ a, b }) => {
    await a.declare('~q', {}, { exclusive: true });
    await b.bind('~q', 'amq.direct', '~k');
  }),
  scenario('binding: unbind an exclusive queue of another connection', async ({ a, b }) => {
    await a.declare('~q', {}, { exclusive: true });
    await b.call('queue.unbind', { queue: '~q', exchange: 'amq.direct', routingKey: '~k' });
  }),
  scenario('exchange binding: source is not there', async ({ a }) => {
    await a.call('exchange.bind', { source: '~missing', destination: 'amq.direct', routingKey: 'k' });
  }),
  scenario('exchange binding: destination is not there', async ({ a }) => {
    await a.call('exchange.bind', { source: 'amq.direct', destination: '~missing', routingKey: 'k' });
  }),
  scenario('exchange binding: unbind what is not bound', async ({ a }) => {
    await a.call('exchange.unbind', { source: 'amq.direct', destination: 'amq.fanout', routingKey: '~k' });
  }),
  scenario('exchange binding: unbind from one that is not there', async ({ a }) => {
    await a.call('exchange.unbind', { source: '~missing', destination: 'amq.fanout', routingKey: '~k' });
  }),
  scenario('exchange binding: messages go through', async ({ a }) => {
    await a.declareExchange('~in', 'direct');
    await a.declareExchange('~out', 'topic', {}, { internal: true });
    await a.declare('~q');
    await a.call('exchange.bind', { source: '~in', destination: '~out', routingKey: 'a.b' });
    await a.bind('~q', '~out', 'a.*');
    await a.put('a.b', 'through', {}, { exchange: '~in', mandatory: true });
    await a.get('~q');
    await a.put('a.c', 'not', {}, { exchange: '~in', mandatory: true });
    await a.call('exchange.unbind', { source: '~in', destination: '~out', routingKey: 'a.b' });
    await a.put('a.b', 'not any more', {}, { exchange: '~in', mandatory: true });
  }),
  scenario('exchange binding: in a circle', async ({ a }) => {
    await a.declareExchange('~x', 'fanout');
    await a.declareExchange('~y', 'fanout');
    await a.declare('~q');
    await a.call('exchange.bind', { source: '~x', destination: '~y' });
    await a.call('exchange.bind', { source: '~y', destination: '~x' });
    await a.call('exchange.bind', { source: '~x', destination: '~x' });
    await a.bind('~q', '~y');
    await a.bind('~q', '~x');
    await a.put('', 'once', {}, { exchange: '~x' });
    await a.sync('~q');
  }),
  scenario('exchange binding: without waiting', async ({ a }) => {
    await a.declareExchange('~x', 'fanout');
    a.send('exchange.bind', { source: '~x', destination: 'amq.fanout', routingKey: '~', noWait: true });
    a.send('exchange.unbind', { source: '~x', destination: 'amq.fanout', routingKey: '~', noWait: true });
    await a.call('exchange.delete', { exchange: '~x', ifUnused: true });
  }),
];

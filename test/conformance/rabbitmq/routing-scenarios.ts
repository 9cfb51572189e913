/** Which queues a message goes to. */
import { type Scenario, scenario } from './scenario.ts';
import { type Fields, typed } from './typed-fields.ts';

/** One queue per binding; a message per key; what each queue has got. */
function routed(type: string, bindings: readonly string[], keys: readonly string[]): Scenario {
  return scenario(`routing: ${type} ${JSON.stringify(bindings)}`, async ({ a }) => {
    await a.declareExchange('~x', type);
    for (const [index, binding] of bindings.entries()) {
      await a.declare(`~q${index}`);
      await a.bind(`~q${index}`, '~x', binding);
    }
    for (const key of keys) await a.put(key, key, {}, { exchange: '~x', mandatory: true });
    for (const index of bindings.keys()) {
      for (let reply = await a.get(`~q${index}`, { noAck: true }); reply?.name === 'basic.get-ok'; ) {
        reply = await a.get(`~q${index}`, { noAck: true });
      }
    }
  });
}

/** A binding of a headers exchange, and messages with these headers: are they returned? */
function headers(name: string, binding: Fields, messages: readonly Fields[]): Scenario {
  return scenario(`routing: headers: ${name}`, async ({ a }) => {
    await a.declareExchange('~x', 'headers');
    await a.declare('~q');
    await a.bind('~q', '~x', '', binding);
    for (const fields of messages) await a.put('', '', { headers: fields }, { exchange: '~x', mandatory: true });
    await a.put('', 'without headers', {}, { exchange: '~x', mandatory: true });
    await a.sync('~q');
  });
}

const TEXTS: readonly Fields[] = [
  { a: 'x' },
  { a: 'x', b: 'y' },
  { a: 'x', b: 'y', c: 'z' },
  { a: 'other', b: 'y' },
  { a: 'x', b: null },
  { c: 'z' },
  {},
];
const NUMBERS: readonly Fields[] = [
  { n: 5 },
  { n: typed('l', 5) },
  { n: typed('s', 5) },
  { n: typed('b', 5) },
  { n: typed('B', 5) },
  { n: typed('d', 5) },
  { n: '5' },
  { n: 6 },
];

export const ROUTING_SCENARIOS: readonly Scenario[] = [
  routed('direct', ['a', 'b', 'a', ''], ['a', 'b', 'c', '', 'A']),
  routed('fanout', ['a', ''], ['a', 'anything', '']),
  routed('topic', ['a.b.c', '*.b.c', 'a.*.c', '#'], ['a.b.c', 'a.x.c', 'x.b.c', 'a.b', '']),
  routed('topic', ['#.c', 'a.#', 'a.#.c', '#.b.#'], ['a.c', 'a.b.c', 'c', 'a', 'b', 'a.b', 'x.a.c']),
  routed('topic', ['*', '*.*', '#.*', '*.#'], ['', 'a', 'a.b', 'a.b.c', '.', 'a.']),
  routed('topic', ['#.#', '*.#.*', 'a.*.#.b', '#.a.#.a.#'], ['', 'a', 'a.b', 'a.a', 'a.x.b', 'a.x.y.b', 'b.a.c.a']),
  routed('topic', ['', 'a..b', 'a.', '.a'], ['', 'a..b', 'a.b', 'a.', '.a', 'a']),
  routed('topic', ['Ä.*', '☃'], ['Ä.ö', '☃', 'ä.ö']),
  scenario('routing: the default exchange knows every queue', async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', 'one', {}, { mandatory: true });
    await a.put('~other', 'two', {}, { mandatory: true });
    await a.get('~q');
  }),
  headers('all', { 'x-match': 'all', a: 'x', b: 'y' }, TEXTS),
  headers('any', { 'x-match': 'any', a: 'x', b: 'y' }, TEXTS),
  headers('all by default', { a: 'x', b: 'y' }, TEXTS),
  headers('nothing to match, all', { 'x-match': 'all' }, TEXTS),
  headers('nothing to match, any', { 'x-match': 'any' }, TEXTS),
  headers('no arguments', {}, TEXTS),
  headers('a value of nothing matches any', { 'x-match': 'all', a: null }, TEXTS),
  headers('numbers', { n: 5 }, NUMBERS),
  headers('a long number', { n: typed('l', 5) }, NUMBERS),
  headers('booleans', { t: true }, [{ t: true }, { t: false }, { t: 1 }, { t: 'true' }]),
  headers('tables and lists', { t: { a: 1 }, l: [1, 2] }, [
    { t: { a: 1 }, l: [1, 2] },
    { t: { a: 1 }, l: [2, 1] },
    { t: { a: typed('l', 1) }, l: [1, 2] },
  ]),
  headers('names that begin with x- are left out', { 'x-match': 'all', 'x-mine': '1', a: 'x' }, [
    { a: 'x' },
    { a: 'x', 'x-mine': '2' },
    { 'x-mine': '1' },
  ]),
  headers('any-with-x', { 'x-match': 'any-with-x', 'x-mine': '1', a: 'x' }, [
    { 'x-mine': '1' },
    { a: 'x' },
    { b: 'y' },
  ]),
  headers('all-with-x', { 'x-match': 'all-with-x', 'x-mine': '1', a: 'x' }, [
    { 'x-mine': '1' },
    { a: 'x' },
    { 'x-mine': '1', a: 'x' },
  ]),
  headers('timestamps and decimals', { t: typed('T', 1000), d: typed('D', 150) }, [
    { t: typed('T', 1000), d: typed('D', 150) },
    { t: typed('T', 1001), d: typed('D', 150) },
  ]),
  ...['some', 'ALL', ''].map((match) =>
    scenario(`routing: headers: x-match ${JSON.stringify(match)}`, async ({ a }) => {
      await a.declareExchange('~x', 'headers');
      await a.declare('~q');
      await a.bind('~q', '~x', '', { 'x-match': match });
    }),
  ),
  scenario('routing: headers: x-match that is a number', async ({ a }) => {
    await a.declareExchange('~x', 'headers');
    await a.declare('~q');
    await a.bind('~q', '~x', '', { 'x-match': 1 });
  }),
  scenario('routing: headers: x-match that is a boolean', async ({ a }) => {
    await a.declareExchange('~x', 'headers');
    await a.declare('~q');
    await a.bind('~q', '~x', '', { 'x-match': true });
  }),

  scenario('routing: an alternate exchange takes what is not routed', async ({ a }) => {
    await a.declareExchange('~alt', 'fanout');
    await a.declareExchange('~x', 'direct', { 'alternate-exchange': '~alt' });
    await a.declare('~q');
    await a.declare('~rest');
    await a.bind('~q', '~x', 'k');
    await a.bind('~rest', '~alt');
    await a.put('k', 'routed', {}, { exchange: '~x', mandatory: true });
    await a.put('other', 'not routed', {}, { exchange: '~x', mandatory: true });
    await a.get('~q');
    await a.get('~rest');
    await a.sync('~q');
    await a.sync('~rest');
  }),
  scenario('routing: a chain of alternate exchanges', async ({ a }) => {
    await a.declareExchange('~last', 'fanout');
    await a.declareExchange('~alt', 'direct', { 'alternate-exchange': '~last' });
    await a.declareExchange('~x', 'direct', { 'alternate-exchange': '~alt' });
    await a.declare('~q');
    await a.bind('~q', '~last');
    await a.put('k', 'to the last', {}, { exchange: '~x', mandatory: true });
    await a.get('~q');
  }),
  scenario('routing: alternate exchanges in a circle', async ({ a }) => {
    await a.declareExchange('~one', 'direct', { 'alternate-exchange': '~two' });
    await a.declareExchange('~two', 'direct', { 'alternate-exchange': '~one' });
    await a.put('k', 'nowhere', {}, { exchange: '~one', mandatory: true });
  }),
  scenario('routing: an alternate exchange behind a binding', async ({ a }) => {
    await a.declareExchange('~alt', 'fanout');
    await a.declareExchange('~in', 'direct');
    await a.declareExchange('~out', 'direct', { 'alternate-exchange': '~alt' });
    await a.declare('~q');
    await a.bind('~q', '~alt');
    await a.call('exchange.bind', { source: '~in', destination: '~out', routingKey: 'k' });
    await a.put('k', 'through', {}, { exchange: '~in', mandatory: true });
    await a.get('~q');
  }),
  scenario('routing: CC and BCC', async ({ a }) => {
    for (const queue of ['~to', '~cc', '~bcc']) await a.declare(queue);
    await a.put('~to', 'copies', { headers: { CC: ['~cc'], BCC: ['~bcc'], other: 1 } });
    for (const queue of ['~to', '~cc', '~bcc']) await a.get(queue);
  }),
  scenario('routing: CC alone is enough', async ({ a }) => {
    await a.declare('~cc');
    await a.put('~nowhere', 'copy', { headers: { CC: ['~cc', '~cc'] } }, { mandatory: true });
    await a.get('~cc');
    await a.sync('~cc');
  }),
  scenario('routing: CC that is no list', async ({ a }) => {
    await a.open();
    a.publish({ routingKey: '~q' }, 'x', { headers: { CC: '~q' } });
    await a.closed();
  }),
  scenario('routing: CC of numbers', async ({ a }) => {
    await a.declare('~q');
    await a.put('~q', 'x', { headers: { CC: [1, '~q'] } });
    await a.get('~q');
  }),
  scenario('routing: a message to many queues is the same in each', async ({ a }) => {
    await a.declareExchange('~x', 'fanout');
    for (const queue of ['~one', '~two']) {
      await a.declare(queue);
      await a.bind(queue, '~x');
    }
    await a.put('key', 'body', { contentType: 'text/plain', headers: { a: 1 } }, { exchange: '~x' });
    for (const queue of ['~one', '~two']) await a.get(queue);
  }),
];

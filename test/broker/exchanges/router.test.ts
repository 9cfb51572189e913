import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BindingDefinition, DestinationKind } from '../../../broker/definitions/binding-definition.ts';
import {
  type ExchangeDefinition,
  type ExchangeKind,
  PREDECLARED_EXCHANGES,
} from '../../../broker/definitions/exchange-definition.ts';
import type { RoutableMessage } from '../../../broker/exchanges/binding-matcher.ts';
import { Router } from '../../../broker/exchanges/router.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';
import type { FieldValue } from '../../../src/messages/field-value.ts';
import { message, table } from './bindings-bed.ts';

function exchange(
  name: string,
  kind: ExchangeKind = 'fanout',
  more: Partial<ExchangeDefinition> = {},
): ExchangeDefinition {
  return { name, kind, durable: false, autoDelete: false, internal: false, arguments: table(), ...more };
}

/** `from -> queue:q` or `from -> exchange:e` or `from -> topic:t`, with a key and arguments. */
function link(text: string, bindingKey = '', args: Readonly<Record<string, FieldValue>> = {}): BindingDefinition {
  const [source, to] = text.split(' -> ') as [string, string];
  const [destinationKind, destination] = to.split(':') as [DestinationKind, string];
  return { source, destinationKind, destination, bindingKey, arguments: table(args) };
}

function routerOf(exchanges: readonly ExchangeDefinition[], bindings: readonly BindingDefinition[] = []): Router {
  const router = new Router({ virtualHost: '/' });
  for (const definition of [...PREDECLARED_EXCHANGES, ...exchanges]) router.addExchange(definition);
  for (const definition of bindings) {
    if (definition.destinationKind === 'queue') router.addQueue(definition.destination);
    expect(router.bind(definition)).toBe(true);
  }
  return router;
}

/** Routed twice, so that what is remembered is seen too. */
function route(router: Router, name: string, to: RoutableMessage): string[] {
  const first = router.routePublished(name, to).map((target) => `${target.kind}:${target.name}`);
  const second = router.routePublished(name, to).map((target) => `${target.kind}:${target.name}`);
  expect(second).toEqual(first);
  return first.sort();
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return isBurrowError(error) ? `${error.code}: ${error.message}` : String(error);
  }
  return 'no error';
}

describe('routing', () => {
  test('each kind of exchange goes by its own rule', () => {
    const router = routerOf(
      [exchange('f'), exchange('d', 'direct'), exchange('t', 'topic'), exchange('h', 'headers')],
      [
        link('f -> queue:a', 'ignored'),
        link('d -> queue:a', 'red'),
        link('d -> queue:b', 'blue'),
        link('t -> queue:a', '*.red'),
        link('h -> queue:a', 'ignored', { colour: 'red' }),
      ],
    );
    expect(route(router, 'f', message('x'))).toEqual(['queue:a']);
    expect(route(router, 'd', message('red'))).toEqual(['queue:a']);
    expect(route(router, 'd', message('blue'))).toEqual(['queue:b']);
    expect(route(router, 'd', message('green'))).toEqual([]);
    expect(route(router, 't', message('dark.red'))).toEqual(['queue:a']);
    expect(route(router, 't', message('red'))).toEqual([]);
    expect(route(router, 'h', message('x', { headers: table({ colour: 'red' }) }))).toEqual(['queue:a']);
    expect(route(router, 'h', message('x'))).toEqual([]);
  });

  test('the default exchange leads to the queue named by the routing key, if there is one', () => {
    const router = routerOf([]);
    router.addQueue('q');
    expect(route(router, '', message('q'))).toEqual(['queue:q']);
    expect(route(router, '', message('other'))).toEqual([]);
    router.addQueue('other');
    expect(route(router, '', message('other'))).toEqual(['queue:other']);
    router.removeQueue('q');
    expect(route(router, '', message('q'))).toEqual([]);
  });

  test('a queue is named once, however many bindings and ways lead to it', () => {
    const router = routerOf(
      [exchange('t', 'topic'), exchange('f')],
      [
        link('t -> queue:q', '#'),
        link('t -> queue:q', 'a.*'),
        link('t -> queue:q', 'a.b'),
        link('t -> exchange:f', 'a.#'),
        link('f -> queue:q'),
        link('f -> queue:r'),
      ],
    );
    expect(route(router, 't', message('a.b'))).toEqual(['queue:q', 'queue:r']);
  });

  test('bindings lead through exchanges, and cycles end', () => {
    const router = routerOf(
      [exchange('a'), exchange('b', 'direct'), exchange('c', 'topic')],
      [
        link('a -> exchange:b'),
        link('b -> exchange:c', 'k'),
        link('c -> exchange:a', '#'),
        link('a -> exchange:a'),
        link('c -> queue:q', 'k'),
      ],
    );
    expect(route(router, 'a', message('k'))).toEqual(['queue:q']);
    expect(route(router, 'c', message('k'))).toEqual(['queue:q']);
    expect(route(router, 'b', message('other'))).toEqual([]);
  });

  test('an exchange may be bound to topics', () => {
    const router = routerOf([exchange('t', 'topic')], [link('t -> topic:events', 'a.#'), link('t -> queue:q', 'a.b')]);
    expect(route(router, 't', message('a.b'))).toEqual(['queue:q', 'topic:events']);
    expect(router.bindingsTo('topic', 'events')).toHaveLength(1);
    router.removeTopic('events');
    expect(route(router, 't', message('a.b'))).toEqual(['queue:q']);
    expect(router.bindingsTo('topic', 'events')).toEqual([]);
  });

  test('the alternate exchange gets what no binding matches, and only that', () => {
    const router = routerOf(
      [exchange('d', 'direct'), exchange('alt'), exchange('e', 'direct')],
      [link('d -> queue:q', 'known'), link('alt -> queue:unrouted'), link('d -> exchange:e', 'deaf')],
    );
    expect(route(router, 'd', message('lost'))).toEqual([]);
    router.setAlternateExchange('d', 'alt');
    expect(route(router, 'd', message('lost'))).toEqual(['queue:unrouted']);
    expect(route(router, 'd', message('known'))).toEqual(['queue:q']);
    // A binding to an exchange matched; that it leads nowhere does not count.
    expect(route(router, 'd', message('deaf'))).toEqual([]);
    router.setAlternateExchange('d', 'not there');
    expect(route(router, 'd', message('lost'))).toEqual([]);
    router.addExchange(exchange('not there'));
    router.addQueue('late');
    router.bind(link('not there -> queue:late'));
    expect(route(router, 'd', message('lost'))).toEqual(['queue:late']);
  });

  test('alternate exchanges chain, and may point at each other', () => {
    const router = routerOf([exchange('a', 'direct'), exchange('b', 'direct')]);
    router.setAlternateExchange('a', 'b');
    router.setAlternateExchange('b', 'a');
    expect(route(router, 'a', message('x'))).toEqual([]);
    router.addQueue('q');
    router.bind(link('b -> queue:q', 'x'));
    expect(route(router, 'a', message('x'))).toEqual(['queue:q']);
  });

  test('CC and BCC name more routing keys, also for the default exchange', () => {
    const router = routerOf(
      [exchange('d', 'direct'), exchange('t', 'topic')],
      [link('d -> queue:a', 'a'), link('d -> queue:b', 'b'), link('d -> queue:c', 'c'), link('t -> queue:x', 'x.*')],
    );
    const copied = message('a', { headers: table({ CC: ['b', 5, 'x.y'], BCC: ['c'] }) });
    expect(route(router, 'd', copied)).toEqual(['queue:a', 'queue:b', 'queue:c']);
    expect(route(router, 't', copied)).toEqual(['queue:x']);
    expect(route(router, '', copied)).toEqual(['queue:a', 'queue:b', 'queue:c']);
    expect(route(router, 'd', message('a'))).toEqual(['queue:a']);
    const wrong = message('a', { headers: table({ CC: 'b' }) });
    expect(codeOf(() => router.routePublished('d', wrong))).toMatch(/^INVALID_ARGUMENT: The header CC/);
  });

  test('publishing to an unknown or internal exchange is refused, the broker’s own messages go through', () => {
    const router = routerOf([exchange('i', 'fanout', { internal: true })], [link('i -> queue:q')]);
    expect(codeOf(() => router.routePublished('none', message('x')))).toBe(
      "EXCHANGE_NOT_FOUND: no exchange 'none' in vhost '/'",
    );
    expect(codeOf(() => router.routePublished('i', message('x')))).toBe(
      "ACCESS_REFUSED: cannot publish to internal exchange 'i' in vhost '/'",
    );
    expect(router.route('i', message('x'))).toMatchObject([{ kind: 'queue', name: 'q' }]);
    expect(router.route('none', message('x'))).toEqual([]);
    // Other exchanges may lead there.
    router.addExchange(exchange('f'));
    router.bind(link('f -> exchange:i'));
    expect(route(router, 'f', message('x'))).toEqual(['queue:q']);
  });
});

describe('a delayed exchange', () => {
  const delayed = exchange('later', 'x-delayed-message', { arguments: table({ 'x-delayed-type': 'topic' }) });
  const router = routerOf(
    [delayed, exchange('f')],
    [link('later -> queue:q', 'a.*'), link('f -> exchange:later'), link('f -> queue:now')],
  );

  test('is itself the target of messages with a delay', () => {
    const slow = message('a.b', { headers: table({ 'x-delay': 1000 }) });
    expect(route(router, 'later', slow)).toEqual(['delayed:later']);
    expect(route(router, 'f', slow)).toEqual(['delayed:later', 'queue:now']);
    expect(router.routeDelayed('later', slow)).toMatchObject([{ kind: 'queue', name: 'q' }]);
    expect(router.routeDelayed('gone', slow)).toEqual([]);
  });

  test.each<[FieldValue, boolean]>([
    [1, true],
    ['250', true],
    [2 ** 32 - 1, true],
    [1.9, true],
    [0, false],
    [0.5, false],
    [-5, false],
    [2 ** 32, false],
    ['soon', false],
    ['-1', false],
    [2n ** 60n, false],
    [true, false],
    [null, false],
  ])('x-delay of %s delays: %s', (delay, expected) => {
    const to = message('a.b', { headers: table({ 'x-delay': delay }) });
    expect(route(router, 'later', to)).toEqual([expected ? 'delayed:later' : 'queue:q']);
  });

  test('routes by its inner kind what has no delay', () => {
    expect(route(router, 'later', message('a.b'))).toEqual(['queue:q']);
    expect(route(router, 'later', message('b'))).toEqual([]);
  });
});

describe('changes of bindings', () => {
  test('one binding per source, destination, key and arguments', () => {
    const router = routerOf([exchange('d', 'direct')]);
    router.addQueue('q');
    expect(router.bind(link('d -> queue:q', 'k'))).toBe(true);
    expect(router.bind(link('d -> queue:q', 'k'))).toBe(false);
    expect(router.bind(link('d -> queue:q', 'k', { a: 1 }))).toBe(true);
    expect(router.bindingsFromCount('d')).toBe(2);
    expect(router.unbind(link('d -> queue:q', 'k'))).toBe(true);
    expect(router.unbind(link('d -> queue:q', 'k'))).toBe(false);
    expect(route(router, 'd', message('k'))).toEqual(['queue:q']);
    expect(router.unbind(link('d -> queue:q', 'k', { a: 1 }))).toBe(true);
    expect(route(router, 'd', message('k'))).toEqual([]);
  });

  test('nothing is bound to what is not there', () => {
    const router = routerOf([exchange('d', 'direct')]);
    expect(router.bind(link('d -> queue:q'))).toBe(false);
    expect(router.bind(link('d -> exchange:e'))).toBe(false);
    expect(router.bind(link('x -> exchange:d'))).toBe(false);
  });

  test('a queue takes its bindings with it, an exchange those on both sides', () => {
    const router = routerOf(
      [exchange('a'), exchange('b')],
      [
        link('a -> queue:q'),
        link('b -> queue:q', 'k'),
        link('a -> exchange:b'),
        link('b -> exchange:b'),
        link('b -> queue:r'),
      ],
    );
    expect(router.removeQueue('q')).toHaveLength(2);
    expect(router.removeQueue('q')).toEqual([]);
    expect(route(router, 'a', message(''))).toEqual(['queue:r']);
    expect(router.removeExchange('b')).toHaveLength(3);
    expect(router.removeExchange('b')).toEqual([]);
    expect(route(router, 'a', message(''))).toEqual([]);
    expect(router.bindingsTo('queue', 'r')).toEqual([]);
    router.addExchange(exchange('b'));
    expect(router.bindingsFrom('b')).toEqual([]);
  });

  test('names that mean something to JavaScript are names', () => {
    const router = routerOf([exchange('__proto__', 'direct')], [link('__proto__ -> queue:constructor', 'toString')]);
    expect(route(router, '__proto__', message('toString'))).toEqual(['queue:constructor']);
    expect(route(router, '', message('hasOwnProperty'))).toEqual([]);
  });

  test('remembered routes are bounded', () => {
    const router = new Router({ virtualHost: '/', rememberedRoutesMax: 10 });
    router.addExchange(exchange('t', 'topic'));
    router.addQueue('q');
    router.bind(link('t -> queue:q', '#'));
    for (let index = 0; index < 100; index++) {
      expect(router.route('t', message(`k${index}`))).toHaveLength(1);
      expect(router.rememberedRoutes).toBeLessThanOrEqual(10);
    }
    expect(router.rememberedRoutes).toBeGreaterThan(0);
  });
});

// Clever against dumb: whatever changes, a router that has lived through it routes as one built from the bindings left.
describe('a router with a past', () => {
  const EXCHANGES = [
    exchange('f'),
    exchange('d', 'direct'),
    exchange('t', 'topic'),
    exchange('h', 'headers'),
    exchange('c', 'x-consistent-hash'),
  ];
  const QUEUES = ['q', 'r'];
  const source = fc.constantFrom(...EXCHANGES.map(({ name }) => name));
  const anyLink = fc
    .tuple(
      source,
      fc.constantFrom('queue:q', 'queue:r', 'topic:t', ...EXCHANGES.map(({ name }) => `exchange:${name}`)),
      fc.constantFrom('a', '#', '*', '1'),
      fc.constantFrom({}, { x: 1 }, { 'x-match': 'any', x: 1, y: 2 }),
    )
    .map(([from, to, key, args]) => link(`${from} -> ${to}`, from === 'c' ? '1' : key, args));
  const change = fc.oneof(
    { weight: 5, arbitrary: anyLink.map((definition) => ({ kind: 'bind', definition }) as const) },
    { weight: 3, arbitrary: anyLink.map((definition) => ({ kind: 'unbind', definition }) as const) },
    { weight: 1, arbitrary: source.map((name) => ({ kind: 'renew-exchange', name }) as const) },
    { weight: 1, arbitrary: fc.constantFrom(...QUEUES).map((name) => ({ kind: 'renew-queue', name }) as const) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(source, fc.option(source, { nil: undefined }))
        .map(([name, alternate]) => ({ kind: 'alternate', name, alternate }) as const),
    },
  );
  const sent = fc
    .tuple(source, fc.constantFrom('a', 'b'), fc.constantFrom(undefined, { x: 1 }, { y: 2 }, { CC: ['b', 'a'] }))
    .map(([name, key, headers]) => ({
      name,
      to: message(key, { headers: headers === undefined ? undefined : table(headers) }),
    }));

  test('routes as a new one does', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(change, sent), { maxLength: 25 }), (steps) => {
        const router = routerOf(EXCHANGES);
        for (const name of QUEUES) router.addQueue(name);
        const alternates = new Map<string, string | undefined>();
        for (const [step, { name, to }] of steps) {
          if (step.kind === 'bind') router.bind(step.definition);
          else if (step.kind === 'unbind') router.unbind(step.definition);
          else if (step.kind === 'renew-exchange') {
            router.removeExchange(step.name);
            router.addExchange(EXCHANGES.find((definition) => definition.name === step.name)!);
            alternates.delete(step.name);
          } else if (step.kind === 'renew-queue') {
            router.removeQueue(step.name);
            router.addQueue(step.name);
          } else {
            router.setAlternateExchange(step.name, step.alternate);
            alternates.set(step.name, step.alternate);
          }
          const fresh = routerOf(EXCHANGES);
          for (const queue of QUEUES) fresh.addQueue(queue);
          for (const [from, alternate] of alternates) fresh.setAlternateExchange(from, alternate);
          for (const { name: from } of EXCHANGES) for (const left of router.bindingsFrom(from)) fresh.bind(left);
          expect(route(router, name, to)).toEqual(route(fresh, name, to));
        }
      }),
      { numRuns: 1000 },
    );
  });
});

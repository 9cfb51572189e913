import { describe, expect, test } from 'vitest';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import type { BindingDefinition } from '../../../broker/definitions/binding-definition.ts';
import type { ExchangeDeclaration, Topology } from '../../../broker/exchanges/topology.ts';
import { table } from './bindings-bed.ts';
import { exchange, heldBindings, link, names, open, PREDECLARED, queue, refusal, route } from './topology-bed.ts';

describe('exchanges', () => {
  test('a virtual host has the predeclared ones, and they route', async () => {
    const { topology } = await open(new MemoryCoordinator());
    expect(topology.virtualHosts()).toEqual(['/']);
    expect(names(topology.exchanges('/'))).toEqual(PREDECLARED);
    await topology.createQueue('/', queue('q'));
    await topology.bind('/', link('amq.topic -> queue:q', 'a.#'));
    await topology.bind('/', link('amq.match -> queue:q', '', { a: 1 }));
    expect(route(topology, 'amq.topic', 'a.b')).toEqual(['q']);
    expect(route(topology, '', 'q')).toEqual(['q']);
  });

  test('may be declared again if the declaration says the same', async () => {
    const { topology, events } = await open(new MemoryCoordinator());
    const declaration = exchange('e', { kind: 'topic', arguments: table({ 'alternate-exchange': 'alt', other: 1 }) });
    await topology.declareExchange('/', declaration);
    await topology.declareExchange('/', { ...declaration, arguments: table({ 'alternate-exchange': 'alt' }) });
    await topology.declareExchange('/', exchange('amq.fanout'));
    expect(events).toEqual(['exchange-created e']);
    expect(topology.checkExchangeExists('/', 'e').kind).toBe('topic');
  });

  test.each<[Partial<ExchangeDeclaration>, string]>([
    [
      { kind: 'direct' },
      "inequivalent arg 'type' for exchange 'e' in vhost '/': received 'direct' but current is 'fanout'",
    ],
    [
      { durable: false },
      "inequivalent arg 'durable' for exchange 'e' in vhost '/': received 'false' but current is 'true'",
    ],
    [
      { autoDelete: true },
      "inequivalent arg 'auto_delete' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
    ],
    [
      { internal: true },
      "inequivalent arg 'internal' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
    ],
    [
      { arguments: table({ 'alternate-exchange': 'x' }) },
      "inequivalent arg 'alternate-exchange' for exchange 'e' in vhost '/': received the value 'x' of type 'longstr' but current is none",
    ],
  ])('declared differently (%#) are refused, naming both values', async (more, text) => {
    const { topology } = await open(new MemoryCoordinator());
    await topology.declareExchange('/', exchange('e'));
    expect(await refusal(() => topology.declareExchange('/', exchange('e', more)))).toBe(
      `DECLARED_DIFFERENTLY: ${text}`,
    );
  });

  test.each<[string, Partial<ExchangeDeclaration>, RegExp]>([
    ['e', { kind: 'direkt' }, /^COMMAND_INVALID: unknown exchange type 'direkt'. Did you mean "direct"/],
    ['', {}, /^ACCESS_REFUSED: operation not permitted on the default exchange/],
    ['amq.mine', {}, /^ACCESS_REFUSED: exchange name 'amq.mine' contains reserved prefix 'amq.\*'/],
    ['e'.repeat(256), {}, /^INVALID_NAME: /],
    [
      'e',
      { arguments: table({ 'alternate-exchange': 1 }) },
      /^INVALID_ARGUMENT: invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e' in vhost '\/'/,
    ],
    ['e', { kind: 'x-delayed-message' }, /^INVALID_ARGUMENT: .*'x-delayed-type'/],
    [
      'e',
      { kind: 'x-delayed-message', arguments: table({ 'x-delayed-type': 'x-delayed-message' }) },
      /^INVALID_ARGUMENT/,
    ],
    ['e', { kind: 'x-delayed-message', arguments: table({ 'x-delayed-type': 'none' }) }, /^COMMAND_INVALID/],
    [
      'e',
      { kind: 'x-consistent-hash', arguments: table({ 'hash-property': 'app_id' }) },
      /^INVALID_ARGUMENT: .*'hash-property'/,
    ],
    ['e', { kind: 'x-consistent-hash', arguments: table({ 'hash-header': 5 }) }, /^INVALID_ARGUMENT: .*'hash-header'/],
    [
      'e',
      { kind: 'x-consistent-hash', arguments: table({ 'hash-header': 'a', 'hash-property': 'message_id' }) },
      /mutually exclusive/,
    ],
  ])('%s with %o is refused', async (name, more, text) => {
    const { topology } = await open(new MemoryCoordinator());
    expect(await refusal(() => topology.declareExchange('/', exchange(name, more)))).toMatch(text);
  });

  test('passive declarations look only', async () => {
    const { topology } = await open(new MemoryCoordinator());
    expect(await refusal(() => topology.checkExchangeExists('/', 'e'))).toBe(
      "EXCHANGE_NOT_FOUND: no exchange 'e' in vhost '/'",
    );
    expect(await refusal(() => topology.checkExchangeExists('/', ''))).toMatch(/^ACCESS_REFUSED/);
    expect(topology.checkExchangeExists('/', 'amq.topic').kind).toBe('topic');
  });

  test('are deleted, with refusals for the broker’s own and for those in use', async () => {
    const { topology, events } = await open(new MemoryCoordinator());
    await topology.declareExchange('/', exchange('e'));
    await topology.declareExchange('/', exchange('target'));
    await topology.bind('/', link('e -> exchange:target'));
    expect(await refusal(() => topology.deleteExchange('/', ''))).toMatch(/^ACCESS_REFUSED/);
    expect(await refusal(() => topology.deleteExchange('/', 'amq.topic'))).toBe(
      "ACCESS_REFUSED: deletion of system exchange 'amq.topic' in vhost '/' not allowed",
    );
    expect(await refusal(() => topology.deleteExchange('/', 'e', { ifUnused: true }))).toBe(
      "IN_USE: exchange 'e' in vhost '/' in use",
    );
    // Being a destination is no use.
    await topology.deleteExchange('/', 'target', { ifUnused: true });
    await topology.deleteExchange('/', 'e', { ifUnused: true });
    await topology.deleteExchange('/', 'e');
    expect(events.slice(3)).toEqual(['binding-deleted e>target', 'exchange-deleted target', 'exchange-deleted e']);
  });

  test('of a virtual host that is not there are refused', async () => {
    const { topology } = await open(new MemoryCoordinator());
    expect(await refusal(() => topology.declareExchange('x', exchange('e')))).toBe(
      'VHOST_NOT_FOUND: vhost x not found',
    );
    expect(await refusal(() => topology.router('x'))).toMatch(/^VHOST_NOT_FOUND/);
  });
});

describe('bindings', () => {
  test('are made and removed, each once', async () => {
    const { topology, events } = await open(new MemoryCoordinator());
    await topology.declareExchange('/', exchange('e', { kind: 'direct' }));
    await topology.createQueue('/', queue('q'));
    await topology.bind('/', link('e -> queue:q', 'k'));
    await topology.bind('/', link('e -> queue:q', 'k'));
    await topology.bind('/', link('e -> topic:events', 'k'));
    expect(route(topology, 'e', 'k')).toEqual(['events', 'q']);
    expect(topology.bindings('/')).toHaveLength(2);
    await topology.unbind('/', link('e -> queue:q', 'k'));
    await topology.unbind('/', link('e -> queue:q', 'k'));
    expect(route(topology, 'e', 'k')).toEqual(['events']);
    expect(events.slice(2)).toEqual(['binding-created e>q', 'binding-created e>events', 'binding-deleted e>q']);
  });

  test.each<[BindingDefinition, string]>([
    [link(' -> queue:q'), 'ACCESS_REFUSED: operation not permitted on the default exchange'],
    [link('e -> exchange:'), 'ACCESS_REFUSED: operation not permitted on the default exchange'],
    [link('none -> queue:q'), "EXCHANGE_NOT_FOUND: no exchange 'none' in vhost '/'"],
    [link('e -> queue:none'), "QUEUE_NOT_FOUND: no queue 'none' in vhost '/'"],
    [link('e -> exchange:none'), "EXCHANGE_NOT_FOUND: no exchange 'none' in vhost '/'"],
    [link('e -> topic:none'), 'UNKNOWN_TOPIC_OR_PARTITION: Topic "none" does not exist.'],
    [link('e -> queue:q', 'k'.repeat(256)), 'INVALID_NAME: The routing key'],
    [
      link('h -> queue:q', '', { 'x-match': 'some' }),
      'INVALID_ARGUMENT: Invalid x-match field value; expected one of all, any',
    ],
    [link('h -> queue:q', '', { 'x-match': 5 }), 'INVALID_ARGUMENT: '],
    [
      link('c -> queue:q', 'heavy'),
      "INVALID_ARGUMENT: Binding from exchange 'c' in vhost '/': the binding key is a weight",
    ],
    [link('c -> queue:q', '0'), 'INVALID_ARGUMENT: '],
    [link('c -> queue:q', '1001'), 'INVALID_ARGUMENT: '],
    [link('c -> queue:q', '-1'), 'INVALID_ARGUMENT: '],
  ])('%# is refused with a text', async (binding, text) => {
    const { topology } = await open(new MemoryCoordinator());
    await topology.declareExchange('/', exchange('e'));
    await topology.declareExchange('/', exchange('h', { kind: 'headers' }));
    await topology.declareExchange('/', exchange('c', { kind: 'x-consistent-hash' }));
    await topology.createQueue('/', queue('q'));
    const said = await refusal(() => topology.bind('/', binding));
    expect(said.slice(0, text.length)).toBe(text);
    if (/^(EXCHANGE|QUEUE|UNKNOWN)/.test(text)) expect(await refusal(() => topology.unbind('/', binding))).toBe('none');
  });

  test('of what a delayed exchange wraps follow its inner rules', async () => {
    const { topology } = await open(new MemoryCoordinator());
    const args = table({ 'x-delayed-type': 'x-consistent-hash' });
    await topology.declareExchange('/', exchange('later', { kind: 'x-delayed-message', arguments: args }));
    await topology.createQueue('/', queue('q'));
    expect(await refusal(() => topology.bind('/', link('later -> queue:q', 'x')))).toMatch(/weight/);
    await topology.bind('/', link('later -> queue:q', '1'));
    expect(route(topology, 'later', 'any')).toEqual(['q']);
  });

  test('go with their topic', async () => {
    const { topology, topics, events } = await open(new MemoryCoordinator());
    await topology.declareExchange('/', exchange('e', { autoDelete: true }));
    await topology.bind('/', link('e -> topic:events'));
    topics.delete('events');
    await topology.topicGone('events');
    expect(events.slice(2)).toEqual(['binding-deleted e>events', 'exchange-deleted e']);
  });
});

describe('auto-delete exchanges', () => {
  test('go with their last binding as a source, and take others along', async () => {
    const { topology, events } = await open(new MemoryCoordinator());
    for (const name of ['a', 'b', 'c']) await topology.declareExchange('/', exchange(name, { autoDelete: true }));
    await topology.createQueue('/', queue('q'));
    await topology.createQueue('/', queue('r'));
    await topology.bind('/', link('a -> exchange:b'));
    await topology.bind('/', link('b -> exchange:c'));
    await topology.bind('/', link('c -> queue:q'));
    await topology.bind('/', link('c -> queue:r'));
    events.length = 0;
    await topology.unbind('/', link('c -> queue:r'));
    expect(events).toEqual(['binding-deleted c>r']);
    await topology.queueGone('/', 'q');
    expect(events.slice(1)).toEqual([
      'binding-deleted c>q',
      'queue-deleted q',
      'binding-deleted b>c',
      'exchange-deleted c',
      'binding-deleted a>b',
      'exchange-deleted b',
      'exchange-deleted a',
    ]);
    expect(names(topology.exchanges('/'))).toEqual(PREDECLARED);
  });

  test('stay while they never had one', async () => {
    const { topology } = await open(new MemoryCoordinator());
    await topology.declareExchange('/', exchange('a', { autoDelete: true }));
    await topology.unbind('/', link('a -> queue:q'));
    expect(topology.checkExchangeExists('/', 'a').name).toBe('a');
  });

  test('stay if a binding is being made while the last other one goes', async () => {
    const { coordinator, held, release } = heldBindings();
    const { topology } = await open(coordinator);
    await topology.declareExchange('/', exchange('a', { autoDelete: true }));
    await topology.createQueue('/', queue('q'));
    await topology.createQueue('/', queue('transient', { durable: false }));
    await topology.bind('/', link('a -> queue:transient'));
    const binding = topology.bind('/', link('a -> queue:q'));
    await expect.poll(held).toBe(1);
    await topology.unbind('/', link('a -> queue:transient'));
    release();
    await binding;
    expect(route(topology, 'a', '')).toEqual(['q']);
  });
});

describe('a binding whose queue goes while it is stored', () => {
  test('is refused', async () => {
    const { coordinator, held, release } = heldBindings();
    const { topology } = await open(coordinator);
    await topology.createQueue('/', queue('q'));
    const said = refusal(() => topology.bind('/', link('amq.fanout -> queue:q')));
    await expect.poll(held).toBe(1);
    await topology.queueGone('/', 'q');
    release();
    expect(await said).toMatch(/^QUEUE_NOT_FOUND/);
    expect((await coordinator.list('amqp/bindings/')).entries).toEqual([]);
  });
});

describe('queues', () => {
  test('are kept with their definition, and go with their bindings', async () => {
    const { topology, events } = await open(new MemoryCoordinator());
    const definition = queue('q', { arguments: table({ 'x-max-length': 5 }) });
    expect(await topology.createQueue('/', definition)).toEqual({ created: true, queue: definition });
    expect(await topology.createQueue('/', queue('q'))).toEqual({ created: false, queue: definition });
    expect(topology.checkQueueExists('/', 'q')).toEqual(definition);
    await topology.bind('/', link('amq.fanout -> queue:q'));
    await topology.queueGone('/', 'q');
    await topology.queueGone('/', 'q');
    expect(events).toEqual([
      'queue-created q',
      'binding-created amq.fanout>q',
      'binding-deleted amq.fanout>q',
      'queue-deleted q',
    ]);
    expect(await refusal(() => topology.checkQueueExists('/', 'q'))).toBe("QUEUE_NOT_FOUND: no queue 'q' in vhost '/'");
  });

  test('declared by several at the same time are created once', async () => {
    const { topology } = await open(new MemoryCoordinator());
    const all = await Promise.all([
      topology.createQueue('/', queue('q')),
      topology.createQueue('/', queue('q', { durable: false })),
      topology.createQueue('/', queue('q')),
    ]);
    expect(all.map(({ created }) => created)).toEqual([true, false, false]);
    expect(new Set(all.map(({ queue: { durable } }) => durable))).toEqual(new Set([true]));
  });
});

describe('policies', () => {
  test('change the settings of queues and the alternate exchange of exchanges, at once', async () => {
    const { topology, events } = await open(new MemoryCoordinator());
    await topology.declareExchange('/', exchange('e', { kind: 'direct' }));
    await topology.declareExchange('/', exchange('alt'));
    await topology.createQueue('/', queue('lost'));
    await topology.bind('/', link('alt -> queue:lost'));
    expect(route(topology, 'e', 'x')).toEqual([]);
    events.length = 0;
    await topology.setPolicy('/', {
      name: 'p',
      pattern: '.',
      applyTo: 'all',
      priority: 0,
      definition: table({ 'alternate-exchange': 'alt', 'message-ttl': 7 }),
    });
    expect(events).toEqual(['policies-changed /']);
    expect(route(topology, 'e', 'x')).toEqual(['lost']);
    expect(topology.queueSettings('/', 'lost', table({ 'x-message-ttl': 9 })).messageTtlMs).toBe(7);
    expect(names(topology.policies('/'))).toEqual(['p']);
    // Declared later, the policy is there already.
    await topology.declareExchange('/', exchange('f', { kind: 'direct' }));
    expect(route(topology, 'f', 'x')).toEqual(['lost']);
    await topology.deletePolicy('/', 'p');
    expect(route(topology, 'e', 'x')).toEqual([]);
    expect(topology.queueSettings('/', 'lost', table({ 'x-message-ttl': 9 })).messageTtlMs).toBe(9);
    await topology.deletePolicy('/', 'p');
  });
});

describe('limits', () => {
  test.each<[string, (topology: Topology) => Promise<unknown>]>([
    ['virtualHostsMax', (topology) => topology.createVirtualHost('b')],
    ['exchangesMax', (topology) => topology.declareExchange('/', exchange('b'))],
    ['bindingsMax', (topology) => topology.bind('/', link('a -> topic:events', '2'))],
    ['hashWeightTotalMax', (topology) => topology.bind('/', link('a -> topic:events', '2'))],
    [
      'policiesMax',
      (topology) =>
        topology.setPolicy('/', {
          name: 'b',
          pattern: '',
          applyTo: 'all',
          priority: 0,
          definition: table({ expires: 1 }),
        }),
    ],
  ])('%s is kept', async (limit, call) => {
    const { topology } = await open(new MemoryCoordinator(), { limits: { [limit]: 1 } });
    await topology.declareExchange('/', exchange('a', { kind: 'x-consistent-hash' }));
    await topology.bind('/', link('a -> topic:events', '1'));
    await topology.setPolicy('/', {
      name: 'a',
      pattern: '',
      applyTo: 'all',
      priority: 0,
      definition: table({ expires: 1 }),
    });
    expect(await refusal(() => call(topology))).toMatch(/^INVALID_ARGUMENT: .*(?:the limit is 1|more than 1)/);
    // What is there may be declared again.
    await topology.declareExchange('/', exchange('a', { kind: 'x-consistent-hash' }));
    await topology.bind('/', link('a -> topic:events', '1'));
    await topology.createVirtualHost('/');
  });
});

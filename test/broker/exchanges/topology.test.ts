import { describe, expect, onTestFinished, test } from 'vitest';
import type { Coordinator } from '../../../broker/coordinator/coordinator.ts';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import type { BindingDefinition, DestinationKind } from '../../../broker/definitions/binding-definition.ts';
import type { QueueDefinition } from '../../../broker/definitions/queue-definition.ts';
import { type ExchangeDeclaration, Topology, type TopologyOptions } from '../../../broker/exchanges/topology.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { FieldValue } from '../../../src/messages/field-value.ts';
import { message, table } from './bindings-bed.ts';

type Fields = Readonly<Record<string, FieldValue>>;

interface Opened {
  readonly topology: Topology;
  readonly events: string[];
  readonly topics: Map<string, string>;
}

async function open(coordinator: Coordinator, options: Partial<TopologyOptions> = {}): Promise<Opened> {
  const events: string[] = [];
  const topics = new Map([['events', 'ab'.repeat(16)]]);
  const topology = await Topology.open({
    coordinator,
    clock: new ManualClock(1000),
    topicId: (name) => topics.get(name),
    onEvent: (event) => {
      let what = event.virtualHost;
      if ('exchange' in event) what = event.exchange.name;
      if ('queue' in event) what = event.queue.name;
      if ('binding' in event) what = `${event.binding.source}>${event.binding.destination}`;
      events.push(`${event.kind} ${what}`);
    },
    onFailure: (error) => events.push(`failed ${error.code}`),
    ...options,
  });
  onTestFinished(() => topology.close());
  return { topology, events, topics };
}

/** A coordinator whose transactions that write bindings wait until they are let go. */
function heldBindings(): { coordinator: Coordinator; held: () => number; release: () => void } {
  const coordinator = new MemoryCoordinator();
  const waiting: Array<() => void> = [];
  const transaction = coordinator.transaction.bind(coordinator);
  coordinator.transaction = async (change) => {
    if (change.set?.some(({ key }) => key.startsWith('amqp/bindings/')) === true) {
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    return transaction(change);
  };
  return {
    coordinator,
    held: () => waiting.length,
    release: () => {
      for (const go of waiting.splice(0)) go();
    },
  };
}

function exchange(name: string, more: Partial<ExchangeDeclaration> = {}): ExchangeDeclaration {
  return { name, kind: 'fanout', durable: true, autoDelete: false, internal: false, arguments: table(), ...more };
}

function queue(name: string, more: Partial<QueueDefinition> = {}): QueueDefinition {
  return { name, durable: true, exclusive: false, autoDelete: false, arguments: table(), ...more };
}

function link(text: string, bindingKey = '', args: Fields = {}): BindingDefinition {
  const [source, to] = text.split(' -> ') as [string, string];
  const [destinationKind, destination] = to.split(':') as [DestinationKind, string];
  return { source, destinationKind, destination, bindingKey, arguments: table(args) };
}

async function refusal(call: () => Promise<unknown> | unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return error instanceof BurrowError ? `${error.code}: ${error.message}` : String(error);
  }
  return 'none';
}

function route(topology: Topology, name: string, key: string): string[] {
  return topology
    .router('/')
    .routePublished(name, message(key))
    .map((target) => target.name)
    .sort();
}

const names = (list: ReadonlyArray<{ readonly name: string }>): string[] => list.map(({ name }) => name).sort();
const PREDECLARED = ['', 'amq.direct', 'amq.fanout', 'amq.headers', 'amq.match', 'amq.topic'];

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
    ['e', { kind: 'direkt' }, /^COMMAND_INVALID: unknown exchange type "direkt". Did you mean "direct"/],
    ['', {}, /^ACCESS_REFUSED: operation not permitted on the default exchange/],
    ['amq.mine', {}, /^ACCESS_REFUSED: exchange name 'amq.mine' contains reserved prefix 'amq.\*'/],
    ['e'.repeat(256), {}, /^INVALID_NAME: /],
    ['e', { arguments: table({ 'alternate-exchange': 1 }) }, /^INVALID_ARGUMENT: invalid arg 'alternate-exchange'/],
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
      "VHOST_NOT_FOUND: vhost 'x' not found",
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
      "INVALID_ARGUMENT: Binding from exchange 'h' in vhost '/': x-match must",
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

describe('what is stored', () => {
  async function fileCoordinator(disk: MemoryDisk): Promise<FileCoordinator> {
    return FileCoordinator.open({ disk, folder: 'coordinator' });
  }

  test('comes back after a restart, and nothing else', async () => {
    const disk = new MemoryDisk();
    let coordinator = await fileCoordinator(disk);
    const { topology } = await open(coordinator);
    await topology.createVirtualHost('other');
    await topology.declareExchange('other', exchange('elsewhere'));
    await topology.declareExchange('/', exchange('durable', { kind: 'topic' }));
    await topology.declareExchange('/', exchange('transient', { durable: false }));
    await topology.createQueue('/', queue('kept', { arguments: table({ 'x-max-length': 5 }) }));
    await topology.createQueue('/', queue('transient', { durable: false }));
    await topology.createQueue('/', queue('exclusive', { exclusive: true }));
    await topology.bind('/', link('durable -> queue:kept', 'a.*'));
    await topology.bind('/', link('durable -> queue:transient', '#'));
    await topology.bind('/', link('durable -> queue:exclusive', '#'));
    await topology.bind('/', link('transient -> queue:kept'));
    await topology.bind('/', link('durable -> exchange:amq.headers', '#'));
    await topology.bind('/', link('amq.headers -> queue:kept', '', { id: 2n ** 60n, raw: new Uint8Array([255]) }));
    await topology.bind('/', link('amq.topic -> topic:events', 'x'));
    await topology.setPolicy('/', {
      name: 'p',
      pattern: 'k',
      applyTo: 'all',
      priority: 1,
      definition: table({ expires: 9 }),
    });
    await topology.close();
    await coordinator.close();

    coordinator = await fileCoordinator(disk);
    const { topology: again, events } = await open(coordinator);
    expect(events).toEqual([]);
    expect(again.virtualHosts().sort()).toEqual(['/', 'other']);
    expect(names(again.exchanges('other'))).toEqual([...PREDECLARED, 'elsewhere'].sort());
    expect(names(again.exchanges('/'))).toEqual([...PREDECLARED, 'durable'].sort());
    expect(again.queues('/')).toEqual([queue('kept', { arguments: table({ 'x-max-length': 5 }) })]);
    expect(
      again
        .bindings('/')
        .map(({ source, destination }) => `${source}>${destination}`)
        .sort(),
    ).toEqual(['amq.headers>kept', 'amq.topic>events', 'durable>amq.headers', 'durable>kept']);
    expect(again.bindings('/').find(({ source }) => source === 'amq.headers')?.arguments).toEqual(
      table({ id: 2n ** 60n, raw: new Uint8Array([255]) }),
    );
    expect(again.queueSettings('/', 'kept', table()).expiresMs).toBe(9);
    expect(route(again, 'durable', 'a.b')).toEqual(['kept']);
    await coordinator.close();
  });

  test('a thing made anew under an old name has none of the old bindings, also after a restart', async () => {
    const coordinator = new MemoryCoordinator();
    const { topology } = await open(coordinator);
    await topology.declareExchange('/', exchange('e'));
    await topology.createQueue('/', queue('q'));
    await topology.bind('/', link('e -> queue:q'));
    await topology.bind('/', link('amq.fanout -> queue:q'));
    await topology.bind('/', link('amq.fanout -> exchange:e'));
    // No sweep in between: the leftovers of bindings are still stored.
    await Promise.all([topology.queueGone('/', 'q'), topology.deleteExchange('/', 'e')]);
    await topology.createQueue('/', queue('q'));
    await topology.declareExchange('/', exchange('e'));
    expect(topology.bindings('/')).toEqual([]);
    const { topology: other } = await open(coordinator);
    expect(other.bindings('/')).toEqual([]);
    await topology.bind('/', link('e -> queue:q'));
    await topology.swept();
    await other.swept();
    expect((await coordinator.list('amqp/bindings/')).entries).toHaveLength(1);
    expect(route(topology, 'e', '')).toEqual(['q']);
    expect(route(other, 'e', '')).toEqual(['q']);
  });

  test('the leftovers of a deleted virtual host are swept up, and a new one of its name is empty', async () => {
    const coordinator = new MemoryCoordinator();
    const { topology, events } = await open(coordinator);
    await topology.createVirtualHost('v');
    await topology.declareExchange('v', exchange('e'));
    for (let index = 0; index < 300; index++) await topology.createQueue('v', queue(`q${index}`));
    await topology.bind('v', link('e -> queue:q0'));
    events.length = 0;
    await topology.deleteVirtualHost('v');
    expect(events).toEqual(['virtual-host-deleted v']);
    expect(await refusal(() => topology.deleteVirtualHost('v'))).toMatch(/^VHOST_NOT_FOUND/);
    await topology.createVirtualHost('v');
    expect(names(topology.exchanges('v'))).toEqual(PREDECLARED);
    expect(topology.queues('v')).toEqual([]);
    await topology.swept();
    expect((await coordinator.list('amqp/')).entries.map(({ key }) => key)).toEqual([
      'amqp/virtual-hosts//',
      'amqp/virtual-hosts/v',
    ]);
  });

  test('leftovers that a crash kept are swept up at the next start', async () => {
    const coordinator = new MemoryCoordinator();
    const first = await open(coordinator);
    await first.topology.createQueue('/', queue('q'));
    await first.topology.bind('/', link('amq.fanout -> queue:q'));
    await first.topology.close();
    await coordinator.transaction({ remove: ['amqp/queues/1/q'] });
    const { topology } = await open(coordinator);
    expect(topology.bindings('/')).toEqual([]);
    await topology.swept();
    expect((await coordinator.list('amqp/bindings/')).entries).toEqual([]);
  });

  test('a binding of an exchange that was made anew while nobody looked means nothing', async () => {
    const coordinator = new MemoryCoordinator();
    const first = await open(coordinator);
    await first.topology.declareExchange('/', exchange('e'));
    await first.topology.bind('/', link('e -> topic:events'));
    await first.topology.close();
    const { entry } = await coordinator.get('amqp/exchanges/1/e');
    await coordinator.transaction({ remove: [entry!.key] });
    await coordinator.transaction({ set: [{ key: entry!.key, value: entry!.value }] });
    const { topology } = await open(coordinator);
    expect(topology.bindings('/')).toEqual([]);
  });

  test('a binding to a topic that was made anew means nothing', async () => {
    const coordinator = new MemoryCoordinator();
    const first = await open(coordinator);
    await first.topology.bind('/', link('amq.fanout -> topic:events'));
    const { topology } = await open(coordinator, { topicId: () => 'cd'.repeat(16) });
    expect(topology.bindings('/')).toEqual([]);
  });

  test('of another broker is seen, and what both change at once ends the same', async () => {
    const coordinator = new MemoryCoordinator();
    const [one, two] = [await open(coordinator), await open(coordinator)];
    await one.topology.declareExchange('/', exchange('e', { autoDelete: true }));
    await two.topology.createQueue('/', queue('q'));
    await one.topology.bind('/', link('e -> queue:q'));
    expect(route(two.topology, 'e', '')).toEqual(['q']);
    const outcomes = await Promise.allSettled([
      one.topology.declareExchange('/', exchange('f')),
      two.topology.declareExchange('/', exchange('f', { kind: 'direct' })),
      one.topology.createQueue('/', queue('r')),
      two.topology.createQueue('/', queue('r')),
      one.topology.bind('/', link('amq.fanout -> queue:q')),
      two.topology.queueGone('/', 'q'),
    ]);
    expect(outcomes.map(({ status }) => status).slice(0, 4)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
    await Promise.all([one.topology.swept(), two.topology.swept()]);
    for (const { topology } of [one, two]) {
      expect(topology.checkExchangeExists('/', 'f').kind).toBe('fanout');
      expect(names(topology.queues('/'))).toEqual(['r']);
      expect(topology.bindings('/')).toEqual([]);
      expect(await refusal(() => topology.checkExchangeExists('/', 'e'))).toMatch(/^EXCHANGE_NOT_FOUND/);
    }
  });

  test('that cannot be read refuses the start, naming the key', async () => {
    const coordinator = new MemoryCoordinator();
    await coordinator.transaction({ set: [{ key: 'amqp/exchanges/1/e', value: '{"format":1,"kind":"none"}' }] });
    expect(await refusal(() => open(coordinator))).toMatch(/^STORAGE_CORRUPT: .*amqp\/exchanges\/1\/e/);
  });

  test('a change writes the same, however much there is', async () => {
    const coordinator = new MemoryCoordinator({ historyCharactersMax: 2 ** 30 });
    const { topology } = await open(coordinator);
    await topology.declareExchange('/', exchange('e', { kind: 'direct' }));
    await topology.createQueue('/', queue('q'));
    const written: number[] = [];
    const watched = coordinator.transaction.bind(coordinator);
    coordinator.transaction = (transaction) => {
      written.push(JSON.stringify(transaction).length);
      return watched(transaction);
    };
    await topology.bind('/', link('e -> queue:q', '100000'));
    const few = written.splice(0);
    await Promise.all(Array.from({ length: 5000 }, (_, key) => topology.bind('/', link('e -> queue:q', `k${key}`))));
    written.length = 0;
    await topology.bind('/', link('e -> queue:q', '100001'));
    expect(Math.abs(written[0]! - few[0]!)).toBeLessThan(10);
    expect(written).toHaveLength(1);
    written.length = 0;
    await topology.deleteExchange('/', 'e');
    // One key; its bindings mean nothing from then on.
    expect(written[0]).toBeLessThan(200);
    expect(topology.bindings('/')).toEqual([]);
  });
});

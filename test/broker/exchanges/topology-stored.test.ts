import { describe, expect, test } from 'vitest';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { table } from './bindings-bed.ts';
import { exchange, link, names, open, PREDECLARED, queue, refusal, route } from './topology-bed.ts';

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

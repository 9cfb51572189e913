/** Consumers in groups against a real broker, and its administration. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Broker, type BrokerOptions, startBroker } from '../../../broker/index.ts';
import {
  type Client,
  type Consumer,
  type ConsumerOptions,
  connect,
  stringSerializer,
  type TopicPartition,
} from '../../../client/index.ts';
import { partitionKey } from '../../../client/topic-partition.ts';
import { CutOffProxy } from '../../support/cut-off-proxy.ts';

const FAST: Partial<BrokerOptions> = { groupInitialRebalanceDelayMs: 0, groupMinSessionTimeoutMs: 100 };

async function start(options: Partial<BrokerOptions> = {}): Promise<Broker> {
  const broker = await startBroker({ storage: 'memory', ...FAST, ...options });
  onTestFinished(() => broker.close());
  return broker;
}

async function connectTo(address: string): Promise<Client> {
  const client = await connect(address, { reconnectBackoff: { initialMs: 5, maxMs: 50 } });
  onTestFinished(() => client.close({ timeoutMs: 500 }));
  return client;
}

async function setUp(partitions: number, options: Partial<BrokerOptions> = {}) {
  const broker = await start(options);
  const client = await connectTo(broker.addresses.native!);
  await client.admin().createTopic({ name: 't', partitions });
  return { broker, client };
}

class Reader {
  readonly consumer: Consumer<string, string>;
  readonly values: string[] = [];
  /** `assigned t-0`, `revoked t-1` …: changes, in their order. */
  readonly events: string[] = [];
  readonly errors: unknown[] = [];
  #stopped = false;

  constructor(client: Client, options: ConsumerOptions<string, string> = {}) {
    const note = (what: string) => (partitions: readonly TopicPartition[]) =>
      void this.events.push([what, ...partitions.map(partitionKey)].join(' '));
    this.consumer = client.consumer({
      group: 'g',
      topics: ['t'],
      from: 'earliest',
      sessionTimeoutMs: 1000,
      heartbeatIntervalMs: 50,
      autoCommitIntervalMs: 100,
      valueDeserializer: stringSerializer,
      keyDeserializer: stringSerializer,
      onAssigned: note('assigned'),
      onRevoked: note('revoked'),
      onLost: note('lost'),
      ...options,
    });
    void this.#read();
  }

  get owned(): string[] {
    return this.consumer.assignment.map(partitionKey).sort();
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await this.consumer.close();
  }

  async #read(): Promise<void> {
    while (!this.#stopped) {
      try {
        for (const { value } of await this.consumer.poll({ timeoutMs: 50 })) this.values.push(value!);
      } catch (error) {
        if (this.#stopped) return;
        this.errors.push(error);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

async function until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 15_000): Promise<void> {
  const giveUpAtMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > giveUpAtMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const names = (count: number) => Array.from({ length: count }, (_, index) => `t-${index}`).sort();
const shared = (readers: readonly Reader[], count: number) =>
  readers
    .flatMap(({ owned }) => owned)
    .sort()
    .join() === names(count).join();

async function produce(client: Client, count: number, prefix = ''): Promise<string[]> {
  const values = Array.from({ length: count }, (_, index) => `${prefix}${index}`);
  const producer = client.producer({ keySerializer: stringSerializer, valueSerializer: stringSerializer });
  await producer.sendMany(values.map((value) => ({ topic: 't', key: value, value })));
  await producer.close();
  return values;
}

describe('consumers of one group', () => {
  test('share the partitions; whoever comes and goes moves only what must move', async () => {
    const { client } = await setUp(12);
    const a = new Reader(client);
    await until(() => a.owned.length === 12, 'all are with the first');
    const b = new Reader(client);
    await until(() => a.owned.length === 6 && b.owned.length === 6, 'half are with the second');
    const c = new Reader(client);
    await until(() => [a, b, c].every(({ owned }) => owned.length === 4), 'a third each');
    const moved = (reader: Reader) =>
      reader.events.filter((event) => event.startsWith('revoked ')).flatMap((event) => event.split(' ').slice(1))
        .length;
    expect([moved(a), moved(b), moved(c)]).toEqual([8, 2, 0]);
    await c.close();
    await until(() => [a, b].every(({ owned }) => owned.length === 6), 'shared by two again');
    expect([moved(a), moved(b)]).toEqual([8, 2]);
    expect([a, b, c].flatMap(({ errors }) => errors)).toEqual([]);
  });

  test.each(['cooperative-sticky', 'sticky', 'range', 'roundrobin'] as const)(
    'with %s: all records come once while members come and leave properly',
    async (assignor) => {
      const { client } = await setUp(6);
      const readers = [new Reader(client, { assignors: [assignor] })];
      const all: string[] = [];
      for (let round = 0; round < 4; round += 1) {
        all.push(...(await produce(client, 200, `${round}-`)));
        if (round % 2 === 0) readers.push(new Reader(client, { assignors: [assignor] }));
        else await readers[round - 1]!.close();
      }
      const seen = () => readers.flatMap(({ values }) => values);
      await until(() => new Set(seen()).size === all.length, 'all records are there');
      // Polls finish what they got before partitions move, and leaving commits: nothing is repeated but what the last polls of
      // those who closed had got.
      expect(seen().length - all.length).toBeLessThanOrEqual(200);
      expect(readers.flatMap(({ errors }) => errors)).toEqual([]);
    },
  );

  test('a member whose connection breaks for good is replaced after its session, from its last commit on', async () => {
    const { broker, client } = await setUp(4);
    const proxy = await CutOffProxy.start(broker.ports.native!);
    onTestFinished(() => proxy.close());
    const far = await connectTo(`ws://127.0.0.1:${proxy.port}`);
    const a = new Reader(client);
    const b = new Reader(far);
    await until(() => a.owned.length === 2 && b.owned.length === 2, 'two each');
    const first = await produce(client, 400, 'first-');
    await until(() => new Set([...a.values, ...b.values]).size === first.length, 'all were read');
    // The next poll finishes them, the next interval commits them.
    await until(async () => {
      const { partitions } = await client.admin().describeGroup('g');
      return partitions.every(({ lag }) => lag === 0);
    }, 'all are committed');
    proxy.cutOff();
    const before = a.values.length;
    const mine = a.owned;
    await until(() => a.owned.length === 4, 'the other has all');
    const second = await produce(client, 400, 'second-');
    await until(() => a.values.filter((value) => value.startsWith('second-')).length >= second.length, 'it goes on');
    // Nothing that was committed comes again, and what stayed was never taken away.
    expect(a.values.slice(before).filter((value) => value.startsWith('first-'))).toEqual([]);
    expect(
      a.events.filter((event) => event.startsWith('revoked') && mine.some((name) => event.includes(name))),
    ).toEqual([]);
    proxy.restore();
    await until(() => shared([a, b], 4) && a.owned.length === 2, 'it is back');
    expect(b.events).toContainEqual(expect.stringMatching(/^lost /));
  });

  test('a static member restarts without a rebalance', async () => {
    const { client } = await setUp(4);
    const a = new Reader(client, { groupInstanceId: 'a', sessionTimeoutMs: 10_000 });
    const b = new Reader(client, { groupInstanceId: 'b', sessionTimeoutMs: 10_000 });
    await until(() => a.owned.length === 2 && b.owned.length === 2, 'two each');
    const before = await client.admin().describeGroup('g');
    const eventsOfA = [...a.events];
    const mine = b.owned;
    await b.close();
    const again = new Reader(client, { groupInstanceId: 'b', sessionTimeoutMs: 10_000 });
    await until(() => again.owned.length === 2, 'it has its partitions');
    expect(again.owned).toEqual(mine);
    const all = await produce(client, 100);
    await until(() => new Set([...a.values, ...again.values]).size === all.length, 'all were read');
    const after = await client.admin().describeGroup('g');
    expect(after.generationId).toBe(before.generationId);
    expect(a.events).toEqual(eventsOfA);
  });

  test('a pattern takes in topics that are created later', async () => {
    const { client } = await setUp(1);
    const reader = new Reader(client, { topics: undefined, pattern: /^t/, topicRefreshMs: 100 } as never);
    await until(() => reader.owned.length === 1, 'the first topic');
    await client.admin().createTopic({ name: 't2', partitions: 2 });
    await until(() => reader.owned.join() === 't-0,t2-0,t2-1', 'the second topic');
    await client.admin().createPartitions('t', 3);
    await until(() => reader.owned.length === 5, 'the new partitions');
    expect(reader.events.filter((event) => event.startsWith('revoked'))).toEqual([]);
  });

  test('two groups read the same topic on their own', async () => {
    const { client } = await setUp(2);
    const all = await produce(client, 100);
    const one = new Reader(client, { group: 'one' });
    const two = new Reader(client, { group: 'two' });
    await until(() => one.values.length >= 100 && two.values.length >= 100, 'both have all');
    expect([...one.values].sort()).toEqual([...all].sort());
    expect([...two.values].sort()).toEqual([...all].sort());
  });

  test('a session timeout that the broker does not allow ends the consumer', async () => {
    const { client } = await setUp(1, { groupMinSessionTimeoutMs: 6000 });
    const consumer = client.consumer({ group: 'g', topics: ['t'], sessionTimeoutMs: 3000 });
    await expect(consumer.poll({ timeoutMs: 5000 })).rejects.toMatchObject({ code: 'INVALID_SESSION_TIMEOUT' });
  });
});

describe('a broker that restarts', () => {
  test('in the midst of a rebalance: the group comes together again, nothing committed is read again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'burrow-groups-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const options = { storage: folder, ...FAST };
    let broker = await startBroker(options);
    onTestFinished(() => broker.close());
    const address = broker.addresses.native!;
    const port = broker.ports.native!;
    const client = await connectTo(address);
    await client.admin().createTopic({ name: 't', partitions: 6 });
    const readers = [new Reader(client), new Reader(await connectTo(address))];
    await until(() => shared(readers, 6), 'shared by two');
    const first = await produce(client, 300, 'first-');
    const seen = () => readers.flatMap(({ values }) => values);
    await until(() => new Set(seen()).size === first.length, 'all were read');
    await until(async () => {
      const { partitions } = await client.admin().describeGroup('g');
      return partitions.every(({ lag }) => lag === 0);
    }, 'all are committed');
    // A third begins to join, and the broker goes.
    readers.push(new Reader(await connectTo(address)));
    await until(async () => (await client.admin().describeGroup('g')).state !== 'Stable', 'a rebalance has begun');
    await broker.close();
    broker = await startBroker({ ...options, port });
    await until(
      () => shared(readers, 6) && readers.every(({ owned }) => owned.length === 2),
      'shared by three',
      20_000,
    );
    const second = await produce(client, 300, 'second-');
    await until(() => new Set(seen()).size === first.length + second.length, 'all were read');
    expect(seen().filter((value) => value.startsWith('first-'))).toHaveLength(first.length);
    expect(readers.flatMap(({ errors }) => errors)).toEqual([]);
  });

  test('while nothing happens: nobody notices', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'burrow-groups-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const options = { storage: folder, ...FAST };
    let broker = await startBroker(options);
    onTestFinished(() => broker.close());
    const port = broker.ports.native!;
    const client = await connectTo(broker.addresses.native!);
    await client.admin().createTopic({ name: 't', partitions: 4 });
    const readers = [1, 2].map(() => new Reader(client, { sessionTimeoutMs: 10_000 }));
    await until(() => shared(readers, 4), 'shared by two');
    await until(async () => (await client.admin().describeGroup('g')).state === 'Stable', 'stable');
    const { generationId } = await client.admin().describeGroup('g');
    const events = readers.map((reader) => [...reader.events]);
    await broker.close();
    broker = await startBroker({ ...options, port });
    const all = await produce(client, 100);
    await until(() => readers.flatMap(({ values }) => values).length >= all.length, 'they read on');
    expect((await client.admin().describeGroup('g')).generationId).toBe(generationId);
    expect(readers.map((reader) => reader.events)).toEqual(events);
  });
});

describe('administration', () => {
  test('lists and describes groups, with members, assignments and lag', async () => {
    const { client } = await setUp(2);
    const admin = client.admin();
    expect(await admin.listGroups()).toEqual([]);
    await expect(admin.describeGroup('g')).rejects.toMatchObject({ code: 'GROUP_ID_NOT_FOUND' });
    const reader = new Reader(client);
    await until(() => reader.owned.length === 2, 'a member');
    await produce(client, 10);
    await until(async () => (await admin.describeGroup('g')).partitions.every(({ lag }) => lag === 0), 'all committed');
    expect(await admin.listGroups()).toEqual([{ groupId: 'g', state: 'Stable', protocolType: 'consumer' }]);
    const described = await admin.describeGroup('g');
    expect(described).toMatchObject({
      groupId: 'g',
      state: 'Stable',
      protocolName: 'cooperative-sticky',
      members: [
        {
          topics: ['t'],
          assignment: [
            { topic: 't', partition: 0 },
            { topic: 't', partition: 1 },
          ],
          clientHost: expect.any(String),
        },
      ],
    });
    const [{ memberId } = { memberId: '' }] = described.members;
    expect(described.partitions.map((each) => each.memberId)).toEqual([memberId, memberId]);
    expect(described.partitions.reduce((sum, each) => sum + each.committedOffset!, 0)).toBe(10);
    await reader.close();
    await produce(client, 6, 'more-');
    const idle = await admin.describeGroup('g');
    expect(idle).toMatchObject({ state: 'Empty', members: [] });
    expect(idle.partitions.reduce((sum, each) => sum + each.lag!, 0)).toBe(6);
  });

  test('resets offsets: by each way, and first only on paper', async () => {
    const { client } = await setUp(1);
    const admin = client.admin();
    const producer = client.producer({ valueSerializer: stringSerializer });
    for (let index = 0; index < 10; index += 1) {
      await producer.send({
        topic: 't',
        partition: 0,
        value: `${index}`,
        timestampMs: 1_700_000_000_000 + index * 1000,
      });
    }
    await admin.deleteRecords('t', 0, 2);
    const reset = async (to: Parameters<typeof admin.resetOffsets>[1]['to'], dryRun = false) => {
      const [moved] = await admin.resetOffsets('g', { to, dryRun, partitions: [{ topic: 't' }] });
      return [moved!.from, moved!.to];
    };
    const committed = async () => (await admin.describeGroup('g')).partitions[0]!.committedOffset;
    expect(await reset('latest')).toEqual([undefined, 10]);
    expect(await reset({ shiftBy: -3 }, true)).toEqual([10, 7]);
    expect(await committed()).toBe(10);
    expect(await reset({ shiftBy: -3 })).toEqual([10, 7]);
    expect(await committed()).toBe(7);
    expect(await reset('earliest')).toEqual([7, 2]);
    expect(await reset({ shiftBy: -100 })).toEqual([2, 2]);
    expect(await reset({ offset: 5 })).toEqual([2, 5]);
    expect(await reset({ offset: 500 })).toEqual([5, 10]);
    expect(await reset({ timestampMs: 1_700_000_004_500 })).toEqual([10, 5]);
    expect(await reset({ timestampMs: 1_900_000_000_000 })).toEqual([5, 10]);
    // All that is committed, if nothing is named.
    expect(await admin.resetOffsets('g', { to: 'earliest' })).toEqual([{ topic: 't', partition: 0, from: 10, to: 2 }]);
    const reader = new Reader(client);
    await until(() => reader.values.length >= 8, 'it begins there');
    expect(reader.values[0]).toBe('2');
  });

  test('refuses to reset or delete a group that has members', async () => {
    const { client } = await setUp(1);
    const admin = client.admin();
    const reader = new Reader(client);
    await until(() => reader.owned.length === 1, 'a member');
    const to = { to: 'earliest', partitions: [{ topic: 't' }] } as const;
    for (const attempt of [
      admin.resetOffsets('g', to),
      admin.resetOffsets('g', { ...to, dryRun: true }),
      admin.deleteGroup('g'),
    ]) {
      await expect(attempt).rejects.toMatchObject({ code: 'NON_EMPTY_GROUP' });
    }
    await expect(admin.deleteOffsets('g', [{ topic: 't', partition: 0 }])).rejects.toMatchObject({
      code: 'GROUP_SUBSCRIBED_TO_TOPIC',
    });
    await reader.close();
    expect(await admin.resetOffsets('g', to)).toHaveLength(1);
    await admin.deleteOffsets('g', [{ topic: 't', partition: 0 }]);
    await admin.resetOffsets('g', to);
    await admin.deleteGroup('g');
    expect(await admin.listGroups()).toEqual([]);
  });

  test('says what does not exist or makes no sense', async () => {
    const { client } = await setUp(1);
    const admin = client.admin();
    const reset = (to: unknown, partitions?: Array<{ topic: string; partition?: number }>) =>
      admin.resetOffsets('g', { to: to as 'latest', partitions });
    await expect(reset('latest')).rejects.toMatchObject({ code: 'GROUP_ID_NOT_FOUND' });
    await expect(reset('latest', [{ topic: 'none' }])).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' });
    await expect(reset('latest', [{ topic: 't', partition: 5 }])).rejects.toMatchObject({
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
    });
    for (const to of ['newest', { shiftBy: 0.5 }, { offset: -1 }, {}, { timestampMs: -5 }, { shiftBy: 1 }]) {
      await expect(reset(to, [{ topic: 't' }]), JSON.stringify(to)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    await expect(admin.deleteGroup('none')).rejects.toMatchObject({ code: 'GROUP_ID_NOT_FOUND' });
    await expect(admin.deleteGroup('')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(admin.describeGroup('x'.repeat(250))).rejects.toMatchObject({ code: 'INVALID_GROUP_ID' });
    await expect(admin.describeGroup('x'.repeat(10_000))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

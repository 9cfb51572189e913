/** client.subscribe with retries and dead letters against a broker: how often records are tried, where they land, and back again. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Client, failureOf, type SubscribeOptions } from '../../../client/index.ts';
import { committed, connectTo, deadLettersOf, eventually, numbered, quick, startBed, text } from './subscriber-bed.ts';

const CLIENT = fileURLToPath(new URL('../../../dist/client/index.js', import.meta.url));
const decode = (bytes: Uint8Array | null) => new TextDecoder().decode(bytes ?? undefined);
const group = { ...text, ...quick, group: 'billing', from: 'earliest' } as const;

/** 120 records of 12 keys; a third of them fail. */
const RECORDS = Array.from({ length: 120 }, (_, index) => ({ key: `k${index % 12}`, value: `v${index}` }));
const fails = (value: string) => Number(value.slice(1)) % 3 === 0;
const FAILING = RECORDS.map(({ value }) => value)
  .filter(fails)
  .sort();

describe.each(['in-place', 'topic'] as const)('retries %s, two subscribers of a group', (mode) => {
  test('exactly what fails is a dead letter, after exactly the attempts; replay brings it back', async () => {
    const { client, produce, address } = await startBed();
    await client.admin().createTopic({ name: 'orders', partitions: 4 });
    const attempts = new Map<string, number[]>();
    const origins = new Map<string, Set<string>>();
    const done: string[] = [];
    let isMended = false;
    const options = {
      ...group,
      concurrency: 4,
      retry: { attempts: 4, mode, delayMs: 2, delayMsMax: 8 },
      deadLetter: true,
    } as const;
    const subscribe = async () => {
      const own = await connectTo(address);
      return own.subscribe<string, string>(
        'orders',
        async (record, attempt) => {
          const value = record.value!;
          attempts.set(value, [...(attempts.get(value) ?? []), attempt]);
          const { topic, partition, offset } = failureOf(record)?.origin ?? record;
          origins.set(value, (origins.get(value) ?? new Set()).add(`${topic}-${partition}/${offset}`));
          if (fails(value) && !isMended) throw new RangeError(`cannot bill ${value}`);
          done.push(value);
        },
        options,
      );
    };
    const subscribers = [await subscribe(), await subscribe()];
    const topics = mode === 'topic' ? 4 : 1;
    await eventually(() => {
      const shares = subscribers.map(({ assignment }) => assignment.length);
      return Math.min(...shares) > 0 && shares[0]! + shares[1]! === 4 * topics;
    });
    await produce('orders', RECORDS);
    const letters = () => deadLettersOf(client, 'orders.billing.dlq');
    await eventually(async () => (await letters()).length === FAILING.length && done.length === 80);

    const dead = await letters();
    expect(dead.map(({ value }) => decode(value)).sort()).toEqual(FAILING);
    for (const { value, partition, attempts: tried, origin, errorName, errorMessage, group: of } of dead) {
      const name = decode(value);
      expect({ tried, errorName, errorMessage, of }).toEqual({
        tried: 4,
        errorName: 'RangeError',
        errorMessage: `cannot bill ${name}`,
        of: 'billing',
      });
      expect(origin).toMatchObject({ topic: 'orders', partition });
      // The handler is told of the same place, wherever the record comes from.
      expect([...origins.get(name)!]).toEqual([`orders-${partition}/${origin!.offset}`]);
    }
    for (const [value, seen] of attempts) expect([value, seen]).toEqual([value, fails(value) ? [1, 2, 3, 4] : [1]]);
    expect(done).toHaveLength(80);

    isMended = true;
    expect(await client.deadLetters().replay('orders.billing.dlq')).toMatchObject({ replayed: 40, removed: 40 });
    await eventually(() => done.length === 120);
    expect(new Set(done).size).toBe(120);
    await Promise.all(subscribers.map((subscriber) => subscriber.close()));
    const lag = (await client.admin().describeGroup('billing')).partitions.map((partition) => partition.lag);
    expect(lag.every((each) => each === 0)).toBe(true);
  });
});

describe('while a record is retried', () => {
  test.each(['in-place', 'topic'] as const)('others go on, %s; it comes again when it is due', async (mode) => {
    const { client, produce } = await startBed();
    await client.admin().createTopic({ name: 'orders', partitions: 1 });
    const calls: Array<{ value: string; atMs: number }> = [];
    client.subscribe<string, string>(
      'orders',
      ({ value }) => {
        calls.push({ value: value!, atMs: performance.now() });
        if (value === '0') throw new Error('no');
      },
      { ...group, retry: { mode, attempts: 3, delayMs: 700, backoff: 'fixed', jitter: 0.1 }, deadLetter: true },
    );
    await produce('orders', numbered(1));
    await eventually(() => calls.length === 1);
    await produce('orders', numbered(500, 1));
    await eventually(async () => (await deadLettersOf(client, 'orders.billing.dlq')).length === 1);
    const tries = calls.filter(({ value }) => value === '0').map(({ atMs }) => atMs);
    expect(tries).toHaveLength(3);
    for (const [index, atMs] of tries.slice(1).entries()) expect(atMs - tries[index]!).toBeGreaterThan(620);
    // In their order, and not held up by the one that waits.
    const others = calls.filter(({ value }) => value !== '0').map(({ value }) => Number(value));
    expect(others).toEqual([...Array(500).keys()].map((index) => index + 1));
    expect(calls.findIndex(({ atMs }) => atMs === tries[2])).toBe(calls.length - 1);
  });
});

test('without a dead-letter topic a record ends the subscription also by way of retry topics, and stays uncommitted', async () => {
  const { client, produce } = await startBed();
  await client.admin().createTopic({ name: 'orders', partitions: 1 });
  await produce('orders', numbered(3));
  const seen: string[] = [];
  const subscriber = client.subscribe<string, string>(
    'orders',
    ({ value }, attempt) => {
      seen.push(`${value}/${attempt}`);
      if (value === '1') throw new Error('never');
    },
    { ...group, retry: { mode: 'topic', attempts: 2, delayMs: 1 }, onError: () => {} },
  );
  await expect(subscriber.closed).rejects.toThrow('never');
  expect(seen.sort()).toEqual(['0/1', '1/1', '1/2', '2/1']);
  const { partitions } = await client.admin().describeGroup('billing');
  const retried = partitions.find(({ topic }) => topic === 'orders.billing.retry.1');
  expect(retried?.committedOffset ?? 0).toBe(0);
  expect(await client.admin().listTopics()).not.toContain('orders.billing.dlq');
});

describe('a subscription to a pattern', () => {
  const options = { ...group, topicRefreshMs: 20, retry: { mode: 'topic', attempts: 2, delayMs: 1 } } as const;

  test('does not match what is set aside, by itself or by others; a topic that comes later has retries too', async () => {
    const { client, produce } = await startBed();
    const admin = client.admin();
    for (const name of ['orders-a', 'orders-a.shipping.dlq', 'orders-a.shipping.retry.1']) {
      await admin.createTopic({ name, partitions: 1 });
      await produce(name, [{ value: `in ${name}`, partition: 0 }]);
    }
    const seen: string[] = [];
    const errors: unknown[] = [];
    const subscriber = client.subscribe<string, string>(
      /^orders/,
      ({ topic, value }, attempt) => {
        seen.push(`${topic} ${value} ${attempt}`);
        throw new Error('no');
      },
      { ...options, deadLetter: { topic: 'orders-failed' }, onError: (error) => errors.push(error) },
    );
    await eventually(async () => (await deadLettersOf(client, 'orders-failed')).length === 1);
    await admin.createTopic({ name: 'orders-b', partitions: 1 });
    await produce('orders-b', [{ value: 'late', partition: 0 }]);
    await eventually(async () => (await deadLettersOf(client, 'orders-failed')).length === 2);
    expect(seen).toEqual([
      'orders-a in orders-a 1',
      'orders-a.billing.retry.1 in orders-a 2',
      'orders-b late 1',
      'orders-b.billing.retry.1 late 2',
    ]);
    expect(errors).toEqual([]);
    expect(new Set(subscriber.assignment.map(({ topic }) => topic))).toEqual(
      new Set(['orders-a', 'orders-a.billing.retry.1', 'orders-b', 'orders-b.billing.retry.1']),
    );
  });

  test('leaves out a topic whose name leaves no room for that of its retries, and says so once', async () => {
    const { client, produce } = await startBed();
    const long = `orders-${'x'.repeat(235)}`;
    const errors: unknown[] = [];
    const seen: string[] = [];
    const subscribe: SubscribeOptions<string, string> = { ...options, onError: (error) => errors.push(error) };
    client.subscribe<string, string>(/^orders/, ({ topic }) => void seen.push(topic), { ...subscribe, batch: false });
    await client.admin().createTopic({ name: long, partitions: 1 });
    await eventually(() => errors.length === 1);
    for (const name of ['orders-a', 'orders-b']) {
      await produce(name, numbered(1));
      await eventually(() => seen.includes(name));
    }
    expect(errors).toMatchObject([{ code: 'INVALID_NAME' }]);
    expect(seen).toEqual(['orders-a', 'orders-b']);
  });
});

test('a topic that is created after its subscriber gets its retry topics then', async () => {
  const { client, produce } = await startBed({ autoCreateTopics: false });
  const errors: unknown[] = [];
  const attempts: number[] = [];
  client.subscribe<string, string>(
    'orders',
    (_, attempt) => {
      attempts.push(attempt);
      if (attempt < 3) throw new Error('not yet');
    },
    { ...group, retry: { mode: 'topic', delayMs: 1 }, onError: (error) => errors.push(error) },
  );
  await eventually(() => errors.length === 1);
  await client.admin().createTopic({ name: 'orders', partitions: 1 });
  await produce('orders', numbered(1));
  await eventually(() => attempts.length === 3);
  expect(attempts).toEqual([1, 2, 3]);
  // Of the topic; retry topics are no business of the user's.
  expect(errors).toMatchObject([{ code: 'UNKNOWN_TOPIC_OR_PARTITION', fields: { topic: 'orders' } }]);
});

test('a subscriber may be closed while its topics are still being looked up and made', async () => {
  const { client } = await startBed();
  await client.admin().createTopic({ name: 'orders', partitions: 1 });
  const errors: unknown[] = [];
  const subscriber = client.subscribe('orders', () => {}, {
    group: 'billing',
    retry: { mode: 'topic' },
    deadLetter: true,
    onError: (error) => errors.push(error),
  });
  await subscriber.close();
  await subscriber.closed;
  client.subscribe('orders', () => {}, { group: 'shipping', retry: { mode: 'topic' } });
  await client.close();
  expect(errors).toEqual([]);
});

describe('a subscriber that is killed', () => {
  /** A process of its own that commits nothing by itself, so that it dies between setting aside and committing. */
  function startVictim(address: string, options: object): () => Promise<void> {
    const script = `
      const { connect } = await import(process.argv[1]);
      const client = await connect(process.argv[2]);
      const fail = ({ value }) => { if (new TextDecoder().decode(value) === '3') throw new Error('no'); };
      client.subscribe('orders', fail, JSON.parse(process.argv[3]));`;
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', script, CLIENT, address, JSON.stringify(options)],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const exited = once(child, 'exit');
    const kill = async () => {
      child.kill('SIGKILL');
      await exited;
    };
    onTestFinished(kill);
    return kill;
  }

  async function originsIn(client: Client, topic: string): Promise<Array<number | undefined>> {
    const letters = await deadLettersOf(client, topic);
    return letters.map(({ origin }) => origin?.offset);
  }

  test.each([
    ['in-place', 'orders.billing.dlq', 1],
    ['topic', 'orders.billing.retry.1', 2],
  ] as const)(
    'after setting aside and before committing leaves a duplicate, never a gap (%s)',
    async (mode, aside, attempts) => {
      const { client, produce, address } = await startBed({ groupMinSessionTimeoutMs: 100 });
      await client.admin().createTopic({ name: 'orders', partitions: 1 });
      await produce('orders', numbered(6));
      const options = {
        group: 'billing',
        from: 'earliest',
        // In topics: long enough that the victim does not take it up again.
        retry: { mode, attempts, delayMs: 3000, jitter: 0 },
        deadLetter: true,
        heartbeatIntervalMs: 50,
        sessionTimeoutMs: 1500,
        autoCommitIntervalMs: 1_000_000,
      } as const;
      const kill = startVictim(address, options);
      await eventually(async () => (await originsIn(client, aside)).length === 1);
      await kill();
      const offsets = await client.admin().describeGroup('billing');
      expect(offsets.partitions.every(({ committedOffset }) => committedOffset === undefined)).toBe(true);

      const seen: string[] = [];
      const subscriber = client.subscribe<string, string>(
        'orders',
        ({ value }, attempt) => {
          seen.push(`${value}/${attempt}`);
          if (value === '3') throw new Error('no');
        },
        { ...options, ...group },
      );
      // Each of the two copies is given up for itself.
      await eventually(async () => (await originsIn(client, 'orders.billing.dlq')).length === 2);
      expect(await originsIn(client, 'orders.billing.dlq')).toEqual([3, 3]);
      const firsts = seen.filter((each) => each.endsWith('/1'));
      expect(firsts).toEqual([0, 1, 2, 3, 4, 5].map((value) => `${value}/1`));
      await subscriber.close();
      expect((await committed(client, 'billing'))[0]).toBe(6);
    },
  );
});

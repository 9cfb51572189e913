/** client.subscribe against a broker in this process. */

import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect as connectSocket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../../../broker/index.ts';
import type { ConsumerBatch, Topics } from '../../../client/index.ts';
import { committed, connectTo, eventually, Gate, numbered, quick, startBed, text } from './subscriber-bed.ts';

describe('records', () => {
  test('come to the handler and are committed when it is done', async () => {
    const { client, produce } = await startBed();
    await client.admin().createTopic({ name: 'orders', partitions: 3 });
    const seen: string[] = [];
    const subscriber = client.subscribe<string, string>(
      'orders',
      async (record) => {
        seen.push(`${record.key}=${record.value}`);
      },
      { ...text, ...quick, group: 'g', from: 'earliest' },
    );
    const records = Array.from({ length: 100 }, (_, index) => ({ key: `k${index % 7}`, value: `${index}` }));
    await produce('orders', records);
    await eventually(() => seen.length === 100);
    expect(seen.sort()).toEqual(records.map(({ key, value }) => `${key}=${value}`).sort());
    await subscriber.close();
    await subscriber.closed;
    expect((await committed(client, 'g')).reduce<number>((sum, offset) => sum + (offset ?? 0), 0)).toBe(100);
  });

  test('also without a group, from the end or from the start, and over all partitions', async () => {
    const { client, produce } = await startBed();
    await client.admin().createTopic({ name: 'orders', partitions: 2 });
    await produce('orders', [{ value: 'old', partition: 1 }]);
    const all: string[] = [];
    const young: string[] = [];
    client.subscribe<string, string>('orders', ({ value }) => all.push(value!), { ...text, from: 'earliest' });
    client.subscribe<string, string>('orders', ({ value }) => young.push(value!), text);
    await eventually(() => all.length === 1);
    await eventually(async () => {
      await produce('orders', [{ value: 'new', partition: 0 }]);
      return young.length > 0;
    });
    expect(new Set(young)).toEqual(new Set(['new']));
    expect(all[0]).toBe('old');
  });

  test('one handler at a time by default, each partition in its order', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(50));
    const seen: string[] = [];
    let running = 0;
    client.subscribe<string, string>(
      'orders',
      async ({ value }) => {
        running += 1;
        expect(running).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        seen.push(value!);
        running -= 1;
      },
      { ...text, from: 'earliest' },
    );
    await eventually(() => seen.length === 50);
    expect(seen).toEqual(numbered(50).map(({ value }) => value));
  });

  test('of one key in their order and one at a time, of different keys at once', async () => {
    const { client, produce } = await startBed();
    const records = Array.from({ length: 400 }, (_, index) => ({
      key: `k${index % 8}`,
      value: `${index}`,
      partition: 0,
    }));
    await produce('orders', records);
    const running = new Set<string>();
    const byKey = new Map<string, number[]>();
    let atOnce = 0;
    let done = 0;
    client.subscribe<string, string>(
      'orders',
      async ({ key, value }) => {
        expect(running.has(key!)).toBe(false);
        running.add(key!);
        atOnce = Math.max(atOnce, running.size);
        for (let turn = Number(value) % 5; turn >= 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
        byKey.set(key!, [...(byKey.get(key!) ?? []), Number(value)]);
        running.delete(key!);
        done += 1;
      },
      { ...text, from: 'earliest', concurrency: 5 },
    );
    await eventually(() => done === 400);
    expect(atOnce).toBe(5);
    for (const values of byKey.values()) expect(values).toEqual(values.toSorted((a, b) => a - b));
  });

  test('leave the event loop to others now and then, also if their handlers wait for nothing', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(200));
    let turns = 0;
    let done = 0;
    const turnsAt: number[] = [];
    const count = () => {
      turns += 1;
      if (done < 200) setImmediate(count);
    };
    count();
    client.subscribe(
      'orders',
      () => {
        const endMs = performance.now() + 1;
        while (performance.now() < endMs);
        turnsAt.push(turns);
        done += 1;
      },
      { from: 'earliest' },
    );
    await eventually(() => done === 200);
    expect(new Set(turnsAt).size).toBeGreaterThanOrEqual(4);
    // And not after each.
    expect(new Set(turnsAt).size).toBeLessThan(50);
  });

  test('without a key wait for no other', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(10));
    const gate = new Gate();
    const done: string[] = [];
    client.subscribe<string, string>(
      'orders',
      async ({ value }) => {
        if (value === '0') await gate.opened;
        done.push(value!);
      },
      { ...text, from: 'earliest', concurrency: 2 },
    );
    await eventually(() => done.length === 9);
    gate.open();
    await eventually(() => done.length === 10);
    expect(done.at(-1)).toBe('0');
  });

  test('in batches: of a partition one at a time and in order', async () => {
    const { client, produce } = await startBed();
    const batches: Array<ConsumerBatch<string, string>> = [];
    let running = 0;
    const subscriber = client.subscribe<string, string>(
      'orders',
      async (batch) => {
        running += 1;
        expect(running).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        batches.push(batch);
        running -= 1;
      },
      { ...text, ...quick, group: 'g', from: 'earliest', batch: true, concurrency: 4 },
    );
    for (let from = 0; from < 500; from += 50) await produce('orders', numbered(50, from));
    const values = () => batches.flatMap(({ records }) => records.map(({ value }) => Number(value)));
    await eventually(() => values().length === 500);
    expect(values()).toEqual([...Array(500).keys()]);
    await subscriber.close();
    expect(await committed(client, 'g')).toEqual([500]);
  });

  test('of all topics that a pattern matches, also of one that is created later', async () => {
    const { client, produce } = await startBed();
    await produce('shop-a', numbered(1));
    const seen = new Set<string>();
    client.subscribe(/^shop-/, ({ topic }) => seen.add(topic), {
      ...quick,
      group: 'g',
      from: 'earliest',
      topicRefreshMs: 20,
    });
    await eventually(() => seen.size === 1);
    await produce('shop-b', numbered(1));
    await eventually(() => seen.size === 2);
  });
});

describe('prefetch', () => {
  /** Counts what comes through from the broker. */
  async function countingProxy(port: number) {
    let bytes = 0;
    const server = createServer((socket) => {
      const upstream = connectSocket(port, '127.0.0.1');
      socket.pipe(upstream);
      upstream.on('data', (chunk) => {
        bytes += chunk.length;
        socket.write(chunk);
      });
      for (const each of [socket, upstream]) each.on('error', () => each.destroy());
      upstream.on('close', () => socket.destroy());
      socket.on('close', () => upstream.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    return { address: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, bytes: () => bytes };
  }

  test('a stuck handler stops the broker from sending; it goes on when the handler does', async () => {
    const { client, produce, broker } = await startBed();
    // Each produce is a batch of 10 records of 1 KB.
    for (let from = 0; from < 1000; from += 10) {
      await produce(
        'orders',
        numbered(10, from).map(({ value }) => ({ value: value.padEnd(1000, ' '), partition: 0 })),
      );
    }
    const proxy = await countingProxy(broker.ports.native!);
    const behind = await connectTo(proxy.address);
    const gate = new Gate();
    let begun = 0;
    let done = 0;
    behind.subscribe<string, string>(
      'orders',
      async () => {
        begun += 1;
        await gate.opened;
        done += 1;
      },
      { ...text, from: 'earliest', prefetch: 50, concurrency: 8 },
    );
    await eventually(() => begun === 8);
    // A while in which nothing more should come.
    for (let i = 0; i < 30; i += 1) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(begun).toBe(8);
    // 50 records, one batch more at most, and what the connection says by itself.
    expect(proxy.bytes()).toBeGreaterThan(40_000);
    expect(proxy.bytes()).toBeLessThan(70_000);
    gate.open();
    await eventually(() => done === 1000);
    expect(client.connected).toBe(true);
  });

  test('in bytes likewise', async () => {
    const { produce, broker } = await startBed();
    for (let from = 0; from < 100; from += 1) await produce('orders', [{ value: ''.padEnd(10_000), partition: 0 }]);
    const proxy = await countingProxy(broker.ports.native!);
    const behind = await connectTo(proxy.address);
    const gate = new Gate();
    let done = 0;
    behind.subscribe(
      'orders',
      async () => {
        await gate.opened;
        done += 1;
      },
      { from: 'earliest', prefetchBytes: 100_000 },
    );
    await eventually(() => proxy.bytes() > 90_000);
    for (let i = 0; i < 30; i += 1) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(proxy.bytes()).toBeLessThan(130_000);
    gate.open();
    await eventually(() => done === 100);
  });
});

describe('the committed offset', () => {
  test('does not pass a record that is not finished, whatever is finished behind it', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(100));
    const gate = new Gate();
    const done: string[] = [];
    const subscriber = client.subscribe<string, string>(
      'orders',
      async ({ value }) => {
        if (value === '40') await gate.opened;
        done.push(value!);
      },
      { ...text, ...quick, group: 'g', from: 'earliest', concurrency: 4 },
    );
    await eventually(() => done.length === 99);
    await eventually(async () => (await committed(client, 'g'))[0] === 40);
    // However often it commits.
    for (let i = 0; i < 10; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await committed(client, 'g')).toEqual([40]);
    gate.open();
    await eventually(async () => (await committed(client, 'g'))[0] === 100);
    await subscriber.close();
  });

  test('close waits for running handlers, begins no others, and commits', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(10));
    const gate = new Gate();
    let begun = 0;
    const subscriber = client.subscribe(
      'orders',
      async () => {
        begun += 1;
        if (begun > 3) await gate.opened;
      },
      { ...quick, group: 'g', from: 'earliest', concurrency: 2 },
    );
    await eventually(() => begun === 5);
    const closing = subscriber.close();
    gate.open();
    await closing;
    expect(begun).toBe(5);
    expect(await committed(client, 'g')).toEqual([5]);
    const second: number[] = [];
    client.subscribe('orders', ({ offset }) => second.push(offset), { ...quick, group: 'g' });
    await eventually(() => second.length === 5);
    expect(second).toEqual([5, 6, 7, 8, 9]);
  });

  test('close does not wait for ever: what is left running is not committed', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(10));
    let begun = 0;
    const subscriber = client.subscribe(
      'orders',
      ({ offset }) => {
        begun += 1;
        return offset === 4 ? new Promise(() => {}) : undefined;
      },
      { ...quick, group: 'g', from: 'earliest' },
    );
    await eventually(() => begun === 5);
    await subscriber.close({ timeoutMs: 50 });
    expect(await committed(client, 'g')).toEqual([4]);
  });
});

describe('a group of subscribers', () => {
  test('shares partitions; who leaves has finished, and nothing is left out or done twice', async () => {
    const { client, produce, address } = await startBed();
    await client.admin().createTopic({ name: 'orders', partitions: 4 });
    const seen: string[] = [];
    const subscribe = async (name: string) => {
      const own = await connectTo(address);
      return own.subscribe<string, string>(
        'orders',
        async ({ value }) => {
          await new Promise((resolve) => setTimeout(resolve, 1));
          seen.push(value!);
        },
        {
          ...text,
          ...quick,
          group: 'g',
          from: 'earliest',
          concurrency: 4,
          onError: (error) => seen.push(`${name} ${error}`),
        },
      );
    };
    const first = await subscribe('first');
    let sent = 0;
    const send = async (count: number) => {
      await produce(
        'orders',
        Array.from({ length: count }, () => ({ value: `${sent++}`, partition: sent % 4 })),
      );
    };
    await send(400);
    await eventually(() => seen.length > 100);
    const second = await subscribe('second');
    await send(400);
    await eventually(() => second.assignment.length === 2 && first.assignment.length === 2);
    await send(400);
    await first.close();
    await send(400);
    await eventually(() => second.assignment.length === 4);
    await eventually(() => seen.length >= 1600);
    await second.close();
    expect(seen).toHaveLength(1600);
    expect(new Set(seen).size).toBe(1600);
    expect((await committed(client, 'g')).reduce<number>((sum, offset) => sum + offset!, 0)).toBe(1600);
  });

  test('a partition is given up although a handler is stuck, and its record is done again elsewhere', async () => {
    const { client, produce, address } = await startBed();
    await client.admin().createTopic({ name: 'orders', partitions: 2 });
    const begun: string[] = [];
    let stuck = 0;
    const first = client.subscribe<string, string>(
      'orders',
      ({ value, partition }) => {
        begun.push(`${partition}/${value}`);
        if (value !== '3') return undefined;
        stuck += 1;
        return new Promise(() => {});
      },
      { ...text, ...quick, group: 'g', from: 'earliest', concurrency: 2, revokeTimeoutMs: 100 },
    );
    const keyed = numbered(10).map((record) => ({ ...record, key: 'k' }));
    await produce('orders', keyed);
    await produce(
      'orders',
      keyed.map((record) => ({ ...record, partition: 1 })),
    );
    await eventually(() => stuck === 2);
    const other = await connectTo(address);
    const again: string[] = [];
    other.subscribe<string, string>('orders', ({ value, partition }) => again.push(`${partition}/${value}`), {
      ...text,
      ...quick,
      group: 'g',
    });
    await eventually(() => again.length === 7);
    expect(again.map((each) => each.split('/')[1])).toEqual(['3', '4', '5', '6', '7', '8', '9']);
    expect(first.assignment).toHaveLength(1);
    expect(begun).toHaveLength(8);
    await first.close({ timeoutMs: 10 });
  });
});

describe('a broker', () => {
  test('that is started again is gone on with at the right record, in a group and without', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'burrow-subscriber-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const first = await startBroker({ storage: folder, port: 0, kafkaPort: 'off' });
    const { native: port } = first.ports;
    const client = await connectTo(first.addresses.native!);
    const producer = client.producer();
    const encode = (value: string) => new TextEncoder().encode(value);
    const send = async (from: number, count: number) => {
      const records = numbered(count, from).map(({ value, partition }) => ({
        topic: 'orders',
        partition,
        value: encode(value),
      }));
      await producer.sendMany(records);
    };
    await send(0, 100);
    const grouped: number[] = [];
    const alone: number[] = [];
    const subscriber = client.subscribe('orders', ({ offset }) => grouped.push(offset), {
      ...quick,
      group: 'g',
      from: 'earliest',
    });
    client.subscribe('orders', async ({ offset }) => alone.push(offset), { from: 'earliest', concurrency: 3 });
    await eventually(() => grouped.length === 100 && alone.length === 100);
    await first.close();
    const second = await startBroker({ storage: folder, port: port!, kafkaPort: 'off' });
    onTestFinished(() => second.close());
    await send(100, 100);
    await eventually(() => grouped.length >= 200 && alone.length >= 200);
    expect(alone).toEqual([...Array(200).keys()]);
    expect(grouped).toEqual([...Array(200).keys()]);
    await subscriber.close();
  });

  test('that has deleted the topic is told of, and the topic that comes after it is read', async () => {
    const { client, produce } = await startBed();
    await produce('orders', numbered(3));
    const errors: unknown[] = [];
    const seen: string[] = [];
    client.subscribe<string, string>('orders', ({ value }) => seen.push(value!), {
      ...text,
      ...quick,
      topicRefreshMs: 30,
      group: 'g',
      from: 'earliest',
      onOutOfRange: 'earliest',
      onError: (error) => errors.push(error),
    });
    await eventually(() => seen.length === 3);
    await client.admin().deleteTopic('orders');
    await eventually(() => errors.length > 0);
    expect(errors[0]).toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' });
    await client.admin().createTopic({ name: 'orders', partitions: 1 });
    await produce('orders', numbered(2, 10));
    await eventually(() => seen.includes('11'));
  });
});

describe('options that make no sense are refused by name', () => {
  test.each<[string, Topics, Record<string, unknown>]>([
    ['no topic', [], {}],
    ['an empty name', '', {}],
    ['a pattern without a group', /a/, {}],
    ['no concurrency', 'a', { concurrency: 0 }],
    ['no prefetch', 'a', { prefetch: 0 }],
    ['more prefetch than credit can say', 'a', { prefetchBytes: 2 ** 32 }],
    ['a wait that is negative', 'a', { revokeTimeoutMs: -1 }],
    ['retry topics without a group', 'a', { retry: { mode: 'topic' } }],
    ['a dead-letter topic without a name', 'a', { deadLetter: true }],
    ['its own dead letters', 'a.g.dlq', { group: 'g', deadLetter: true }],
    ['no attempts', 'a', { retry: { attempts: 0 } }],
  ])('%s', async (_name, topics, options) => {
    const { client } = await startBed();
    expect(() => client.subscribe(topics, () => {}, options as { batch: false })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  test('a name that leaves no room for that of its dead letters is refused at once', async () => {
    const { client } = await startBed();
    expect(() => client.subscribe('t'.repeat(240), () => {}, { group: 'group', deadLetter: true })).toThrow(
      expect.objectContaining({ code: 'INVALID_NAME' }),
    );
  });

  test('a topic that does not exist ends a subscriber without a group', async () => {
    const { client } = await startBed({ autoCreateTopics: false });
    const subscriber = client.subscribe('nowhere', () => {});
    await expect(subscriber.closed).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' });
  });
});

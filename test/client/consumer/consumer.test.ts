import { expect, onTestFinished, test } from 'vitest';
import { Consumer } from '../../../client/consumer/consumer.ts';
import type { ConsumerOptions } from '../../../client/consumer/consumer-options.ts';
import { jsonSerializer, stringSerializer } from '../../../client/serializers.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { BatchBuilder } from '../../../src/records/batch-builder.ts';
import { CODECS, CONTROL_FLAG, CRC_POSITION, computeCrc } from '../../../src/records/batch-header.ts';
import { FakeClientClock, settle } from '../../support/fake-client-clock.ts';
import { FakeFetchHost } from '../../support/fake-fetch-host.ts';

function setUp(options: ConsumerOptions<string, string> = {}) {
  const clock = new FakeClientClock();
  const host = new FakeFetchHost(clock);
  const start = (more: ConsumerOptions<string, string> = {}) => {
    const consumer = new Consumer<string, string>(
      host,
      {
        assignment: [{ topic: 'events' }],
        from: 'earliest',
        valueDeserializer: stringSerializer,
        keyDeserializer: stringSerializer,
        ...options,
        ...more,
      },
      () => {},
    );
    onTestFinished(() => consumer.close());
    return consumer;
  };
  return { clock, host, start };
}

async function errorOf(promise: Promise<unknown>): Promise<BurrowError> {
  const thrown = await promise.then(
    () => undefined,
    (error) => error,
  );
  expect(thrown).toBeInstanceOf(BurrowError);
  return thrown as BurrowError;
}

const numbers = (from: number, count: number) => Array.from({ length: count }, (_, index) => `${from + index}`);
const valuesOf = (records: ReadonlyArray<{ value: string | null }>) => records.map(({ value }) => value);

test('poll returns what is there, in order, with offsets and timestamps', async () => {
  const { host, start } = setUp();
  await host.log('events').append(['a', 'b'], { timestampMs: 7 });
  await host.log('events').append(['c']);
  const records = await start().poll();
  expect(
    records.map(({ topic, partition, offset, timestampMs, key, value, headers }) => [
      topic,
      partition,
      offset,
      timestampMs,
      key,
      value,
      headers,
    ]),
  ).toEqual([
    ['events', 0, 0, 7, null, 'a', []],
    ['events', 0, 1, 7, null, 'b', []],
    ['events', 0, 2, 0, null, 'c', []],
  ]);
});

test('poll returns at most maxRecords, and the rest with the next call', async () => {
  const { host, start } = setUp();
  await host.log('events').append(numbers(0, 10));
  const consumer = start();
  expect(valuesOf(await consumer.poll({ maxRecords: 4 }))).toEqual(numbers(0, 4));
  expect(await consumer.position('events', 0)).toBe(4);
  expect(valuesOf(await consumer.poll({ maxRecords: 100 }))).toEqual(numbers(4, 6));
  expect(await consumer.position('events', 0)).toBe(10);
  expect(consumer.lag('events', 0)).toBe(0);
});

test('poll waits for the first record, and returns nothing after its timeout', async () => {
  const { clock, host, start } = setUp();
  host.log('events');
  const consumer = start();
  const empty = consumer.poll({ timeoutMs: 2000 });
  await clock.advance(2000);
  expect(await empty).toEqual([]);
  const waiting = consumer.poll({ timeoutMs: 60_000 });
  await clock.advance(1000);
  await host.log('events').append(['a']);
  host.wake();
  expect(valuesOf(await waiting)).toEqual(['a']);
});

test('it starts at the earliest, the latest, an offset or a time, as each partition asks', async () => {
  const { clock, host, start } = setUp();
  for (let partition = 0; partition < 5; partition += 1) {
    for (let group = 0; group < 3; group += 1) {
      await host.log('events', partition).append(numbers(group * 10, 10), { timestampMs: group * 1000 });
    }
  }
  const consumer = start({
    from: 'latest',
    assignment: [
      { topic: 'events', partition: 0 },
      { topic: 'events', partition: 1, from: 'earliest' },
      { topic: 'events', partition: 2, from: { offset: 15 } },
      { topic: 'events', partition: 3, from: { timestampMs: 500 } },
      { topic: 'events', partition: 4, from: { timestampMs: 9_999 } },
    ],
  });
  const firsts = new Map<number, number>();
  await clock.advance(10);
  for (const record of await consumer.poll()) {
    if (!firsts.has(record.partition)) firsts.set(record.partition, record.offset);
  }
  expect([...firsts].sort()).toEqual([
    [1, 0],
    [2, 15],
    [3, 10],
  ]);
  expect(await consumer.position('events', 0)).toBe(30);
  expect(await consumer.position('events', 4)).toBe(30);
});

test.each(CODECS)('batches compressed with %s are opened', async (codec) => {
  const { host, start } = setUp();
  for (let group = 0; group < 5; group += 1) {
    await host.log('events').append(numbers(group * 100, 100), { codec });
  }
  const consumer = start();
  const seen: (string | null)[] = [];
  for await (const batch of consumer.batches()) {
    seen.push(...valuesOf(batch.records));
    if (seen.length === 500) break;
  }
  expect(seen).toEqual(numbers(0, 500));
});

test('a batch that decompresses beyond the limit is refused with its place', async () => {
  const { host, start } = setUp({ decompressedBytesMax: 10_000 });
  await host.log('events').append(['a']);
  await host.log('events').append(['x'.repeat(100_000)], { codec: 'gzip' });
  const consumer = start();
  expect(valuesOf(await consumer.poll())).toEqual(['a']);
  const error = await errorOf(consumer.poll());
  expect(error.code).toBe('DECOMPRESSION_LIMIT');
  expect(error.fields).toMatchObject({ topic: 'events', partition: 0, offset: 1 });
});

test('a damaged batch is reported where it lies, after what comes before it, and can be skipped by a seek', async () => {
  const { host, start } = setUp();
  const log = host.log('events');
  for (const value of ['a', 'b', 'c']) await log.append([value]);
  log.batches[1]![66]! ^= 0xff;
  const consumer = start();
  expect(valuesOf(await consumer.poll())).toEqual(['a']);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const error = await errorOf(consumer.poll());
    expect(error.code).toBe('CORRUPT_BATCH');
    expect(error.fields).toMatchObject({ topic: 'events', partition: 0, offset: 1 });
  }
  consumer.seek('events', 0, 2);
  expect(valuesOf(await consumer.poll())).toEqual(['c']);
});

test('bytes that are no batches at all are an error, not a crash', async () => {
  const { host, start } = setUp();
  await host.log('events').append(['a']);
  host.log('events').batches[0]!.fill(0xff, 8, 12);
  expect((await errorOf(start().poll())).code).toBe('CORRUPT_BATCH');
});

test('control batches are passed over', async () => {
  const { host, start } = setUp();
  const log = host.log('events');
  await log.append(['a']);
  const builder = new BatchBuilder();
  builder.append(0, new Uint8Array([0, 0, 0, 1]), new Uint8Array(6));
  const control = builder.finish({ producerId: 5, producerEpoch: 0, transactional: true });
  control[22]! |= CONTROL_FLAG;
  new DataView(control.buffer, control.byteOffset).setUint32(CRC_POSITION, computeCrc(control, 0));
  log.appendBytes(control);
  await log.append(['b']);
  const consumer = start();
  expect((await consumer.poll()).map(({ offset }) => offset)).toEqual([0, 2]);
  log.appendBytes(new Uint8Array(control));
  host.wake();
  const waiting = consumer.poll({ timeoutMs: 1000 });
  await settle();
  await log.append(['c']);
  host.wake();
  expect((await waiting).map(({ offset }) => offset)).toEqual([4]);
});

test('after a seek nothing from before it is delivered, whatever was on its way', async () => {
  const { host, start } = setUp();
  await host.log('events').append(numbers(0, 10));
  await host.log('events').append(numbers(10, 10));
  const consumer = start();
  host.holdAnswers = true;
  const waiting = consumer.poll({ timeoutMs: 60_000 });
  await settle();
  expect(host.held).toHaveLength(1);
  consumer.seek('events', 0, 15);
  host.holdAnswers = false;
  host.held[0]!.answer();
  expect((await waiting).map(({ offset }) => offset)).toEqual([15, 16, 17, 18, 19]);
  consumer.seek('events', 0, 3);
  expect((await consumer.poll({ maxRecords: 1 })).map(({ offset }) => offset)).toEqual([3]);
  consumer.seekToBeginning('events', 0);
  expect((await consumer.poll({ maxRecords: 1 })).map(({ offset }) => offset)).toEqual([0]);
  consumer.seekToTimestamp('events', 0, 99);
  expect(await consumer.position('events', 0)).toBe(20);
});

test('a seek or a pause in the midst of for await takes effect with the next record', async () => {
  const { host, start } = setUp();
  await host.log('events').append(numbers(0, 10));
  const consumer = start();
  const seen: number[] = [];
  for await (const { offset } of consumer) {
    seen.push(offset);
    if (seen.length === 3) consumer.seek('events', 0, 8);
    if (seen.length === 4) {
      consumer.pause();
      setImmediate(() => consumer.resume());
    }
    if (seen.length === 5) break;
  }
  expect(seen).toEqual([0, 1, 2, 8, 9]);
});

test('a seek while a batch is being decompressed drops that batch', async () => {
  const { host, start } = setUp();
  await host.log('events').append(numbers(0, 10), { codec: 'gzip' });
  const consumer = start();
  const waiting = consumer.poll({ timeoutMs: 60_000 });
  while (host.fetches.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  consumer.seek('events', 0, 5);
  expect((await waiting).map(({ offset }) => offset)).toEqual([5, 6, 7, 8, 9]);
});

test('a paused partition delivers nothing and is not fetched; what was buffered comes after resume', async () => {
  const { clock, host, start } = setUp();
  await host.log('events', 0).append(numbers(0, 5));
  await host.log('events', 1).append(numbers(100, 5));
  const consumer = start();
  await consumer.poll({ maxRecords: 1 });
  consumer.pause('events', 0);
  const seen = await consumer.poll();
  expect(seen.every(({ partition }) => partition === 1)).toBe(true);
  const before = host.fetches.length;
  await clock.advance(3000);
  for (const { targets } of host.fetches.slice(before + 1)) {
    expect(targets.map(({ partition }) => partition)).toEqual([1]);
  }
  const empty = consumer.poll({ timeoutMs: 100 });
  await clock.advance(100);
  expect(await empty).toEqual([]);
  consumer.resume('events', 0);
  expect((await consumer.poll()).every(({ partition }) => partition === 0)).toBe(true);
});

test('the next fetch is on its way before the last records are asked for, and not while the buffer is full', async () => {
  const { host, start } = setUp({ prefetchBytesMax: 3000, partitionBytesMax: 1000 });
  for (let group = 0; group < 50; group += 1) await host.log('events').append([`${group}`.padEnd(300, '.')]);
  const consumer = start();
  await consumer.poll({ maxRecords: 1 });
  await settle();
  await settle();
  const offsets = () => host.fetches.map(({ targets }) => targets[0]!.offset);
  const fetched = offsets().length;
  expect(offsets().slice(0, 3)).toEqual([0, 2, 4]);
  await settle();
  expect(offsets()).toHaveLength(fetched);
  expect(fetched).toBeLessThan(6);
  for (let record = 1; record < 50; record += 1) {
    expect((await consumer.poll({ maxRecords: 1 }))[0]!.offset).toBe(record);
  }
});

test('partitions take turns, however much one of them has', async () => {
  const { host, start } = setUp();
  for (let group = 0; group < 100; group += 1) await host.log('events', 0).append(numbers(group * 10, 10));
  await host.log('events', 1).append(['x']);
  await host.log('events', 2).append(['y']);
  const consumer = start();
  await settle();
  await settle();
  const seen = new Set<number>();
  for (let call = 0; call < 3; call += 1) {
    for (const { partition } of await consumer.poll({ maxRecords: 10 })) seen.add(partition);
  }
  expect([...seen].sort()).toEqual([0, 1, 2]);
});

test('a long poll is cut short for a partition that becomes fetchable meanwhile', async () => {
  const { clock, host, start } = setUp({ waitMs: 60_000 });
  host.log('events', 0);
  await host.log('events', 1).append(['a']);
  const consumer = start();
  consumer.pause();
  await clock.advance(10);
  consumer.pause('events', 1);
  consumer.resume('events', 0);
  await clock.advance(10);
  await consumer.assign([
    { topic: 'events', partition: 0 },
    { topic: 'events', partition: 1, from: 'earliest' },
  ]);
  consumer.resume();
  expect(valuesOf(await consumer.poll({ timeoutMs: 10 }))).toEqual(['a']);
});

test.each([
  ['earliest', [50, 51]],
  ['latest', []],
] as const)('an offset out of range goes on from the %s', async (onOutOfRange, expected) => {
  const { clock, host, start } = setUp({ onOutOfRange, from: { offset: 3 } });
  const log = host.log('events');
  for (let group = 0; group < 52; group += 1) await log.append([`${group}`]);
  log.removeUpTo(50);
  const consumer = start();
  const records = consumer.poll({ timeoutMs: 100 });
  await clock.advance(100);
  expect((await records).map(({ offset }) => offset)).toEqual(expected);
  expect(await consumer.position('events', 0)).toBe(52);
});

test('an offset out of range is an error by default, again with each poll, until a seek', async () => {
  const { host, start } = setUp({ from: { offset: 3 } });
  const log = host.log('events');
  for (let group = 0; group < 52; group += 1) await log.append([`${group}`]);
  log.removeUpTo(50);
  const consumer = start();
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const error = await errorOf(consumer.poll());
    expect(error.code).toBe('OFFSET_OUT_OF_RANGE');
    expect(error.fields).toMatchObject({ topic: 'events', partition: 0, offset: 3 });
  }
  consumer.seekToBeginning();
  expect((await consumer.poll()).map(({ offset }) => offset)).toEqual([50, 51]);
});

test('lost connections and moved leaders are retried with growing delays, and polls just find nothing meanwhile', async () => {
  const { clock, host, start } = setUp();
  await host.log('events').append(['a']);
  for (let count = 0; count < 3; count += 1) host.failures.push(new BurrowError('CONNECTION_LOST'));
  host.log('events').errors.push(new BurrowError('NOT_LEADER'));
  const consumer = start();
  const empty = consumer.poll({ timeoutMs: 600 });
  await clock.advance(600);
  expect(await empty).toEqual([]);
  const records = consumer.poll({ timeoutMs: 10_000 });
  await clock.advance(10_000);
  expect(valuesOf(await records)).toEqual(['a']);
  expect(host.fetches.length).toBeGreaterThanOrEqual(5);
  expect(host.refreshes).toBeGreaterThanOrEqual(4);
});

test('a topic that does not exist is an error, at the assignment or with the next poll', async () => {
  const { clock, start } = setUp();
  const consumer = start({ assignment: [{ topic: 'missing' }] });
  expect((await errorOf(consumer.poll())).code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
  expect((await errorOf(consumer.assign([{ topic: 'missing' }]))).code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
  await consumer.assign([{ topic: 'missing', partition: 3 }]);
  const failing = errorOf(consumer.poll({ timeoutMs: 30_000 }));
  await clock.advance(30_000);
  expect((await failing).code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
});

test('assign keeps the position of partitions that stay, and drops the others at once', async () => {
  const { host, start } = setUp();
  for (const partition of [0, 1, 2]) await host.log('events', partition).append(numbers(partition * 100, 10));
  const consumer = start({
    assignment: [
      { topic: 'events', partition: 0 },
      { topic: 'events', partition: 1 },
    ],
  });
  while (consumer.lag('events', 0) !== 4) await consumer.poll({ maxRecords: 6 });
  const position = await consumer.position('events', 0);
  await consumer.assign([
    { topic: 'events', partition: 0 },
    { topic: 'events', partition: 2, from: { offset: 8 } },
  ]);
  expect(consumer.assignment).toEqual([
    { topic: 'events', partition: 0 },
    { topic: 'events', partition: 2 },
  ]);
  const offsets = new Map<number, number[]>([
    [0, []],
    [2, []],
  ]);
  for (let count = 0; count < 10 - position + 2; ) {
    for (const { partition, offset } of await consumer.poll()) {
      offsets.get(partition)!.push(offset);
      count += 1;
    }
  }
  expect(offsets.get(0)).toEqual(numbers(position, 10 - position).map(Number));
  expect(offsets.get(2)).toEqual([8, 9]);
});

test('a value that cannot be deserialized throws when it is asked for, with its place', async () => {
  const { clock, host } = setUp();
  await host.log('events').append(['{"a":1}', 'not json']);
  const consumer = new Consumer<Uint8Array, unknown>(
    host,
    { assignment: [{ topic: 'events' }], from: 'earliest', valueDeserializer: jsonSerializer() },
    () => {},
  );
  onTestFinished(() => consumer.close());
  await clock.advance(1);
  const [good, bad] = await consumer.poll();
  expect(good!.value).toEqual({ a: 1 });
  expect(() => bad!.value).toThrow(/topic events, partition 0, offset 1/);
  expect(new TextDecoder().decode(bad!.valueBytes!)).toBe('not json');
});

test('one reader at a time', async () => {
  const { clock, host, start } = setUp();
  host.log('events');
  const consumer = start();
  const first = consumer.poll({ timeoutMs: 100 });
  expect((await errorOf(consumer.poll())).code).toBe('INVALID_ARGUMENT');
  await clock.advance(100);
  await first;
});

test('close ends a poll under way and iterations, leaves no timers, and is idempotent', async () => {
  const { clock, host, start } = setUp();
  host.log('events');
  const consumer = start();
  const polling = consumer.poll({ timeoutMs: 60_000 });
  await clock.advance(10);
  await Promise.all([consumer.close(), consumer.close()]);
  expect(await polling).toEqual([]);
  expect((await errorOf(consumer.poll())).code).toBe('CLIENT_CLOSED');
  await settle();
  expect(clock.pendingTimers).toBe(0);

  const iterated = start();
  setTimeout(() => void iterated.close(), 10);
  for await (const _ of iterated) expect.unreachable();
});

test('options that make no sense are refused', () => {
  const { start } = setUp();
  for (const options of [
    { from: 'middle' },
    { from: { offset: -1 } },
    { waitMs: -1 },
    { bytesMax: 0 },
    { isolation: 'serializable' },
    { onOutOfRange: 'guess' },
    { maxRecords: 0 },
  ]) {
    expect(() => start(options as ConsumerOptions<string, string>)).toThrow(BurrowError);
  }
});

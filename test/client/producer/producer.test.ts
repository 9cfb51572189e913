import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { systemClientClock } from '../../../client/clock.ts';
import { Producer } from '../../../client/producer/producer.ts';
import type { ProducerOptions } from '../../../client/producer/producer-options.ts';
import { jsonSerializer, stringSerializer } from '../../../client/serializers.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { CODECS } from '../../../src/records/batch-header.ts';
import { FakeClientClock, settle } from '../../support/fake-client-clock.ts';
import { FakeProduceHost, type Fate } from '../../support/fake-produce-host.ts';

function textProducer(host: FakeProduceHost, options: ProducerOptions<string, string> = {}): Producer<string, string> {
  const producer = new Producer<string, string>(
    host,
    { keySerializer: stringSerializer, valueSerializer: stringSerializer, ...options },
    () => {},
  );
  onTestFinished(() => producer.abort());
  return producer;
}

function setUp(options: ProducerOptions<string, string> = {}, topics?: Record<string, number>) {
  const clock = new FakeClientClock();
  const host = new FakeProduceHost(clock, topics);
  return { clock, host, producer: textProducer(host, options) };
}

/** The error of a promise that must reject. */
async function errorOf(promise: Promise<unknown>): Promise<BurrowError> {
  const thrown = await promise.then(
    () => undefined,
    (error) => error,
  );
  expect(thrown).toBeInstanceOf(BurrowError);
  return thrown as BurrowError;
}

const record = (value: string, more: object = {}) => ({ topic: 'events', value, ...more });

test('what is sent in one turn goes in one batch, and each promise tells its own offset', async () => {
  const { host, producer } = setUp();
  const sent = await Promise.all(['a', 'b', 'c'].map((value) => producer.send(record(value, { timestampMs: 5 }))));
  expect(sent).toEqual([0, 1, 2].map((offset) => ({ topic: 'events', partition: 0, offset, timestampMs: 5 })));
  await Promise.all(['d', 'e'].map((value) => producer.send(record(value))));
  expect(host.requests.map(({ batches }) => batches.map(({ count }) => count))).toEqual([[3], [2]]);
  expect(host.partition('events').values).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('sendMany tells the ranges of offsets, one per batch', async () => {
  const { producer } = setUp({ batchBytes: 400 });
  const records = Array.from({ length: 10 }, (_, index) => record(`${index}`.padStart(100, '.')));
  const { recordCount, ranges } = await producer.sendMany(records);
  expect(recordCount).toBe(10);
  expect(ranges.map(({ firstOffset, count }) => [firstOffset, count])).toEqual([
    [0, 3],
    [3, 3],
    [6, 3],
    [9, 1],
  ]);
  expect(await producer.sendMany([])).toEqual({ recordCount: 0, ranges: [] });
});

test('a batch that is not full waits lingerMs for more', async () => {
  const { clock, host, producer } = setUp({ lingerMs: 50 });
  const first = producer.send(record('a'));
  await clock.advance(49);
  expect(host.requests).toHaveLength(0);
  const second = producer.send(record('b'));
  await clock.advance(1);
  await Promise.all([first, second]);
  expect(host.requests.map(({ batches }) => batches[0]?.count)).toEqual([2]);
});

test('flush does not wait for lingerMs', async () => {
  const { host, producer } = setUp({ lingerMs: 10_000 });
  const sent = producer.send(record('a'));
  await producer.flush();
  expect(host.partition('events').values).toEqual(['a']);
  expect((await sent).offset).toBe(0);
});

test('a full batch is sent without waiting for lingerMs', async () => {
  const { host, producer } = setUp({ lingerMs: 10_000, batchBytes: 200 });
  const sent = ['a', 'b', 'c', 'd'].map((name) => producer.send(record(name.padEnd(60, '.'))));
  await sent[0];
  expect(host.requests.map(({ batches }) => batches[0]?.count)).toEqual([2]);
  await producer.flush();
  await Promise.all(sent);
});

test('at most five batches of a partition are in flight, in order, and the rest gathers in larger batches', async () => {
  const { host, producer } = setUp();
  host.fates = Array<Fate>(5).fill('hold');
  const sent: Promise<unknown>[] = [];
  for (let index = 0; index < 20; index += 1) {
    sent.push(producer.send(record(`${index}`)));
    await settle();
  }
  expect(host.requests).toHaveLength(5);
  for (const answer of host.held) answer();
  await Promise.all(sent);
  expect(host.requests.map(({ batches }) => batches[0]?.count)).toEqual([1, 1, 1, 1, 1, 15]);
  expect(host.partition('events').values).toEqual(sent.map((_, index) => `${index}`));
});

test('a lost answer leads to the same batch with the same sequence again, stored once', async () => {
  const { clock, host, producer } = setUp();
  host.fates = ['lost after', 'lost after', 'ok'];
  const sent = producer.sendMany([record('a'), record('b')]);
  await clock.advance(1000);
  expect((await sent).ranges).toEqual([{ topic: 'events', partition: 0, firstOffset: 0, count: 2 }]);
  expect(host.requests.map(({ batches }) => batches[0]?.baseSequence)).toEqual([0, 0, 0]);
  expect(host.partition('events').values).toEqual(['a', 'b']);
});

test('a batch that fails while later ones are in flight keeps its place', async () => {
  const { clock, host, producer } = setUp();
  host.fates = ['NOT_ENOUGH_REPLICAS', 'ok', 'ok', 'ok'];
  const sent: Promise<unknown>[] = [];
  for (const value of ['a', 'b', 'c', 'd']) {
    sent.push(producer.send(record(value)));
    await settle();
  }
  await clock.advance(5000);
  await Promise.all(sent);
  expect(host.partition('events').values).toEqual(['a', 'b', 'c', 'd']);
});

test('a batch refused for good fails with the broker’s code, and those behind it are stored', async () => {
  const { clock, host, producer } = setUp();
  host.fates = ['INVALID_RECORD', 'ok', 'ok'];
  const first = errorOf(producer.send(record('a')));
  await settle();
  const rest = [producer.send(record('b')), producer.send(record('c'))];
  await clock.advance(5000);
  expect((await first).code).toBe('INVALID_RECORD');
  expect((await first).fields).toMatchObject({ topic: 'events', partition: 0 });
  await Promise.all(rest);
  expect(host.partition('events').values).toEqual(['b', 'c']);
});

test('a broker that has forgotten the producer gets a batch that was never answered only once', async () => {
  const { clock, host, producer } = setUp();
  await producer.send(record('a'));
  host.fates = ['lost after'];
  const second = errorOf(producer.send(record('b')));
  await settle();
  host.partition('events').producers.clear();
  await clock.advance(5000);
  expect((await second).code).toBe('OUT_OF_ORDER_SEQUENCE');
  expect(host.partition('events').values).toEqual(['a', 'b']);
  // The next one cannot be stored yet: it goes through under a new epoch.
  await Promise.all([producer.send(record('c')), clock.advance(5000)]);
  expect(host.partition('events').values).toEqual(['a', 'b', 'c']);
});

test('what is not acknowledged within the delivery timeout fails with DELIVERY_TIMEOUT, in flight or not', async () => {
  const { clock, host, producer } = setUp({ deliveryTimeoutMs: 1000 });
  host.fates = ['hold', ...Array<Fate>(100).fill('lost before')];
  const held = errorOf(producer.send(record('a')));
  await settle();
  const retried = errorOf(producer.send(record('b')));
  await clock.advance(999);
  expect(producer).toBeDefined();
  await clock.advance(1);
  expect((await held).code).toBe('DELIVERY_TIMEOUT');
  const error = await retried;
  expect(error.code).toBe('DELIVERY_TIMEOUT');
  expect(error.message).toContain('CONNECTION_LOST');
  host.fates = [];
  host.held[0]!();
  await Promise.all([producer.send(record('c')), clock.advance(5000)]);
  expect(host.partition('events').values).toEqual(['a', 'c']);
});

test('a full buffer makes send wait until there is room, in order', async () => {
  const { host, producer } = setUp({ bufferBytes: 1000, batchBytes: 500 });
  host.fates = Array<Fate>(5).fill('hold');
  const values = Array.from({ length: 30 }, (_, index) => `${index}`.padEnd(100, '.'));
  const sent = values.map((value) => producer.send(record(value)));
  await settle();
  const stored = () => host.partition('events').values.length;
  expect(stored()).toBeLessThan(10);
  while (host.held.length > 0) {
    host.held.shift()!();
    await settle();
  }
  await Promise.all(sent);
  expect(host.partition('events').values).toEqual(values);
});

test('sendMany of more than the buffer holds goes through piece by piece', async () => {
  const { host, producer } = setUp({ bufferBytes: 2000, batchBytes: 500 }, { events: 3, other: 2 });
  const records = Array.from({ length: 500 }, (_, index) => ({
    topic: index % 3 === 0 ? 'other' : 'events',
    key: `${index % 7}`,
    value: `${index}`.padEnd(50, '.'),
  }));
  const { recordCount, ranges } = await producer.sendMany(records);
  expect(recordCount).toBe(500);
  expect(ranges.reduce((sum, { count }) => sum + count, 0)).toBe(500);
  for (const { values } of host.partitions.values()) {
    const numbers = values.map((value) => Number.parseInt(value, 10));
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  }
});

test('a send that finds no room within maxBlockMs fails with BUFFER_FULL, and a single large record does not', async () => {
  const { clock, host, producer } = setUp({ bufferBytes: 300, maxBlockMs: 500 });
  host.fates = ['hold'];
  const large = producer.send(record('x'.repeat(5000)));
  await settle();
  const blocked = errorOf(producer.send(record('b')));
  const blockedMany = errorOf(producer.sendMany([record('c'), record('d')]));
  await clock.advance(500);
  expect((await blocked).code).toBe('BUFFER_FULL');
  expect((await blockedMany).code).toBe('BUFFER_FULL');
  host.held[0]!();
  await large;
  await producer.send(record('e'));
  expect(host.partition('events').values.map((value) => value[0])).toEqual(['x', 'e']);
});

test('a topic that does not exist fails its own sends only', async () => {
  const { host, producer } = setUp();
  const missing = errorOf(producer.send({ topic: 'missing', value: 'a' }));
  const mixed = errorOf(producer.sendMany([record('b'), { topic: 'missing', value: 'c' }, record('d')]));
  await producer.send(record('e'));
  expect((await missing).code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
  expect((await mixed).code).toBe('UNKNOWN_TOPIC_OR_PARTITION');
  expect(host.partition('events').values).toEqual(['b', 'd', 'e']);
});

test('names from Object.prototype are topics like others', async () => {
  const { host, producer } = setUp({}, {});
  for (const topic of ['__proto__', 'constructor', 'toString']) {
    host.topics.set(topic, 1);
    await producer.send({ topic, value: topic, headers: [['__proto__', 'x']] });
    expect(host.partition(topic).values).toEqual([topic]);
  }
});

test('what cannot be serialized fails with its topic and is not sent; what comes before it in a sendMany is', async () => {
  const clock = new FakeClientClock();
  const host = new FakeProduceHost(clock);
  const producer = new Producer<string, unknown>(
    host,
    { keySerializer: stringSerializer, valueSerializer: jsonSerializer() },
    () => {},
  );
  onTestFinished(() => producer.abort());
  const error = await errorOf(producer.send({ topic: 'events', value: () => 1 }));
  expect(error.code).toBe('SERIALIZATION_FAILED');
  expect(error.fields).toMatchObject({ topic: 'events', field: 'value' });
  await errorOf(
    producer.sendMany([
      { topic: 'events', value: 1 },
      { topic: 'events', value: 2n },
    ]),
  );
  expect(host.partition('events').values).toEqual(['1']);
});

test('a partition that the topic does not have is refused', async () => {
  const { producer } = setUp({}, { events: 2 });
  expect((await errorOf(producer.send(record('a', { partition: 2 })))).code).toBe('INVALID_ARGUMENT');
  expect((await errorOf(producer.send(record('a', { partition: -1 })))).code).toBe('INVALID_ARGUMENT');
  expect((await producer.send(record('a', { partition: 1 }))).partition).toBe(1);
});

test('a record that no frame can carry is refused at once', async () => {
  const { host, producer } = setUp();
  host.frameBytesMax = 10_000;
  expect((await errorOf(producer.send(record('x'.repeat(20_000))))).code).toBe('RECORD_TOO_LARGE');
  await producer.send(record('a'));
});

test('acks, idempotence and numbers that make no sense are refused with the option’s name', () => {
  const { host } = setUp();
  for (const options of [
    { acks: 1, idempotent: true },
    { acks: 2 },
    { lingerMs: -1 },
    { batchBytes: 0 },
    { inFlightBatchesMax: 6 },
    { compression: 'rar' },
    { bufferBytes: Number.NaN },
  ]) {
    expect(() => textProducer(host, options as ProducerOptions<string, string>)).toThrow(BurrowError);
  }
});

test('a producer that is not idempotent keeps one batch in flight and needs no producer id', async () => {
  const { host, producer } = setUp({ acks: 1 });
  const sent: Promise<unknown>[] = [];
  for (let index = 0; index < 10; index += 1) {
    sent.push(producer.send(record(`${index}`)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(sent);
  expect(host.inFlightMost).toBe(1);
  expect(host.nextProducerId).toBe(1000);
});

test.each(CODECS)('records compressed with %s arrive in order', async (compression) => {
  const { host, producer } = setUp({ compression, batchBytes: 2000 });
  const values = Array.from({ length: 200 }, (_, index) => `${index}`.padEnd(100, '.'));
  await producer.sendMany(values.map((value) => record(value)));
  expect(host.partition('events').values).toEqual(values);
});

test('close sends what lingers; afterwards send is refused', async () => {
  const { host, producer } = setUp({ lingerMs: 10_000 });
  const sent = producer.send(record('a'));
  await Promise.all([producer.close(), producer.close()]);
  await sent;
  expect(host.partition('events').values).toEqual(['a']);
  expect((await errorOf(producer.send(record('b')))).code).toBe('CLIENT_CLOSED');
  expect((await errorOf(producer.sendMany([record('b')]))).code).toBe('CLIENT_CLOSED');
});

test('close gives up after its timeout: in flight, waiting and blocked sends all fail with CLIENT_CLOSED', async () => {
  const { clock, host, producer } = setUp({ bufferBytes: 100 });
  host.fates = Array<Fate>(10).fill('hold');
  const errors = ['a', 'b', 'c', 'd'].map((name) => errorOf(producer.send(record(name.repeat(60)))));
  await settle();
  const closing = producer.close({ timeoutMs: 2000 });
  await clock.advance(2000);
  await closing;
  for (const error of errors) expect((await error).code).toBe('CLIENT_CLOSED');
  expect(clock.pendingTimers).toBe(0);
});

test('whatever the network does, an idempotent producer stores each acknowledged record once and in order', async () => {
  const fates: Fate[] = [
    'ok',
    'ok',
    'lost before',
    'lost after',
    'NOT_LEADER',
    'NOT_ENOUGH_REPLICAS',
    'REQUEST_TIMED_OUT',
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...fates), { maxLength: 60 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
      async (luck, groups) => {
        const clock = new FakeClientClock();
        const host = new FakeProduceHost(clock, { events: 2 });
        host.fates = [...luck];
        const producer = new Producer<string, string>(
          host,
          { keySerializer: stringSerializer, valueSerializer: stringSerializer, batchBytes: 300, bufferBytes: 3000 },
          () => {},
        );
        let next = 0;
        const sent: Promise<unknown>[] = [];
        for (const size of groups) {
          const records = Array.from({ length: size }, () => {
            next += 1;
            return { topic: 'events', value: `${next}`, partition: next % 2 };
          });
          sent.push(producer.sendMany(records));
          await new Promise((resolve) => setImmediate(resolve));
        }
        const all = Promise.all(sent);
        await clock.advance(100_000);
        await all;
        const values = [0, 1].map((number) => host.partition('events', number).values.map(Number));
        expect(values[0]!.length + values[1]!.length).toBe(next);
        for (const each of values) expect(each).toEqual([...new Set(each)].sort((a, b) => a - b));
        producer.abort();
      },
    ),
    { numRuns: 60 },
  );
});

test('the system’s clock drives it as the fake one does', async () => {
  const host = new FakeProduceHost(systemClientClock);
  const producer = textProducer(host, { retryBackoff: { initialMs: 1, maxMs: 5 } });
  host.fates = ['lost after', 'lost before'];
  await Promise.all([producer.send(record('a')), producer.send(record('b'))]);
  expect(host.partition('events').values).toEqual(['a', 'b']);
});

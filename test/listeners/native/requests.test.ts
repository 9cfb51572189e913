import { describe, expect, test } from 'vitest';
import type { ProduceOutcome, ProduceRequest } from '../../../broker/partitions/broker-service.ts';
import { encodeValue } from '../../../src/protocol/encode-value.ts';
import type { RequestOf } from '../../../src/protocol/messages.ts';
import { decodeTestBatches, testBatch } from '../../support/batches.ts';
import { FakeBrokerService } from '../../support/fake-broker-service.ts';
import { eventually, startTarget, TestClient } from './native-client.ts';

function produceOf(values: readonly string[], options: Partial<RequestOf<'produce'>> = {}): RequestOf<'produce'> {
  return {
    acks: -1,
    timeoutMs: 0,
    partitions: [{ topic: 't', partition: 0, records: [testBatch(values)] }],
    ...options,
  };
}

function fetchOf(options: Partial<RequestOf<'fetch'>> = {}, offset = 0): RequestOf<'fetch'> {
  return {
    waitMs: 0,
    bytesMin: 1,
    bytesMax: 1_000_000,
    isolation: 0,
    partitions: [{ topic: 't', partition: 0, offset, bytesMax: 1_000_000, currentLeaderEpoch: -1 }],
    ...options,
  };
}

async function withTopic(service: FakeBrokerService = new FakeBrokerService()): Promise<FakeBrokerService> {
  await service.createTopic(
    { name: 't', partitions: 2, replicationFactor: 1, configs: new Map() },
    { validateOnly: false },
  );
  return service;
}

/** Appends at once, answers when told. */
class HeldService extends FakeBrokerService {
  readonly #held: Array<() => void> = [];

  get heldCount(): number {
    return this.#held.length;
  }

  override async produce(request: ProduceRequest): Promise<ProduceOutcome> {
    const outcome = await super.produce(request);
    await new Promise<void>((resolve) => this.#held.push(resolve));
    return outcome;
  }

  release(): void {
    for (const resolve of this.#held.splice(0)) resolve();
  }
}

describe('requests', () => {
  test('a thousand at once are all answered, each under its own number', async () => {
    const { port } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, timestampMs) =>
        client.request('listOffsets', {
          isolation: 0,
          partitions: [{ topic: 't', partition: timestampMs % 3, currentLeaderEpoch: -1, timestampMs: -1 }],
        }),
      ),
    );
    answers.forEach(({ partitions }, index) => {
      expect(partitions[0]).toMatchObject({ partition: index % 3, errorNumber: index % 3 === 2 ? 40 : 0 });
    });
  });

  test('five thousand in one packet are answered although the limit is less', async () => {
    const { port } = await startTarget({ limits: { inFlightRequestsMax: 10 } });
    const client = await TestClient.open(port);
    const all = Promise.all(
      Array.from({ length: 5000 }, () => client.request('metadata', { topics: [], autoCreate: false })),
    );
    expect(await all).toHaveLength(5000);
  });

  test('that make no sense in the middle of a burst cost only themselves', async () => {
    const { port } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const before = client.request('produce', produceOf(['a']));
    const bad = [
      [3, 9001, [7, 0, []]],
      [3, 9002, ['x']],
      [4, 9003, [0, 1, 1, 9, []]],
      [77, 9004, []],
      [14, 9005, ['x']],
    ];
    const refusals = bad.map(([, id]) => client.answerTo(id as number).catch((error: unknown) => error));
    for (const frame of bad) client.webSocket.send(encodeValue(frame));
    const after = client.request('produce', produceOf(['b']));
    const errors = (await Promise.all(refusals)) as Error[];
    expect(errors.map((error) => error.message)).toEqual([
      'acks must be -1 (all), 0 or 1, not 7.',
      'produce must be an array of 3 fields, not an array of 1.',
      'isolation must be 0 or 1, not 9.',
      'There is no request with api number 77.',
      'cancelFetch.correlationId must be an integer from 0 to 4294967295, not string.',
    ]);
    expect((await before).partitions[0]?.baseOffset).toBe(0);
    expect((await after).partitions[0]?.baseOffset).toBe(1);
  });

  test('a failure inside the broker is an answer, and is logged with its cause', async () => {
    const service = new FakeBrokerService();
    service.topicNames = () => {
      throw new TypeError('a mistake of ours');
    };
    const { port, logLines } = await startTarget({ service });
    const client = await TestClient.open(port);
    await expect(client.request('metadata', { topics: null, autoCreate: false })).rejects.toMatchObject({
      code: 'INTERNAL_ERROR',
    });
    expect(logLines).toMatchObject([{ code: 'INTERNAL_ERROR', text: 'request failed unexpectedly', clientId: 'test' }]);
    await client.request('metadata', { topics: ['x'], autoCreate: false });
  });

  test('administrative ones run one after another, in their order', async () => {
    const service = new FakeBrokerService();
    let running = 0;
    const order: string[] = [];
    const create = service.createTopic.bind(service);
    service.createTopic = async (specification, options) => {
      expect(++running).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
      order.push(specification.name);
      return create(specification, options);
    };
    const { port } = await startTarget({ service });
    const client = await TestClient.open(port);
    const names = ['c', 'a', 'b', '__proto__', 'constructor', 'toString'];
    const answers = await Promise.all(
      names.map((name) =>
        client.request('createTopics', {
          topics: [{ name, partitions: 1, replicationFactor: 1, configs: [] }],
          validateOnly: false,
        }),
      ),
    );
    expect(order).toEqual(names);
    expect(answers.every(({ topics }) => topics[0]?.errorNumber === 0)).toBe(true);
    const { topics } = await client.request('metadata', { topics: names, autoCreate: false });
    expect(topics.map(({ errorNumber, partitions }) => [errorNumber, partitions.length])).toEqual(
      names.map(() => [0, 1]),
    );
  });

  test('names given a thousand times are answered once', async () => {
    const { port } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const names = new Array<string>(1000).fill('t');
    expect((await client.request('metadata', { topics: names, autoCreate: false })).topics).toHaveLength(1);
    expect((await client.request('describeConfigs', { names })).topics).toHaveLength(1);
    expect((await client.request('describeConfigs', { names: ['', '', 't'] })).topics).toHaveLength(2);
    expect((await client.request('partitionStatus', { names })).topics).toHaveLength(1);
  });

  test('a config key given twice is refused, one from Object.prototype is just unknown', async () => {
    const { port } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const change = (...keys: string[]) =>
      client.request('alterConfigs', {
        topics: [{ name: 't', changes: keys.map((key) => ({ key, value: '1' })) }],
        validateOnly: false,
      });
    expect((await change('a', 'a')).topics[0]).toMatchObject({
      errorNumber: 20,
      message: 'The key "a" is given twice.',
    });
    for (const key of ['__proto__', 'constructor', 'hasOwnProperty']) {
      expect((await change(key)).topics[0]).toMatchObject({
        errorNumber: 22,
        message: `There is no topic setting ${key}.`,
      });
    }
  });
});

describe('produce', () => {
  test('of one connection to a partition is stored in the order sent', async () => {
    const { port, service } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const values = Array.from({ length: 500 }, (_, index) => `v${index}`);
    const answers = await Promise.all(values.map((value) => client.request('produce', produceOf([value]))));
    expect(answers.map(({ partitions }) => partitions[0]?.baseOffset)).toEqual(values.map((_, index) => index));
    const stored = service
      .storedBatches('t', 0)
      .flatMap((bytes) => decodeTestBatches(bytes).flatMap((batch) => batch.values));
    expect(stored).toEqual(values);
  });

  test('fails per partition', async () => {
    const { port } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const spoilt = testBatch(['x']);
    spoilt[spoilt.length - 1]! ^= 1;
    const { partitions } = await client.request('produce', {
      acks: 1,
      timeoutMs: 1000,
      partitions: [
        { topic: 't', partition: 0, records: [spoilt] },
        { topic: 't', partition: 1, records: [testBatch(['x'])] },
        { topic: 't', partition: 2, records: [testBatch(['x'])] },
        { topic: '__proto__', partition: 0, records: [testBatch(['x'])] },
        { topic: 't', partition: 0, records: [] },
      ],
    });
    expect(partitions.map(({ errorNumber }) => errorNumber)).toEqual([60, 0, 40, 40, 61]);
    expect(partitions[0]).toMatchObject({ baseOffset: -1, logAppendTimeMs: -1, logStartOffset: -1 });
  });

  test('with acks 0 is not answered, whatever becomes of it', async () => {
    const { port, service } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    client.send('produce', produceOf(['a'], { acks: 0 }));
    client.send('produce', {
      ...produceOf([], { acks: 0 }),
      partitions: [{ topic: 'none', partition: 0, records: [testBatch(['x'])] }],
    });
    await client.request('produce', produceOf(['b']));
    await client.request('metadata', { topics: [], autoCreate: false });
    expect(client.frames).toHaveLength(3);
    expect(service.storedBatches('t', 0)).toHaveLength(2);
  });

  test('answers REQUEST_TIMED_OUT for what is not stored in time, and only for that', async () => {
    const service = new HeldService();
    await withTopic(service);
    const { port } = await startTarget({ service });
    const client = await TestClient.open(port);
    const { partitions } = await client.request('produce', {
      acks: -1,
      timeoutMs: 30,
      partitions: [
        { topic: 't', partition: 0, records: [testBatch(['x'])] },
        { topic: 'none', partition: 0, records: [testBatch(['x'])] },
      ],
    });
    expect(partitions.map(({ topic, errorNumber }) => [topic, errorNumber])).toEqual([
      ['t', 100],
      ['none', 40],
    ]);
    expect(partitions[0]?.message).toBe('The records were not stored within 30 ms; whether they will be is unknown.');
    service.release();
  });
});

describe('fetch', () => {
  test('waits for data, and produce releases it', async () => {
    const { port, service } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const waiting = client.request('fetch', fetchOf({ waitMs: 60_000 }));
    await eventually(() => service.waitingFetches === 1);
    await client.request('produce', produceOf(['a', 'b']));
    const [fetched] = (await waiting).partitions;
    expect(fetched).toMatchObject({ errorNumber: 0, highWatermark: 2, logStartOffset: 0 });
    expect(decodeTestBatches(Buffer.from(fetched!.records[0]!))[0]?.values).toEqual(['a', 'b']);
  });

  test.each([1, 60, 200, 5_000, 70_000, 300_000])('brings records of %i bytes whole', async (bytes) => {
    const { port } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const batches = ['a', 'b', 'c'].map((letter) => testBatch([letter.repeat(bytes)]));
    for (const batch of batches) {
      await client.request('produce', produceOf([], { partitions: [{ topic: 't', partition: 0, records: [batch] }] }));
    }
    const [first, second] = await Promise.all([
      client.request('fetch', fetchOf()),
      client.request('fetch', fetchOf({}, 1)),
    ]);
    const sizes = [first, second].map(({ partitions }) => partitions[0]!.records[0]!.length);
    expect(sizes).toEqual([3 * batches[0]!.length, 2 * batches[0]!.length]);
    const values = decodeTestBatches(Buffer.from(first.partitions[0]!.records[0]!)).flatMap((batch) => batch.values);
    expect(values.map((value) => [value[0], value.length])).toEqual([
      ['a', bytes],
      ['b', bytes],
      ['c', bytes],
    ]);
  });

  test('is released by cancelFetch, which has no answer of its own', async () => {
    const { port, service } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const { correlationId, done } = client.send('fetch', fetchOf({ waitMs: 60_000 }));
    await eventually(() => service.waitingFetches === 1);
    client.send('cancelFetch', { correlationId: 999 });
    client.send('cancelFetch', { correlationId });
    expect((await done).partitions[0]?.records.map((bytes) => bytes.length)).toEqual([0]);
    client.send('cancelFetch', { correlationId });
    await client.request('metadata', { topics: [], autoCreate: false });
    expect(client.frames).toHaveLength(3);
  });

  test('is forgotten when its connection goes', async () => {
    const { port, service, listener } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    for (let i = 0; i < 20; i++) client.send('fetch', fetchOf({ waitMs: 60_000 }));
    await eventually(() => service.waitingFetches === 20);
    client.webSocket.terminate();
    await eventually(() => service.waitingFetches === 0 && listener.connectionCount === 0);
  });

  test('of a number that is waiting already is refused', async () => {
    const { port, service } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const frame = encodeValue([4, 7, [60_000, 1, 1000, 0, [['t', 0, 0, 1000, -1]]]]);
    const refused = client.answerTo(7);
    client.webSocket.send(frame);
    await eventually(() => service.waitingFetches === 1);
    client.webSocket.send(frame);
    await expect(refused).rejects.toThrow('A fetch with correlation id 7 is waiting already.');
    expect(service.waitingFetches).toBe(1);
  });

  test.each([
    [
      'names a partition twice',
      {
        partitions: [0, 0].map((partition) => ({
          topic: 't',
          partition,
          offset: 0,
          bytesMax: 1,
          currentLeaderEpoch: -1,
        })),
      },
      'A fetch may name each partition once.',
    ],
    [
      'asks for less than nothing',
      { partitions: [{ topic: 't', partition: 0, offset: 0, bytesMax: -1, currentLeaderEpoch: -1 }] },
      'bytesMax of t-0 must not be negative.',
    ],
  ])('that %s is refused', async (_, options, text) => {
    const { port } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    await expect(client.request('fetch', fetchOf(options))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: text,
    });
    await client.request('fetch', fetchOf());
  });

  test('tells what is wrong per partition', async () => {
    const { port } = await startTarget({ service: await withTopic() });
    const client = await TestClient.open(port);
    const at = (topic: string, partition: number, offset: number) => ({
      topic,
      partition,
      offset,
      bytesMax: 1000,
      currentLeaderEpoch: -1,
    });
    const { partitions } = await client.request(
      'fetch',
      fetchOf({ partitions: [at('t', 0, 0), at('t', 1, 5), at('constructor', 0, 0)] }),
    );
    expect(partitions.map(({ errorNumber }) => errorNumber)).toEqual([0, 47, 40]);
  });

  test('waits no longer than the limit', async () => {
    const { port } = await startTarget({ service: await withTopic(), limits: { fetchWaitMsMax: 30 } });
    const client = await TestClient.open(port);
    const startMs = performance.now();
    await client.request('fetch', fetchOf({ waitMs: 2 ** 31 - 1 }));
    expect(performance.now() - startMs).toBeLessThan(5000);
  });
});

describe('close', () => {
  test('answers produces in flight and waiting fetches, refuses what comes, then says goodbye', async () => {
    const service = new HeldService();
    await withTopic(service);
    const { port, listener } = await startTarget({ service });
    const client = await TestClient.open(port);
    const silent = await TestClient.connect(port);
    const produced = client.request('produce', produceOf(['a']));
    const fetched = client.request('fetch', fetchOf({ waitMs: 60_000 }, 1));
    await eventually(() => service.heldCount === 1 && service.waitingFetches === 1);
    const closed = listener.close();
    await client.until(() => client.frames.some((frame) => frame.kind === 'push' && frame.type === 1));
    expect((await fetched).partitions[0]?.errorNumber).toBe(0);
    await expect(client.request('metadata', { topics: [], autoCreate: false })).rejects.toMatchObject({
      code: 'SHUTTING_DOWN',
    });
    expect(await silent.closed).toMatchObject({ code: 1001 });
    service.release();
    expect((await produced).partitions[0]?.baseOffset).toBe(0);
    expect(await client.closed).toMatchObject({ code: 1001, reason: expect.stringContaining('SHUTTING_DOWN: ') });
    await closed;
    expect(listener.connectionCount).toBe(0);
  });

  test('waits no longer than it is allowed to', async () => {
    const service = new HeldService();
    await withTopic(service);
    const { port, listener } = await startTarget({ service });
    const client = await TestClient.open(port);
    client.send('produce', produceOf(['a']));
    await eventually(() => service.heldCount === 1);
    const startMs = performance.now();
    await Promise.all([listener.close(100), listener.close(100)]);
    expect(performance.now() - startMs).toBeLessThan(2000);
    expect((await client.closed).code).toBe(1006);
    service.release();
  });

  test('frees the port', async () => {
    const { port, listener } = await startTarget();
    await TestClient.open(port);
    await listener.close();
    await expect(TestClient.connect(port)).rejects.toThrow('ECONNREFUSED');
  });
});

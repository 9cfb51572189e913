import { describe, expect, it } from 'vitest';
import type { Encodable } from '../../../broker/listeners/kafka/schema/field.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { testBatch } from '../../support/batches.ts';
import { KAFKA } from '../../support/kafka-apis.ts';
import { NO_ID, produceRequest, start, UNKNOWN_ID, versions } from './api-test-bed.ts';

type FetchRequest = Encodable<typeof KAFKA.fetch.request.fields>;

const fetchRequest = (
  topic: string,
  topicId: Buffer,
  fetchOffset: number,
  more: Partial<FetchRequest> = {},
): FetchRequest => ({
  maxWaitMs: 0,
  minBytes: 1,
  topics: [
    {
      topic,
      topicId,
      partitions: [{ partition: 0, fetchOffset, partitionMaxBytes: 1 << 20, replicaDirectoryId: NO_ID }],
    },
  ],
  ...more,
});

describe('Produce', () => {
  it.each(versions(KAFKA.produce, 3))('appends in version %i', async (version) => {
    const { client, createTopic, service } = await start();
    await createTopic('t');
    for (const baseOffset of [0, 2]) {
      const { responses } = await client.call(KAFKA.produce, version, produceRequest('t', testBatch(['a', 'b'])));
      const logStartOffset = version >= 5 ? 0 : -1;
      expect(responses).toMatchObject([
        {
          name: 't',
          partitionResponses: [{ index: 0, errorCode: 0, baseOffset, logAppendTimeMs: -1, logStartOffset }],
        },
      ]);
    }
    expect(service.storedBatches('t', 0)).toHaveLength(2);
  });

  it.each([0, 1, 2])(
    'answers version %i, which is announced but too old, with UNSUPPORTED_VERSION',
    async (version) => {
      const { client, createTopic, service } = await start();
      await createTopic('t');
      const { responses } = await client.call(KAFKA.produce, version, produceRequest('t', testBatch(['a'])));
      expect(responses[0]!.partitionResponses).toMatchObject([{ errorCode: 35, baseOffset: -1 }]);
      expect(service.storedBatches('t', 0)).toEqual([]);
    },
  );

  const damaged = (change: (batch: Buffer) => void) => {
    const batch = testBatch(['value']);
    change(batch);
    return batch;
  };
  it.each([
    ['an unknown topic', produceRequest('nope', testBatch(['a'])), 3],
    ['an unknown partition', produceRequest('t', testBatch(['a']), { index: 9 }), 3],
    ['a negative partition', produceRequest('t', testBatch(['a']), { index: -1 }), 3],
    ['no records', produceRequest('t', null), 87],
    ['empty records', produceRequest('t', Buffer.alloc(0)), 87],
    [
      'a damaged batch',
      produceRequest(
        't',
        damaged((batch) => batch.writeUInt8(0xff, batch.length - 1)),
      ),
      2,
    ],
    [
      'an old format',
      produceRequest(
        't',
        damaged((batch) => batch.writeInt8(1, 16)),
      ),
      43,
    ],
    ['a batch cut off', produceRequest('t', testBatch(['value']).subarray(0, 70)), 2],
    ['a batch that is too large', produceRequest('t', testBatch(['x'.repeat(200_000)])), 10],
    ['acks of 2', produceRequest('t', testBatch(['a']), { acks: 2 }), 42],
    ['a transactional id', produceRequest('t', testBatch(['a']), { transactionalId: 'tx' }), 35],
  ])('refuses %s', async (_, request, errorCode) => {
    const { client, createTopic, service } = await start();
    await createTopic('t');
    const { responses } = await client.call(KAFKA.produce, 9, request);
    expect(responses[0]!.partitionResponses).toMatchObject([{ errorCode, baseOffset: -1 }]);
    expect(responses[0]!.partitionResponses[0]!.errorMessage).toBeTruthy();
    expect(service.storedBatches('t', 0)).toEqual([]);
  });

  it('answers each partition on its own', async () => {
    const { client, createTopic, service } = await start();
    await createTopic('t', 3);
    service.failPartition('t', 1, new BurrowError('STORAGE_ERROR'));
    const partitionData = [2, 1, 0, 5].map((index) => ({ index, records: testBatch([`p${index}`]) }));
    const request = { acks: 1, timeoutMs: 0, topicData: [{ name: 't', partitionData }] };
    const { responses } = await client.call(KAFKA.produce, 9, request);
    expect(responses[0]!.partitionResponses.map(({ index, errorCode }) => [index, errorCode])).toEqual([
      [2, 0],
      [1, 56],
      [0, 0],
      [5, 3],
    ]);
  });

  it('knows a batch that an idempotent producer repeats, and a gap', async () => {
    const { client, createTopic } = await start();
    await createTopic('t');
    const { producerId } = await client.call(KAFKA.initProducerId, 4, {
      transactionalId: null,
      transactionTimeoutMs: 0,
      producerEpoch: -1,
    });
    const send = async (baseSequence: number) => {
      const batch = testBatch(['v'], { producerId, producerEpoch: 0, baseSequence });
      const { responses } = await client.call(KAFKA.produce, 9, produceRequest('t', batch));
      const { errorCode, baseOffset } = responses[0]!.partitionResponses[0]!;
      return [errorCode, baseOffset];
    };
    expect(await send(0)).toEqual([0, 0]);
    expect(await send(1)).toEqual([0, 1]);
    expect(await send(1)).toEqual([0, 1]);
    expect(await send(5)).toEqual([45, -1]);
  });
});

describe('Fetch', () => {
  it.each(versions(KAFKA.fetch))('gives whole batches, bounds and errors in version %i', async (version) => {
    const { client, createTopic, service } = await start();
    const { topicId } = await createTopic('t');
    for (const value of ['a', 'b', 'c']) await client.call(KAFKA.produce, 9, produceRequest('t', testBatch([value])));
    await service.deleteRecords({ topic: 't', partition: 0, offset: 1 });
    const fetch = async (offset: number) => {
      const response = await client.call(KAFKA.fetch, version, fetchRequest('t', topicId, offset));
      expect(response.responses[0]).toMatchObject(version >= 13 ? { topicId } : { topic: 't' });
      return response.responses[0]!.partitions[0]!;
    };
    const found = await fetch(1);
    expect(found).toMatchObject({
      errorCode: 0,
      highWatermark: 3,
      lastStableOffset: 3,
      logStartOffset: version >= 5 ? 1 : -1,
    });
    expect(found.abortedTransactions).toBeNull();
    expect(Buffer.concat(found.records!)).toEqual(Buffer.concat(service.storedBatches('t', 0)));
    expect(await fetch(3)).toMatchObject({ errorCode: 0, records: [Buffer.alloc(0)] });
    expect(await fetch(0)).toMatchObject({ errorCode: 1, highWatermark: -1 });
    expect(await fetch(4)).toMatchObject({ errorCode: 1 });
  });

  it('answers unknown topics by name and by id, and does not wait when it has an error to tell', async () => {
    const { client, createTopic } = await start();
    const { topicId } = await createTopic('t');
    const wait = { maxWaitMs: 60_000 };
    const byName = await client.call(KAFKA.fetch, 12, fetchRequest('nope', NO_ID, 0, wait));
    expect(byName.responses[0]!.partitions).toMatchObject([{ errorCode: 3 }]);
    const known = fetchRequest('t', topicId, 0).topics[0]!;
    const unknown = fetchRequest('', UNKNOWN_ID, 0).topics[0]!;
    const byId = await client.call(KAFKA.fetch, 16, { ...fetchRequest('', NO_ID, 0, wait), topics: [unknown, known] });
    expect(byId.responses).toMatchObject([
      { topicId: UNKNOWN_ID, partitions: [{ partitionIndex: 0, errorCode: 100 }] },
      { topicId, partitions: [{ partitionIndex: 0, errorCode: 0 }] },
    ]);
  });

  it('keeps no sessions, and sends away who comes with one', async () => {
    const { client, createTopic } = await start();
    const { topicId } = await createTopic('t');
    const opening = await client.call(
      KAFKA.fetch,
      11,
      fetchRequest('t', topicId, 0, { sessionId: 0, sessionEpoch: 0 }),
    );
    expect(opening).toMatchObject({ errorCode: 0, sessionId: 0, responses: [{ topic: 't' }] });
    const foreign = await client.call(
      KAFKA.fetch,
      11,
      fetchRequest('t', topicId, 0, { sessionId: 99, sessionEpoch: 3 }),
    );
    expect(foreign).toMatchObject({ errorCode: 70, responses: [] });
  });

  it('gives a list of aborted transactions to who reads committed records only', async () => {
    const { client, createTopic } = await start();
    const { topicId } = await createTopic('t');
    const response = await client.call(KAFKA.fetch, 11, fetchRequest('t', topicId, 0, { isolationLevel: 1 }));
    expect(response.responses[0]!.partitions[0]!.abortedTransactions).toEqual([]);
  });

  it('gives the first batch whole even where the limits are smaller (KIP-74)', async () => {
    const { client, createTopic } = await start();
    const { topicId } = await createTopic('t');
    await client.call(KAFKA.produce, 9, produceRequest('t', testBatch(['x'.repeat(5_000)])));
    const response = await client.call(KAFKA.fetch, 11, fetchRequest('t', topicId, 0, { maxBytes: 1 }));
    expect(response.responses[0]!.partitions[0]!.records![0]!.length).toBeGreaterThan(5_000);
  });

  it('tells a client that knows a newer leader epoch', async () => {
    const { client, createTopic } = await start();
    const { topicId } = await createTopic('t');
    const request = fetchRequest('t', topicId, 0);
    const [topic] = request.topics;
    const partitions = topic!.partitions.map((partition) => ({ ...partition, currentLeaderEpoch: 8 }));
    const response = await client.call(KAFKA.fetch, 11, { ...request, topics: [{ ...topic!, partitions }] });
    expect(response.responses[0]!.partitions).toMatchObject([{ errorCode: 75 }]);
  });
});

describe('ListOffsets', () => {
  it.each(versions(KAFKA.listOffsets))('finds offsets in version %i', async (version) => {
    const { client, createTopic } = await start();
    await createTopic('t');
    for (const timestampMs of [1_000, 2_000, 3_000]) {
      await client.call(KAFKA.produce, 9, produceRequest('t', testBatch(['v'], { timestampMs })));
    }
    const list = async (timestamp: number, partitionIndex = 0) => {
      const topics = [{ name: 't', partitions: [{ partitionIndex, timestamp }] }];
      return (await client.call(KAFKA.listOffsets, version, { replicaId: -1, topics })).topics[0]!.partitions[0]!;
    };
    const leaderEpoch = version >= 4 ? 0 : -1;
    expect(await list(-2)).toMatchObject({ errorCode: 0, offset: 0, timestamp: -1, leaderEpoch });
    expect(await list(-1)).toMatchObject({ errorCode: 0, offset: 3 });
    expect(await list(1_001)).toMatchObject({ errorCode: 0, offset: 1, timestamp: 2_000 });
    expect(await list(9_000)).toMatchObject({ errorCode: 0, offset: -1 });
    expect(await list(-3)).toMatchObject({ errorCode: 0, offset: 2, timestamp: 3_000 });
    expect(await list(-1, 7)).toMatchObject({ errorCode: 3, offset: -1 });
  });
});

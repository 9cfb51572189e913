/** Being pushed to: what is asked of brokers, what is taken of what they send, and what is given back. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { createClient } from '../../../client/connect.ts';
import { PartitionCursor } from '../../../client/consumer/partition-cursor.ts';
import { PushReceiver } from '../../../client/consumer/push-receiver.ts';
import type { ErrorName } from '../../../src/errors/table.ts';
import { errorRow } from '../../../src/errors/table.ts';
import type { RecordsPush } from '../../../src/protocol/messages.ts';
import { testBatch } from '../../support/batches.ts';
import { FakeClientClock, settle } from '../../support/fake-client-clock.ts';
import { type FakeNativeRequest, FakeNativeServer } from '../../support/fake-native-server.ts';
import { FakePushHost } from '../../support/fake-push-host.ts';
import { eventually } from '../subscriber/subscriber-bed.ts';

const SILENCE_MS = 10_000;

/** A subscriber on a broker that knows topic t, and does with streams what the test says. */
async function setUp(partitionCount = 1) {
  const server = await FakeNativeServer.start();
  const clock = new FakeClientClock();
  const client = createClient(server.url, { reconnectBackoff: { initialMs: 1, maxMs: 1 } }, clock);
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  const streams: FakeNativeRequest[] = [];
  server.onRequest = (request) => {
    switch (request.name) {
      case 'metadata':
        request.answer('metadata', {
          clusterId: 'fake-cluster',
          controllerId: 1,
          brokers: [{ nodeId: 1, host: '127.0.0.1', port: server.port, rack: null }],
          topics: [
            {
              errorNumber: 0,
              name: 't',
              topicId: new Uint8Array(16),
              internal: false,
              partitions: Array.from({ length: partitionCount }, (_, partition) => ({
                partition,
                leader: 1,
                leaderEpoch: 3,
                replicas: [1],
                inSyncReplicas: [1],
              })),
            },
          ],
        });
        break;
      case 'openStream':
        streams.push(request);
        request.answer('openStream', {});
        break;
      case 'changeStream':
        request.answer('changeStream', {});
        break;
      case 'closeStream':
        request.answer('closeStream', {});
        break;
    }
  };
  const handled: number[] = [];
  const subscriber = client.subscribe('t', ({ offset }) => void handled.push(offset), {
    from: { offset: 10 },
    prefetch: 20,
    prefetchBytes: 5000,
    onError: () => {},
  });
  /** Time for sockets, and for what waits for a while. */
  const until = async (condition: () => boolean) => {
    await eventually(async () => {
      if (!condition()) await clock.advance(1);
      return condition();
    });
  };
  const requests = <N extends 'openStream' | 'changeStream' | 'addCredit' | 'closeStream'>(name: N) =>
    server.requests.filter((request) => request.name === name).map((request) => request.as(name));
  await until(() => streams.length === 1);
  return { server, clock, client, streams, handled, subscriber, until, requests };
}

function pushOf(offset: number, batch: Buffer | undefined, error?: ErrorName): RecordsPush {
  if (batch !== undefined) batch.writeBigInt64BE(BigInt(offset), 0);
  const errorNumber = error === undefined ? 0 : errorRow(error).number;
  return {
    partitions: [
      {
        topic: 't',
        partition: 0,
        errorNumber,
        message: null,
        offset,
        highWatermark: 100,
        lastStableOffset: 100,
        logStartOffset: 0,
        records: [batch ?? new Uint8Array(0)],
      },
    ],
  };
}

const batchOf = (count: number) => testBatch(Array.from({ length: count }, (_, index) => `${index}`));

describe('a stream', () => {
  test('is opened at the offset, with credit and leader epoch; what comes is handled, and its credit given back', async () => {
    const { streams, handled, until, requests, subscriber } = await setUp();
    const { streamId, ...opened } = streams[0]!.as('openStream');
    expect(opened).toEqual({
      isolation: 0,
      recordsCredit: 20,
      bytesCredit: 5000,
      partitions: [{ topic: 't', partition: 0, offset: 10, currentLeaderEpoch: 3 }],
    });
    streams[0]!.push(streamId, pushOf(10, undefined));
    streams[0]!.push(streamId, pushOf(10, batchOf(4)));
    streams[0]!.push(streamId, pushOf(14, batchOf(8)));
    await until(() => requests('addCredit').length > 0);
    expect(handled).toEqual([...Array(12).keys()].map((index) => index + 10));
    expect(requests('addCredit')).toMatchObject([{ streamId, records: 8 }]);
    await subscriber.close();
    await until(() => requests('closeStream').length === 1);
    expect(requests('closeStream')).toEqual([{ streamId }]);
  });

  test('that is lost is opened again behind what has come', async () => {
    const { server, streams, handled, until } = await setUp();
    streams[0]!.push(streams[0]!.as('openStream').streamId, pushOf(10, batchOf(3)));
    await until(() => handled.length === 3);
    server.dropConnections();
    await until(() => streams.length === 2);
    const again = streams[1]!.as('openStream');
    expect(again.partitions).toMatchObject([{ offset: 13 }]);
    expect(again.recordsCredit).toBe(20);
    streams[1]!.push(again.streamId, pushOf(13, batchOf(1)));
    await until(() => handled.length === 4);
    expect(handled).toEqual([10, 11, 12, 13]);
  });

  test('a push that does not go on where the partition stands comes to nothing, but its credit is given back', async () => {
    const { streams, handled, until, requests } = await setUp();
    const { streamId } = streams[0]!.as('openStream');
    streams[0]!.push(streamId, pushOf(50, batchOf(15)));
    streams[0]!.push(streamId + 1, pushOf(10, batchOf(15)));
    streams[0]!.push(streamId, pushOf(10, batchOf(2)));
    await until(() => handled.length === 2);
    expect(handled).toEqual([10, 11]);
    await until(() => requests('addCredit').length > 0);
    expect(requests('addCredit')[0]).toMatchObject({ streamId, records: 15 });
  });

  test('a partition that leaves with an error that may pass is added again after a while', async () => {
    const { streams, handled, until, requests } = await setUp();
    const { streamId } = streams[0]!.as('openStream');
    streams[0]!.push(streamId, pushOf(10, batchOf(2)));
    streams[0]!.push(streamId, pushOf(12, undefined, 'NOT_LEADER'));
    // With no other partition the stream has nothing to do, and another is opened.
    await until(() => streams.length === 2);
    expect(requests('closeStream')).toEqual([{ streamId }]);
    expect(streams[1]!.as('openStream').partitions).toMatchObject([{ offset: 12 }]);
    streams[1]!.push(streams[1]!.as('openStream').streamId, pushOf(12, batchOf(1)));
    await until(() => handled.length === 3);
  });

  test.each(['OFFSET_OUT_OF_RANGE', 'STORAGE_CORRUPT'] as const)('%s stops the subscriber', async (code) => {
    const { streams, subscriber, until } = await setUp();
    streams[0]!.push(streams[0]!.as('openStream').streamId, pushOf(10, undefined, code));
    let stopped: unknown;
    subscriber.closed.catch((error: unknown) => {
      stopped = error;
    });
    await until(() => stopped !== undefined);
    expect(stopped).toMatchObject({ code, fields: { topic: 't', partition: 0, offset: 10 } });
  });

  test('bytes that are no batch stop the subscriber, and a push that is no push the connection', async () => {
    const first = await setUp();
    const { server } = first;
    server.sendRaw(Buffer.from([0x93, 0x02, first.streams[0]!.as('openStream').streamId, 0x91, 0xc0]));
    await first.until(() => first.streams.length === 2);
    expect(first.streams[1]!.as('openStream').partitions).toMatchObject([{ offset: 10 }]);
    const { streamId } = first.streams[1]!.as('openStream');
    first.streams[1]!.push(streamId, pushOf(10, Buffer.alloc(100, 9)));
    let stopped: unknown;
    first.subscriber.closed.catch((error: unknown) => {
      stopped = error;
    });
    await first.until(() => stopped !== undefined);
    expect(stopped).toMatchObject({ code: 'CORRUPT_BATCH' });
  });

  test('that is refused stops the subscriber with the reason', async () => {
    const { server, streams, subscriber, until } = await setUp();
    const answer = server.onRequest;
    server.onRequest = (request) =>
      request.name === 'openStream' ? request.fail('PUSH_STREAM_LIMIT', 'too many') : answer(request);
    streams[0]!.push(streams[0]!.as('openStream').streamId, pushOf(10, undefined, 'NOT_LEADER'));
    let stopped: unknown;
    subscriber.closed.catch((error: unknown) => {
      stopped = error;
    });
    await until(() => stopped !== undefined);
    expect(stopped).toMatchObject({ code: 'PUSH_STREAM_LIMIT' });
  });

  test('of more partitions than fit into a request is opened in parts', async () => {
    const { streams, requests, until } = await setUp(12_345);
    await until(() => requests('changeStream').length === 1);
    expect(streams[0]!.as('openStream').partitions).toHaveLength(10_000);
    expect(requests('changeStream')[0]).toMatchObject({ add: { length: 2345 } });
  });

  test('that is silent is asked for a sign of life; a connection that gives none is replaced', async () => {
    const { server, clock, streams, until, requests } = await setUp();
    await clock.advance(SILENCE_MS);
    await until(() => requests('changeStream').length === 1);
    expect(requests('changeStream')).toMatchObject([{ remove: [], add: [] }]);
    const answer = server.onRequest;
    server.onRequest = (request) => (request.name === 'changeStream' ? undefined : answer(request));
    await clock.advance(SILENCE_MS);
    await until(() => requests('changeStream').length === 2);
    await clock.advance(30_000);
    await until(() => streams.length === 2);
  });
});

describe('credit of what is dropped', () => {
  function receive() {
    const clock = new FakeClientClock();
    const host = new FakePushHost(clock);
    const receiver = new PushReceiver({
      transport: host,
      isolation: 'read_uncommitted',
      onOutOfRange: 'error',
      credit: { records: 10, bytes: 100_000 },
      onBuffered: () => {},
    });
    onTestFinished(() => receiver.close());
    const cursors = [0, 1].map((partition) => {
      const cursor = new PartitionCursor({
        topic: 't',
        partition,
        keySerializer: undefined,
        valueSerializer: undefined,
      });
      host.log('t', partition);
      cursor.seek(0);
      return cursor;
    });
    return { host, receiver, cursors };
  }

  test('by a seek, or with its partition, is given back', async () => {
    const { host, receiver, cursors } = receive();
    const [first, second] = cursors as [PartitionCursor, PartitionCursor];
    for (let batch = 0; batch < 6; batch += 1) await host.log('t', 0).append(['a', 'b', 'c', 'd']);
    receiver.setCursors([first]);
    await settle();
    expect(host.pushedRecords).toBe(12);
    first.seek(20);
    receiver.requestDrive();
    await settle();
    expect(host.pushedRecords).toBe(16);
    expect(first.buffered).toHaveLength(1);
    // Its place goes to another, which gets all of the credit.
    first.removed = true;
    first.drop();
    for (let batch = 0; batch < 6; batch += 1) await host.log('t', 1).append(['a', 'b']);
    receiver.setCursors([second]);
    await settle();
    expect(second.bufferedBytes).toBeGreaterThan(0);
    expect(host.pushedRecords).toBe(26);
  });
});

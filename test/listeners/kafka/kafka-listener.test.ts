import { connect } from 'node:net';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startKafkaListener } from '../../../broker/listeners/kafka/kafka-listener.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { testBatch } from '../../support/batches.ts';
import { KAFKA } from '../../support/kafka-apis.ts';
import { type FakeTargetOptions, startFakeTarget } from '../../support/kafka-target.ts';
import { decodeResponse, KafkaTestClient, requestFrame } from '../../support/kafka-test-client.ts';
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts';

const ADDRESS = '127.0.0.1';

async function start(options: FakeTargetOptions = {}) {
  const lines: LogLine[] = [];
  const target = await startFakeTarget({ logger: recordingLogger(lines), ...options });
  onTestFinished(() => target.close());
  const connectClient = async () => {
    const client = await KafkaTestClient.connect(target.port);
    onTestFinished(() => client.close());
    return client;
  };
  const warnings = () => lines.filter(({ level }) => level === 'warn' || level === 'error');
  return { ...target, lines, warnings, connectClient };
}

const createTopic = (name: string, numPartitions = 1) => ({
  topics: [{ name, numPartitions, replicationFactor: -1, assignments: [], configs: [] }],
});

const produceTo = (topic: string, values: readonly string[], acks = -1) => ({
  acks,
  timeoutMs: 1000,
  topicData: [{ name: topic, partitionData: [{ index: 0, records: testBatch(values) }] }],
});

const fetchFrom = (topic: string, fetchOffset: number, options: { maxWaitMs?: number; minBytes?: number } = {}) => ({
  maxWaitMs: options.maxWaitMs ?? 0,
  minBytes: options.minBytes ?? 1,
  topics: [
    {
      topic,
      topicId: Buffer.alloc(16),
      partitions: [{ partition: 0, fetchOffset, partitionMaxBytes: 1 << 20, replicaDirectoryId: Buffer.alloc(16) }],
    },
  ],
});

const METADATA = { topics: [] };

afterEach(() => vi.restoreAllMocks());

describe('requests and responses', () => {
  it('answers pipelined requests in their order, and does not let a waiting fetch keep later ones from being done', async () => {
    const { connectClient, service } = await start();
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    const fetchId = client.send(KAFKA.fetch, 11, fetchFrom('t', 0, { maxWaitMs: 60_000 }));
    const metadataId = client.send(KAFKA.metadata, 9, METADATA);
    const produceId = client.send(KAFKA.produce, 7, produceTo('t', ['a', 'b']));
    // Only the produce request, read while the fetch waits, can end the wait.
    const fetched = decodeResponse(KAFKA.fetch, 11, (await client.next())!, fetchId);
    expect(fetched.responses[0]!.partitions[0]).toMatchObject({ errorCode: 0, highWatermark: 2 });
    decodeResponse(KAFKA.metadata, 9, (await client.next())!, metadataId);
    decodeResponse(KAFKA.produce, 7, (await client.next())!, produceId);
    expect(service.waitingFetches).toBe(0);
  });

  it('appends pipelined produce requests in their order', async () => {
    const { connectClient, service } = await start();
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    const count = 200;
    for (let index = 0; index < count; index++)
      client.send(KAFKA.produce, 3 + (index % 9), produceTo('t', [`v${index}`]));
    const offsets: number[] = [];
    for (let index = 0; index < count; index++) {
      const response = decodeResponse(KAFKA.produce, 3 + (index % 9), (await client.next())!);
      offsets.push(response.responses[0]!.partitionResponses[0]!.baseOffset);
    }
    expect(offsets).toEqual(Array.from({ length: count }, (_, index) => index));
    expect(service.storedBatches('t', 0)).toHaveLength(count);
  });

  it('gives acks=0 no response, and closes the connection if it fails', async () => {
    const { connectClient, service, warnings } = await start();
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    client.send(KAFKA.produce, 7, produceTo('t', ['a'], 0));
    const metadataId = client.send(KAFKA.metadata, 9, METADATA);
    decodeResponse(KAFKA.metadata, 9, (await client.next())!, metadataId);
    expect(service.storedBatches('t', 0)).toHaveLength(1);
    client.send(KAFKA.produce, 7, produceTo('unknown', ['a'], 0));
    expect(await client.next()).toBeUndefined();
    expect(warnings()).toEqual([
      expect.objectContaining({ fields: expect.objectContaining({ code: 'UNKNOWN_TOPIC_OR_PARTITION' }) }),
    ]);
  });

  it('answers an ApiVersions request of an unknown version in the form of version 0, with its own range', async () => {
    const { connectClient } = await start();
    const client = await connectClient();
    for (const version of [5, 99, -1]) {
      const frame = requestFrame(18, 3, KAFKA.apiVersions.request, {}, { correlationId: 5 });
      frame.writeInt16BE(version, 6);
      client.socket.write(frame);
      const response = decodeResponse(KAFKA.apiVersions, 0, (await client.next())!, 5);
      expect(response).toMatchObject({ errorCode: 35, apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }] });
    }
    const response = await client.call(KAFKA.apiVersions, 4, { clientSoftwareName: 'x', clientSoftwareVersion: '1' });
    expect(response.errorCode).toBe(0);
  });

  it('puts the record batches of a fetch response on the wire as the log has them', async () => {
    const { connectClient, service } = await start();
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    for (let index = 0; index < 5; index++) await client.call(KAFKA.produce, 9, produceTo('t', [`value ${index}`]));
    const response = await client.call(KAFKA.fetch, 12, fetchFrom('t', 0));
    const records = Buffer.concat(response.responses[0]!.partitions[0]!.records!);
    expect(records).toEqual(Buffer.concat(service.storedBatches('t', 0)));
  });

  it('runs the fetches of one connection one after the other', async () => {
    const { connectClient, service } = await start();
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    for (let index = 0; index < 3; index++) client.send(KAFKA.fetch, 11, fetchFrom('t', 0, { maxWaitMs: 60_000 }));
    client.send(KAFKA.initProducerId, 1, { transactionalId: null, transactionTimeoutMs: 0 });
    await vi.waitFor(() => expect(service.waitingFetches).toBe(1));
    client.send(KAFKA.produce, 7, produceTo('t', ['a']));
    for (let index = 0; index < 3; index++) {
      expect(decodeResponse(KAFKA.fetch, 11, (await client.next())!).responses[0]!.partitions[0]!.highWatermark).toBe(
        1,
      );
    }
  });

  it('cancels a waiting fetch when its client goes away', async () => {
    const { connectClient, service, listener } = await start();
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    client.send(KAFKA.fetch, 11, fetchFrom('t', 0, { maxWaitMs: 60_000 }));
    await vi.waitFor(() => expect(service.waitingFetches).toBe(1));
    client.close();
    await vi.waitFor(() => expect(service.waitingFetches).toBe(0));
    await vi.waitFor(() => expect(listener.connections).toBe(0));
  });

  it('takes a request that comes one byte at a time', async () => {
    const { connectClient } = await start();
    const client = await connectClient();
    const frame = requestFrame(3, 12, KAFKA.metadata.request, METADATA, { correlationId: 3 });
    for (const byte of frame) {
      client.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(decodeResponse(KAFKA.metadata, 12, (await client.next())!, 3).topics).toEqual([]);
  });
});

describe('what breaks the protocol closes that connection and nothing else', () => {
  const header = (apiKey: number, version: number) => {
    const frame = Buffer.alloc(14);
    frame.writeInt32BE(10, 0);
    frame.writeInt16BE(apiKey, 4);
    frame.writeInt16BE(version, 6);
    return frame;
  };
  const lyingCount = () => {
    const frame = requestFrame(3, 1, KAFKA.metadata.request, METADATA);
    frame.writeInt32BE(0x7fff_ffff, frame.length - 4);
    return frame;
  };
  it.each([
    ['a negative length', Buffer.from('ffffffff', 'hex'), 'MALFORMED_FRAME', 'announces'],
    ['a length over the limit', Buffer.from('06400001', 'hex'), 'FRAME_TOO_LARGE', '104857600'],
    ['an unknown API', header(999, 0), 'UNSUPPORTED_VERSION', '999'],
    ['a negative API key', header(-1, 0), 'UNSUPPORTED_VERSION', '-1'],
    ['a version that is not announced', header(3, 13), 'UNSUPPORTED_VERSION', 'Metadata'],
    ['a version below the lowest', header(1, 3), 'UNSUPPORTED_VERSION', 'Fetch'],
    ['a count that lies', lyingCount(), 'MALFORMED_FRAME', 'Metadata'],
    [
      'a client id longer than the frame',
      Buffer.concat([header(3, 1).subarray(0, 12), Buffer.from([0x7f, 0xff])]),
      'MALFORMED_FRAME',
      'Metadata',
    ],
    ['TLS', Buffer.from('160301020001fc0303', 'hex'), 'MALFORMED_FRAME', 'TLS'],
    ['HTTP', Buffer.from('GET /metrics HTTP/1.1\r\n\r\n'), 'MALFORMED_FRAME', 'HTTP'],
  ])('%s', async (_, bytes, code, text) => {
    const { connectClient, warnings } = await start();
    const bystander = await connectClient();
    await bystander.call(KAFKA.metadata, 9, METADATA);
    const client = await connectClient();
    client.socket.write(bytes);
    await client.closed;
    expect(warnings()).toHaveLength(1);
    const [{ fields, text: line }] = warnings() as [LogLine];
    expect(line).toBe('kafka connection closed');
    expect(fields).toMatchObject({
      code,
      cause: expect.stringContaining(text),
      remote: expect.stringContaining(ADDRESS),
    });
    await bystander.call(KAFKA.metadata, 9, METADATA);
  });

  it('a failure that nobody expected', async () => {
    const { connectClient, service, warnings } = await start();
    vi.spyOn(service, 'topicNames').mockImplementation(() => {
      throw new Error('a bug');
    });
    const client = await connectClient();
    client.send(KAFKA.metadata, 9, { topics: null });
    expect(await client.next()).toBeUndefined();
    expect(warnings()).toMatchObject([{ level: 'error', fields: { code: 'INTERNAL_ERROR' } }]);
  });
});

describe('limits', () => {
  it('closes a client that stays silent (firstRequestTimeoutMs)', async () => {
    const clock = new ManualClock();
    const { connectClient, warnings, listener } = await start({ clock, limits: { firstRequestTimeoutMs: 5_000 } });
    const silent = await connectClient();
    await vi.waitFor(() => expect(listener.connections).toBe(1));
    clock.advance(4_900);
    expect(listener.connections).toBe(1);
    clock.advance(2_000);
    await silent.closed;
    expect(warnings()).toMatchObject([{ fields: { code: 'HANDSHAKE_TIMEOUT' } }]);
  });

  it('closes a client whose request trickles in (requestArrivalTimeoutMs)', async () => {
    const clock = new ManualClock();
    const { connectClient, warnings, lines } = await start({ clock, limits: { requestArrivalTimeoutMs: 3_000 } });
    const client = await connectClient();
    await client.call(KAFKA.metadata, 9, METADATA);
    const frame = requestFrame(3, 9, KAFKA.metadata.request, METADATA);
    for (let index = 0; index < 6; index++) {
      client.socket.write(frame.subarray(index, index + 1));
      // Each byte must have arrived before time goes on, or the trickle would count as silence.
      await new Promise((resolve) => setTimeout(resolve, 5));
      clock.advance(1_000);
    }
    await client.closed;
    expect(lines.length).toBeGreaterThan(0);
    expect(warnings()).toMatchObject([{ fields: { cause: expect.stringContaining('requestArrivalTimeoutMs') } }]);
  });

  it('closes an idle client, but not one whose fetch waits (idleTimeoutMs)', async () => {
    const clock = new ManualClock();
    const { connectClient, service, warnings } = await start({ clock, limits: { idleTimeoutMs: 60_000 } });
    const idle = await connectClient();
    const waiting = await connectClient();
    await idle.call(KAFKA.createTopics, 5, createTopic('t'));
    const fetchId = waiting.send(KAFKA.fetch, 11, fetchFrom('t', 0, { maxWaitMs: 120_000 }));
    await vi.waitFor(() => expect(service.waitingFetches).toBe(1));
    clock.advance(62_000);
    await idle.closed;
    clock.advance(60_000);
    decodeResponse(KAFKA.fetch, 11, (await waiting.next())!, fetchId);
    // Having taken a response is a sign of life, too.
    clock.advance(50_000);
    await waiting.call(KAFKA.metadata, 9, METADATA);
    clock.advance(62_000);
    await waiting.closed;
    expect(warnings()).toEqual([]);
  });

  it.each([
    ['connectionsMax', { connectionsMax: 3 }],
    ['connectionsPerAddressMax', { connectionsPerAddressMax: 3 }],
  ])(
    'refuses connections beyond %s, in one line of the log, and takes new ones when others have left',
    async (_, limits) => {
      const clock = new ManualClock();
      const { connectClient, warnings, listener } = await start({ clock, limits });
      const clients = [await connectClient(), await connectClient(), await connectClient()];
      for (const client of clients) await client.call(KAFKA.metadata, 9, METADATA);
      for (let index = 0; index < 5; index++) await (await connectClient()).closed;
      clock.advance(1_000);
      expect(warnings()).toMatchObject([{ text: 'connections refused', fields: { protocol: 'Kafka', refused: 5 } }]);
      clients[0]!.close();
      await vi.waitFor(() => expect(listener.connections).toBe(2));
      await (await connectClient()).call(KAFKA.metadata, 9, METADATA);
    },
  );

  it.each([
    ['inFlightRequestsMax', { inFlightRequestsMax: 4 }],
    ['inFlightBytesMax', { inFlightBytesMax: 4 * 400 }],
  ])('reads no more requests than %s allows before it has answered', async (_, limits) => {
    const { connectClient, service } = await start({ limits });
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    const produced = vi.spyOn(service, 'produce');
    client.send(KAFKA.fetch, 11, fetchFrom('t', 100, { maxWaitMs: 0 }));
    expect((await client.next())!.length).toBeGreaterThan(0);
    // The wait needs more bytes than are ever produced, so it lasts until another connection deletes the topic.
    client.send(KAFKA.fetch, 11, fetchFrom('t', 0, { maxWaitMs: 60_000, minBytes: 1 << 19 }));
    await vi.waitFor(() => expect(service.waitingFetches).toBe(1));
    const value = 'x'.repeat(300);
    for (let index = 0; index < 50; index++) client.send(KAFKA.produce, 7, produceTo('t', [value]));
    await vi.waitFor(() => expect(produced.mock.calls.length).toBeGreaterThanOrEqual(3));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(produced.mock.calls.length).toBeLessThanOrEqual(4);
    await (await connectClient()).call(KAFKA.deleteTopics, 5, { topicNames: ['t'], timeoutMs: 1000 });
    for (let index = 0; index < 51; index++) expect(await client.next()).toBeDefined();
    expect(produced.mock.calls.length).toBe(50);
  });

  it('answers a queued fetch even when the responses behind it fill the limit (outgoingBytesMax)', async () => {
    const { connectClient, service } = await start({ limits: { outgoingBytesMax: 64 * 1024 } });
    const [client, other] = [await connectClient(), await connectClient()];
    await other.call(KAFKA.createTopics, 5, createTopic('t'));
    await other.call(KAFKA.createTopics, 5, createTopic('large', 1000));
    for (let index = 0; index < 2; index++) client.send(KAFKA.fetch, 11, fetchFrom('t', 0, { maxWaitMs: 60_000 }));
    for (let index = 0; index < 10; index++) client.send(KAFKA.metadata, 9, { topics: null });
    const described = vi.spyOn(service, 'topicNames');
    await vi.waitFor(() => expect(described.mock.calls.length).toBeGreaterThan(1));
    await other.call(KAFKA.produce, 7, produceTo('t', ['a']));
    for (let index = 0; index < 12; index++) expect(await client.next()).toBeDefined();
  });

  it('catches up with thousands of requests that piled up behind a waiting one', async () => {
    const { connectClient, service } = await start({ limits: { inFlightRequestsMax: 2 } });
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    const frame = requestFrame(18, 0, KAFKA.apiVersions.request, {});
    const count = 20_000;
    const wait = requestFrame(1, 11, KAFKA.fetch.request, fetchFrom('t', 0, { maxWaitMs: 60_000 }));
    client.socket.write(Buffer.concat([wait, ...Array.from({ length: count }, () => frame)]));
    await vi.waitFor(() => expect(service.waitingFetches).toBe(1));
    await (await connectClient()).call(KAFKA.deleteTopics, 5, { topicNames: ['t'], timeoutMs: 1000 });
    for (let index = 0; index < count + 1; index++) expect(await client.next()).toBeDefined();
  });

  it('stops reading from a client that does not take its responses, and closes it after a while', async () => {
    const clock = new ManualClock();
    const limits = { outgoingBytesMax: 1 << 20, writeStallTimeoutMs: 10_000 };
    const { connectClient, service, warnings, port, listener } = await start({ clock, limits });
    const producer = await connectClient();
    await producer.call(KAFKA.createTopics, 5, createTopic('t'));
    for (let index = 0; index < 16; index++)
      await producer.call(KAFKA.produce, 7, produceTo('t', ['x'.repeat(60_000)]));
    const fetched = vi.spyOn(service, 'fetch');
    const lazy = connect(port, ADDRESS);
    onTestFinished(() => void lazy.destroy());
    lazy.on('error', () => {});
    lazy.pause();
    const requests = 200;
    const frame = requestFrame(1, 11, KAFKA.fetch.request, fetchFrom('t', 0));
    for (let index = 0; index < requests; index++) lazy.write(frame);
    let calls = -1;
    while (calls !== fetched.mock.calls.length) {
      calls = fetched.mock.calls.length;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(calls).toBeGreaterThan(0);
    expect(calls).toBeLessThan(30);
    expect(listener.connections).toBe(2);
    await producer.call(KAFKA.metadata, 9, METADATA);
    clock.advance(12_000);
    await vi.waitFor(() => expect(listener.connections).toBe(1));
    expect(warnings()).toMatchObject([{ fields: { cause: expect.stringContaining('writeStallTimeoutMs') } }]);
  });

  it('serves all of it to a reader that is slow but reads', async () => {
    const { connectClient, port } = await start({ limits: { outgoingBytesMax: 1 << 20 } });
    const producer = await connectClient();
    await producer.call(KAFKA.createTopics, 5, createTopic('t'));
    for (let index = 0; index < 16; index++)
      await producer.call(KAFKA.produce, 7, produceTo('t', ['x'.repeat(60_000)]));
    const slow = connect(port, ADDRESS);
    onTestFinished(() => void slow.destroy());
    slow.pause();
    const frame = requestFrame(1, 11, KAFKA.fetch.request, fetchFrom('t', 0));
    for (let index = 0; index < 30; index++) slow.write(frame);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const reader = new KafkaTestClient(slow);
    slow.resume();
    for (let index = 0; index < 30; index++) {
      const response = decodeResponse(KAFKA.fetch, 11, (await reader.next())!);
      expect(response.responses[0]!.partitions[0]!.records![0]!.length).toBeGreaterThan(16 * 60_000);
    }
  });

  it('gives at most fetchBytesMax of records, whatever the client asks for', async () => {
    const { connectClient } = await start({ limits: { fetchBytesMax: 10_000 } });
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    for (let index = 0; index < 10; index++) await client.call(KAFKA.produce, 7, produceTo('t', ['x'.repeat(3_000)]));
    const response = await client.call(KAFKA.fetch, 11, fetchFrom('t', 0));
    const bytes = response.responses[0]!.partitions[0]!.records![0]!.length;
    expect(bytes).toBeGreaterThan(9_000);
    expect(bytes).toBeLessThanOrEqual(10_000);
  });

  it('closes the connection that holds most when all together hold too much (bufferedBytesTotalMax)', async () => {
    const mebibyte = 1 << 20;
    const { connectClient, warnings } = await start({ limits: { bufferedBytesTotalMax: 8 * mebibyte } });
    const modest = await connectClient();
    const announce = Buffer.alloc(4);
    announce.writeInt32BE(64 * mebibyte);
    modest.socket.write(Buffer.concat([announce, Buffer.alloc(mebibyte)]));
    const hog = await connectClient();
    hog.socket.write(Buffer.concat([announce, Buffer.alloc(10 * mebibyte)]));
    await hog.closed;
    expect(warnings()).toMatchObject([{ fields: { code: 'IN_FLIGHT_LIMIT' } }]);
    const other = await connectClient();
    await other.call(KAFKA.metadata, 9, METADATA);
    expect(modest.socket.readyState).toBe('open');
  });

  it('refuses requests over requestBytesMax and requestElementsMax', async () => {
    const { connectClient, warnings } = await start({ limits: { requestBytesMax: 1_000, requestElementsMax: 10 } });
    const topics = (count: number) => ({
      topics: Array.from({ length: count }, () => ({ topicId: Buffer.alloc(16), name: '' })),
      allowAutoTopicCreation: false,
    });
    const many = await connectClient();
    await many.call(KAFKA.metadata, 4, topics(10));
    many.send(KAFKA.metadata, 4, topics(11));
    await many.closed;
    const large = await connectClient();
    large.send(KAFKA.produce, 7, produceTo('t', ['x'.repeat(1_000)]));
    await large.closed;
    expect(warnings()).toMatchObject([
      { fields: { code: 'MALFORMED_FRAME' } },
      { fields: { code: 'FRAME_TOO_LARGE' } },
    ]);
  });
});

describe('the address that clients are told', () => {
  it('is the one listened on, with the real port', async () => {
    const { connectClient, port } = await start();
    const { brokers } = await (await connectClient()).call(KAFKA.metadata, 9, METADATA);
    expect(brokers).toEqual([{ nodeId: 1, host: ADDRESS, port, rack: null }]);
  });

  it('is the one the client reached, when listening on all addresses', async () => {
    const { connectClient } = await start({ host: '0.0.0.0' });
    const { brokers } = await (await connectClient()).call(KAFKA.metadata, 9, METADATA);
    expect(brokers).toMatchObject([{ host: ADDRESS }]);
  });

  it('is the advertised one if there is one, beside the other brokers', async () => {
    const brokers = [
      { nodeId: 1, host: 'ignored', port: 1, rack: 'a' },
      { nodeId: 2, host: 'other.example', port: 9092, rack: undefined },
    ];
    const { connectClient } = await start({ brokers, advertisedHost: 'kafka.example', advertisedPort: 19_092 });
    const client = await connectClient();
    const expected = [
      { nodeId: 1, host: 'kafka.example', port: 19_092, rack: 'a' },
      { nodeId: 2, host: 'other.example', port: 9092, rack: null },
    ];
    expect((await client.call(KAFKA.metadata, 9, METADATA)).brokers).toEqual(expected);
    const cluster = await client.call(KAFKA.describeCluster, 1, { includeClusterAuthorizedOperations: false });
    expect(cluster.brokers).toMatchObject(expected.map(({ nodeId, ...rest }) => ({ brokerId: nodeId, ...rest })));
    const coordinator = await client.call(KAFKA.findCoordinator, 2, { key: 'group' });
    expect(coordinator).toMatchObject({ errorCode: 0, nodeId: 1, host: 'kafka.example', port: 19_092 });
  });
});

describe('start and close', () => {
  it('answers what is in flight before it closes, waiting fetches included', async () => {
    const { connectClient, service, listener } = await start();
    const client = await connectClient();
    await client.call(KAFKA.createTopics, 5, createTopic('t'));
    const fetchId = client.send(KAFKA.fetch, 11, fetchFrom('t', 0, { maxWaitMs: 60_000 }));
    await vi.waitFor(() => expect(service.waitingFetches).toBe(1));
    await listener.close();
    decodeResponse(KAFKA.fetch, 11, (await client.next())!, fetchId);
    expect(await client.next()).toBeUndefined();
    await expect(KafkaTestClient.connect(listener.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('cuts what does not end in time (closeTimeoutMs)', async () => {
    const clock = new ManualClock();
    const { connectClient, service, listener } = await start({ clock, limits: { closeTimeoutMs: 2_000 } });
    const client = await connectClient();
    vi.spyOn(service, 'allocateProducerId').mockReturnValue(new Promise(() => {}));
    client.send(KAFKA.initProducerId, 1, { transactionalId: null, transactionTimeoutMs: 0 });
    await vi.waitFor(() => expect(service.allocateProducerId).toHaveBeenCalled());
    const closed = listener.close();
    clock.advance(2_000);
    await closed;
    await client.closed;
  });

  it('says which address it cannot listen on', async () => {
    const { port, service, groups } = await start();
    const options = { service, groups, host: ADDRESS, port, clock: new ManualClock(), logger: recordingLogger([]) };
    await expect(startKafkaListener(options)).rejects.toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining(`${ADDRESS}:${port}`),
    });
  });
});

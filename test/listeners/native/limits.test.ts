import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { FetchBudget } from '../../../broker/listeners/native/fetch-budget.ts';
import type {
  FetchedPartition,
  FetchRequest,
  PendingFetch,
  ProduceOutcome,
} from '../../../broker/partitions/broker-service.ts';
import type { RequestOf } from '../../../src/protocol/messages.ts';
import { testBatch } from '../../support/batches.ts';
import { FakeBrokerService } from '../../support/fake-broker-service.ts';
import { eventually, RawClient, startTarget, TestClient, webSocketFrame } from './native-client.ts';

const MIB = 1024 * 1024;

/** Holds every produce until told, and answers a fetch with as many bytes as it may have. */
class HungryService extends FakeBrokerService {
  produced = 0;
  readonly fetchBytes: number[] = [];
  /** Fetches wait for this. */
  data: Promise<void> = Promise.resolve();
  readonly #held: Array<() => void> = [];
  readonly #memory = Buffer.alloc(16 * MIB, 7);

  override async produce(): Promise<ProduceOutcome> {
    this.produced++;
    await new Promise<void>((resolve) => this.#held.push(resolve));
    return { baseOffset: 0, logAppendTimeMs: -1, logStartOffset: 0 };
  }

  override fetch({ partitions, bytesMax }: FetchRequest): PendingFetch {
    this.fetchBytes.push(bytesMax);
    const [{ topic, partition } = { topic: '', partition: 0 }] = partitions;
    const answer: FetchedPartition = {
      topic,
      partition,
      error: undefined,
      highWatermark: 0,
      lastStableOffset: 0,
      logStartOffset: 0,
      records: [this.#memory.subarray(0, Math.min(bytesMax, this.#memory.length))],
    };
    return { done: this.data.then(() => [answer]), cancel() {} };
  }

  release(count = Number.POSITIVE_INFINITY): void {
    for (const resolve of this.#held.splice(0, count)) resolve();
  }
}

const produce = (bytes = 10): RequestOf<'produce'> => ({
  acks: 1,
  timeoutMs: 0,
  partitions: [{ topic: 't', partition: 0, records: [Buffer.alloc(bytes)] }],
});
const fetch: RequestOf<'fetch'> = {
  waitMs: 0,
  bytesMin: 1,
  bytesMax: 100 * MIB,
  isolation: 0,
  partitions: [{ topic: 't', partition: 0, offset: 0, bytesMax: 100 * MIB, currentLeaderEpoch: -1 }],
};

/** A little while, in which nothing should happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('requests in flight', () => {
  test('beyond their number wait unread, in order, and none is lost', async () => {
    const service = new HungryService();
    const { port } = await startTarget({ service, limits: { inFlightRequestsMax: 4 } });
    const client = await TestClient.open(port);
    const answers = Array.from({ length: 50 }, () => client.request('produce', produce()));
    await eventually(() => service.produced === 4);
    await settle();
    expect(service.produced).toBe(4);
    service.release(1);
    await eventually(() => service.produced === 5);
    await settle();
    expect(service.produced).toBe(5);
    const releaseAll = setInterval(() => service.release(), 1);
    await Promise.all(answers);
    clearInterval(releaseAll);
    expect(service.produced).toBe(50);
  });

  test('beyond their bytes wait unread', async () => {
    const service = new HungryService();
    const { port } = await startTarget({ service, limits: { inFlightBytesMax: 100_000 } });
    const client = await TestClient.open(port);
    const answers = Array.from({ length: 20 }, () => client.request('produce', produce(40_000)));
    await eventually(() => service.produced === 3);
    await settle();
    expect(service.produced).toBe(3);
    const releaseAll = setInterval(() => service.release(), 1);
    await Promise.all(answers);
    clearInterval(releaseAll);
  });

  test('of one connection do not hold up another', async () => {
    const service = new HungryService();
    const { port } = await startTarget({ service, limits: { inFlightRequestsMax: 2 } });
    const client = await TestClient.open(port);
    for (let i = 0; i < 100; i++) client.send('produce', produce());
    const other = await TestClient.open(port);
    await other.request('metadata', { topics: [], autoCreate: false });
    service.release();
  });

  test('a connection that is not read is neither pinged nor taken for silent', async () => {
    const service = new HungryService();
    const { port } = await startTarget({ service, limits: { inFlightRequestsMax: 1, idleTimeoutMs: 80 } });
    const client = await TestClient.open(port, { autoPong: false });
    const answers = [client.request('produce', produce()), client.request('produce', produce())];
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([client.pings, service.produced]).toEqual([0, 1]);
    service.release();
    await eventually(() => service.produced === 2);
    service.release();
    await Promise.all(answers);
  });
});

describe('fetches in flight', () => {
  test('beyond their number are refused by name, while other requests are read', async () => {
    const { port, service } = await startTarget({ limits: { inFlightFetchesMax: 3 } });
    await service.createTopic(
      { name: 't', partitions: 1, replicationFactor: 1, configs: new Map() },
      { validateOnly: false },
    );
    const client = await TestClient.open(port);
    const waiting = [1, 2, 3].map(() => client.request('fetch', { ...fetch, waitMs: 60_000 }));
    await expect(client.request('fetch', fetch)).rejects.toMatchObject({ code: 'IN_FLIGHT_LIMIT', retriable: true });
    await client.request('produce', {
      ...produce(),
      partitions: [{ topic: 't', partition: 0, records: [testBatch(['a'])] }],
    });
    expect(await Promise.all(waiting)).toHaveLength(3);
    await client.request('fetch', fetch);
  });

  test('released together by one batch come to no more than the connection may owe', async () => {
    const service = new HungryService();
    let release = (): void => {};
    service.data = new Promise((resolve) => {
      release = resolve;
    });
    const { port } = await startTarget({ service, limits: { writeBufferedBytesMax: 8 * MIB } });
    const client = await TestClient.open(port);
    const answers = Array.from({ length: 150 }, () => client.request('fetch', fetch));
    await eventually(() => service.fetchBytes.length === 150);
    const granted = service.fetchBytes.reduce((sum, bytes) => sum + bytes, 0);
    expect(service.fetchBytes.slice(0, 3)).toEqual([4 * MIB, 2 * MIB, MIB]);
    expect(granted).toBeLessThan(8 * MIB + 150 * 64 * 1024);
    release();
    await Promise.all(answers);
    // What was granted is free again once the answers have left.
    await client.request('fetch', fetch);
    expect(service.fetchBytes.at(-1)).toBe(4 * MIB);
  });

  test('the budget gives everybody something and takes back all', () => {
    const budget = new FetchBudget(MIB, 100);
    const grants = Array.from({ length: 100 }, () => budget.grant(MIB));
    expect(grants[0]).toBe(MIB / 2);
    expect(Math.min(...grants)).toBe(64 * 1024);
    expect(() => budget.grant(1)).toThrow('This connection has 100 fetches in flight.');
    for (const granted of grants) budget.release(granted);
    expect(budget.grant(-5)).toBe(1);
    expect(budget.grant(100)).toBe(100);
  });
});

describe('a peer that takes no answers', () => {
  test('is not served beyond what it may be owed, and its memory does not grow', async () => {
    const service = new HungryService();
    const { port } = await startTarget({ service, limits: { writeBufferedBytesMax: 4 * MIB } });
    const client = await TestClient.open(port);
    client.webSocket.pause();
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 5000; i++) client.send('fetch', fetch);
    await settle();
    await settle();
    const started = service.fetchBytes.length;
    expect(started).toBeLessThan(1000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MIB);
    await settle();
    expect(service.fetchBytes.length - started).toBeLessThan(50);
    client.webSocket.resume();
    // Goes on where it stopped, to the last.
    await client.until(() => client.frames.length === 5001);
    expect(service.fetchBytes.length).toBeLessThanOrEqual(5000);
  });

  test('is cut off after a while', async () => {
    const service = new HungryService();
    const { port, listener, logLines } = await startTarget({
      service,
      limits: { writeBufferedBytesMax: 32 * MIB, writeStallTimeoutMs: 200 },
    });
    const client = await TestClient.open(port);
    client.webSocket.pause();
    client.send('fetch', fetch);
    await eventually(() => listener.connectionCount === 0);
    expect(logLines).toMatchObject([{ text: 'connection cut off: the peer takes no answers' }]);
  });

  test('is not cut off while it takes some, however slowly', async () => {
    const service = new HungryService();
    const { port, listener } = await startTarget({
      service,
      limits: { writeBufferedBytesMax: 32 * MIB, writeStallTimeoutMs: 400 },
    });
    const socket = connect(port, '127.0.0.1');
    const client = await TestClient.open(port, { createConnection: () => socket });
    const answers = [1, 2, 3, 4].map(() => client.request('fetch', fetch));
    const startMs = performance.now();
    // Two megabytes now and then, which take longer in all than the limit.
    let arrived = false;
    void Promise.all(answers).then(() => {
      arrived = true;
    });
    while (!arrived) {
      client.webSocket.pause();
      await new Promise((resolve) => setTimeout(resolve, 60));
      const enough = socket.bytesRead + 2 * MIB;
      client.webSocket.resume();
      while (socket.bytesRead < enough && !arrived) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(performance.now() - startMs).toBeGreaterThan(400);
    expect(listener.connectionCount).toBe(1);
  });
});

describe('a connection that is idle', () => {
  test('is pinged, and stays as long as it answers', async () => {
    const { port, listener } = await startTarget({ limits: { idleTimeoutMs: 60 } });
    const client = await TestClient.open(port);
    await client.until(() => client.pings >= 4);
    expect(listener.connectionCount).toBe(1);
    await client.request('metadata', { topics: [], autoCreate: false });
  });

  test('is closed with 4001 if it answers no ping', async () => {
    const { port } = await startTarget({ limits: { idleTimeoutMs: 80 } });
    const client = await TestClient.open(port, { autoPong: false });
    expect(await client.closed).toEqual({
      code: 4001,
      reason: 'CONNECTION_LOST: The peer has been silent for too long.',
    });
    expect(client.pings).toBe(1);
  });

  test('but sends a large message slowly is left alone', async () => {
    const { port, listener } = await startTarget({ limits: { idleTimeoutMs: 120 } });
    const client = await RawClient.greeted(port);
    const frame = webSocketFrame(Buffer.alloc(40, 0xc0));
    for (const byte of frame.subarray(0, 40)) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(client.closeFrame).toBeUndefined();
    expect(listener.connectionCount).toBe(1);
  });

  test('or never finishes its message is closed with 4002', async () => {
    const { port } = await startTarget({ limits: { idleTimeoutMs: 200, requestArrivalTimeoutMs: 300 } });
    const client = await RawClient.greeted(port);
    client.write(webSocketFrame(Buffer.alloc(10), { claimedBytes: 60_000 }));
    const trickle = setInterval(() => client.write('x'), 10);
    await eventually(() => client.closeFrame !== undefined);
    clearInterval(trickle);
    expect(client.closeFrame).toEqual({ code: 4002, reason: 'CONNECTION_LOST: A message took too long to arrive.' });
  });
});

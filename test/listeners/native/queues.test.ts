/** Queues over the protocol itself: channels, credit, limits, back-pressure, and what is refused. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../../../broker/index.ts';
import type { NativeLimits } from '../../../broker/listeners/native/native-limits.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import type { QueueService } from '../../../broker/queues/queue-service.ts';
import { BurrowError, isBurrowError } from '../../../src/errors/burrow-error.ts';
import { ERROR_TABLE } from '../../../src/errors/table.ts';
import { encodeFieldTable } from '../../../src/messages/field-table.ts';
import { NO_PROPERTIES } from '../../../src/messages/message-properties.ts';
import { decodeDeliveriesPush, decodeEndedPush, encodeRequest } from '../../../src/protocol/frame.ts';
import type { RequestOf } from '../../../src/protocol/messages.ts';
import { PackedDeliveriesReader } from '../../../src/protocol/packed-deliveries.ts';
import { PackedPublishesWriter } from '../../../src/protocol/packed-publishes.ts';
import { CHANNEL_CLOSED_PUSH, CONSUMER_ENDED_PUSH, DELIVERIES_PUSH } from '../../../src/protocol/version.ts';
import { eventually, RawClient, startTarget, TestClient, webSocketFrame } from './native-client.ts';

const NO_ARGUMENTS = new Uint8Array(0);

async function setUp(
  limits: Partial<NativeLimits> = {},
  wrap: (queues: QueueService) => QueueService = (same) => same,
) {
  const broker = await startBroker({ storage: 'memory', port: 0, kafkaPort: 'off' });
  onTestFinished(() => broker.close());
  const target = await startTarget({ limits, queues: wrap(broker.queues) });
  const client = await TestClient.open(target.port);
  await declare(client, 'q');
  return { broker, target, client };
}

async function declare(client: TestClient, name: string): Promise<void> {
  const queue = { name, passive: false, durable: true, exclusive: false, autoDelete: false, arguments: NO_ARGUMENTS };
  const { queues } = await client.request('declareQueues', { virtualHost: '/', queues: [queue] });
  expect(queues).toMatchObject([{ errorNumber: 0 }]);
}

const open = (client: TestClient, channelId: number) => client.request('openChannel', { channelId, virtualHost: '/' });

function publishRequest(channelId: number, bodies: readonly string[], routingKey = 'q'): RequestOf<'publish'> {
  const writer = new PackedPublishesWriter();
  for (const body of bodies) writer.append('', routingKey, NO_PROPERTIES, Buffer.from(body), false);
  return { channelId, count: bodies.length, messages: [writer.finish()] };
}

const consumption = { queue: 'q', prefetch: 10, noAck: false, exclusive: false, arguments: NO_ARGUMENTS };

/** Of all pushes to a channel so far. */
function delivered(client: TestClient, channelId: number) {
  return client.frames.flatMap((frame) => {
    if (frame.kind !== 'push' || frame.type !== DELIVERIES_PUSH || frame.streamId !== channelId) return [];
    const { messages, ...push } = decodeDeliveriesPush(frame.body);
    const reader = new PackedDeliveriesReader({ ...push, messages: messages[0]! });
    const list: Array<{ tag: number; body: string; returns: number }> = [];
    while (reader.next()) {
      const end = reader.bodyPosition + reader.bodyBytes;
      const text = Buffer.from(reader.bytes.subarray(reader.bodyPosition, end)).toString();
      list.push({ tag: reader.deliveryTag, body: text, returns: reader.returns });
    }
    return list;
  });
}

function ended(client: TestClient, type: number): Array<[channelId: number, code: string]> {
  return client.frames.flatMap(
    (frame): Array<[number, string]> =>
      frame.kind === 'push' && frame.type === type ? [[frame.streamId, decodeEndedPush(frame.body).code]] : [],
  );
}

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(
    () => undefined,
    (error: unknown) => (isBurrowError(error) ? error.code : String(error)),
  );
}

describe('a channel', () => {
  test('publishes, consumes and settles', async () => {
    const { client } = await setUp();
    await open(client, 1);
    const bodies = Array.from({ length: 8 }, (_, index) => String(index));
    expect(await client.request('publish', publishRequest(1, bodies))).toEqual({ refused: [], unroutable: [] });
    await client.request('consume', { channelId: 1, ...consumption, prefetch: 4 });
    await client.until(() => delivered(client, 1).length === 4);
    const settlements = [
      { start: 1, end: 3, outcome: 0 },
      { start: 3, end: 4, outcome: 2 },
    ];
    await client.request('settle', { channelId: 1, sync: true, settlements });
    await client.until(() => delivered(client, 1).length === 7);
    expect(delivered(client, 1).map(({ tag, body }) => [tag, body])).toEqual(
      bodies.slice(0, 7).map((body, index) => [index + 1, body]),
    );
    // The frame of the answer cannot come before the deliveries that it makes room for are on their way.
    await client.request('cancelConsumer', { channelId: 1 });
    await client.request('settle', { channelId: 1, sync: true, settlements: [{ start: 4, end: 8, outcome: 1 }] });
    const { count, messages, messagesLeft, ...rest } = await client.request('getMessage', {
      channelId: 1,
      queue: 'q',
      noAck: true,
    });
    const reader = new PackedDeliveriesReader({ ...rest, count, messages: messages[0]! });
    expect([count, messagesLeft, reader.next(), reader.returns]).toEqual([1, 4, true, 1]);
  });

  test('gathers what is delivered in a turn into one frame', async () => {
    const { client } = await setUp();
    await open(client, 1);
    await client.request('consume', { channelId: 1, ...consumption, prefetch: 0 });
    await client.request('publish', publishRequest(1, new Array<string>(500).fill('x')));
    await client.until(() => delivered(client, 1).length === 500);
    const pushes = client.frames.filter((frame) => frame.kind === 'push');
    expect(pushes.length).toBeLessThan(5);
  });

  test('ends with its connection, and gives back what is not settled', async () => {
    const { client, target } = await setUp();
    await open(client, 1);
    await client.request('publish', publishRequest(1, ['a']));
    await client.request('consume', { channelId: 1, ...consumption });
    await client.until(() => delivered(client, 1).length === 1);
    client.webSocket.terminate();
    const next = await TestClient.open(target.port);
    await open(next, 1);
    await next.request('consume', { channelId: 1, ...consumption });
    await next.until(() => delivered(next, 1).length === 1);
    expect(delivered(next, 1)).toEqual([{ tag: 1, body: 'a', returns: 1 }]);
  });

  test('is told when its consumer ends, and when it is closed', async () => {
    const { client, broker } = await setUp();
    await broker.queues.createVirtualHost('v');
    await open(client, 1);
    await client.request('openChannel', { channelId: 2, virtualHost: 'v' });
    await client.request('consume', { channelId: 1, ...consumption });
    await client.request('deleteQueues', {
      virtualHost: '/',
      queues: [{ name: 'q', ifUnused: false, ifEmpty: false }],
    });
    await client.until(() => ended(client, CONSUMER_ENDED_PUSH).length > 0);
    expect(ended(client, CONSUMER_ENDED_PUSH)).toEqual([[1, 'QUEUE_NOT_FOUND']]);
    expect(await codeOf(client.request('consume', { channelId: 1, ...consumption }))).toBe('QUEUE_NOT_FOUND');
    await broker.queues.deleteVirtualHost('v');
    await client.until(() => ended(client, CHANNEL_CLOSED_PUSH).length > 0);
    expect(ended(client, CHANNEL_CLOSED_PUSH)).toEqual([[2, 'VHOST_NOT_FOUND']]);
    expect(await codeOf(client.request('closeChannel', { channelId: 2 }))).toBe('CHANNEL_NOT_FOUND');
  });
});

describe('credit', () => {
  test('bounds what is sent to a consumer that does not acknowledge', async () => {
    const { client } = await setUp();
    await open(client, 1);
    await client.request('publish', publishRequest(1, ['0', '1', '2', '3', '4', '5']));
    await client.request('consume', { channelId: 1, ...consumption, noAck: true, prefetch: 2 });
    await client.request('settle', { channelId: 1, sync: true, settlements: [] });
    await client.until(() => delivered(client, 1).length === 2);
    client.send('addDeliveryCredit', { channelId: 1, messages: 3 });
    await client.until(() => delivered(client, 1).length === 5);
    await client.request('settle', { channelId: 1, sync: true, settlements: [] });
    expect(delivered(client, 1).map(({ body }) => body)).toEqual(['0', '1', '2', '3', '4']);
    expect(await codeOf(client.request('addDeliveryCredit', { channelId: 1, messages: 0 }))).toBe('INVALID_ARGUMENT');
    // One message is left for two credits.
    client.send('addDeliveryCredit', { channelId: 1, messages: 2 });
    expect(await codeOf(client.request('addDeliveryCredit', { channelId: 1, messages: 0xffff_ffff }))).toBe(
      'INVALID_ARGUMENT',
    );
  });

  test('is not for consumers that acknowledge', async () => {
    const { client } = await setUp();
    await open(client, 1);
    await client.request('consume', { channelId: 1, ...consumption });
    expect(await codeOf(client.request('addDeliveryCredit', { channelId: 1, messages: 1 }))).toBe('INVALID_ARGUMENT');
  });
});

describe('what makes no sense is refused by name and changes nothing:', () => {
  test('requests about channels that are not there, or there twice', async () => {
    const { client } = await setUp();
    expect(await codeOf(client.request('publish', publishRequest(1, ['x'])))).toBe('CHANNEL_NOT_FOUND');
    expect(await codeOf(client.request('openChannel', { channelId: 1, virtualHost: 'v' }))).toBe('VHOST_NOT_FOUND');
    await open(client, 1);
    expect(await codeOf(open(client, 1))).toBe('INVALID_ARGUMENT');
    await client.request('consume', { channelId: 1, ...consumption });
    expect(await codeOf(client.request('consume', { channelId: 1, ...consumption }))).toBe('CONSUMER_TAG_IN_USE');
  });

  test('a publish that is malformed, miscounted or too long', async () => {
    const { client } = await setUp({ publishMessagesMax: 3 });
    await open(client, 1);
    const request = publishRequest(1, ['a', 'b', 'c']);
    expect(await codeOf(client.request('publish', { ...request, count: 2 }))).toBe('MALFORMED_FRAME');
    expect(await codeOf(client.request('publish', { ...request, count: 4 }))).toBe('INVALID_ARGUMENT');
    const cut = request.messages[0]!.subarray(0, 5);
    expect(await codeOf(client.request('publish', { ...request, messages: [cut] }))).toBe('MALFORMED_FRAME');
    expect(await client.request('publish', publishRequest(1, []))).toEqual({ refused: [], unroutable: [] });
    const { messageCount } = (await client.request('purgeQueues', { virtualHost: '/', names: ['q'] })).queues[0]!;
    expect(messageCount).toBe(0);
    expect(await client.request('publish', request)).toEqual({ refused: [], unroutable: [] });
  });

  test('settlements of what is not unsettled, after those that make sense', async () => {
    const { client } = await setUp();
    await open(client, 1);
    await client.request('publish', publishRequest(1, ['a', 'b', 'c']));
    await client.request('consume', { channelId: 1, ...consumption });
    await client.until(() => delivered(client, 1).length === 3);
    const settle = (sync: boolean, ...settlements: RequestOf<'settle'>['settlements']) =>
      codeOf(client.request('settle', { channelId: 1, sync, settlements }));
    expect(
      await settle(true, { start: 2, end: Number.MAX_SAFE_INTEGER, outcome: 0 }, { start: 1, end: 2, outcome: 0 }),
    ).toBe('UNKNOWN_DELIVERY_TAG');
    // All three are settled: the range up to its first unknown tag, and the other one.
    for (const tag of [1, 2, 3])
      expect(await settle(false, { start: tag, end: tag + 1, outcome: 0 })).toBe('UNKNOWN_DELIVERY_TAG');
    expect(await settle(true, { start: 0, end: 1, outcome: 0 })).toBe('INVALID_ARGUMENT');
    expect(await settle(true, { start: 4, end: 4, outcome: 0 })).toBe('INVALID_ARGUMENT');
    expect(await settle(true, { start: 4, end: 5, outcome: 3 })).toBe('INVALID_ARGUMENT');
  });

  test('entries of declarations, each alone', async () => {
    const { client } = await setUp();
    const queue = { passive: false, durable: true, exclusive: false, autoDelete: false, arguments: NO_ARGUMENTS };
    const { queues } = await client.request('declareQueues', {
      virtualHost: '/',
      queues: [
        { ...queue, name: 'good' },
        { ...queue, name: 'bad', arguments: Uint8Array.of(5, 1) },
        { ...queue, name: 'missing', passive: true },
        { ...queue, name: 'q', durable: false },
        { ...queue, name: 'also good' },
      ],
    });
    const errors = queues.map(({ errorNumber }) => errorNumber);
    const numbers = (['INVALID_ARGUMENT', 'QUEUE_NOT_FOUND', 'DECLARED_DIFFERENTLY'] as const).map(
      (name) => new BurrowError(name).number,
    );
    expect(errors).toEqual([0, ...numbers, 0]);
    const binding = { source: 'amq.direct', destination: 'q', bindingKey: 'k', arguments: NO_ARGUMENTS };
    const { bindings } = await client.request('bind', {
      virtualHost: '/',
      bindings: [
        { ...binding, destinationKind: 3 },
        { ...binding, destinationKind: 0 },
      ],
    });
    expect(bindings.map(({ errorNumber }) => errorNumber)).toEqual([numbers[0], 0]);
  });

  test('policies that cannot be, each for itself', async () => {
    const { client } = await setUp({ listedEntriesMax: 1 });
    const definition = encodeFieldTable(new Map([['max-length', 1]]));
    const good = { name: 'a', pattern: '^q', applyTo: 'queues', priority: 0, definition };
    const policies = [
      good,
      { ...good, name: 'b', applyTo: 'topics' },
      { ...good, name: 'c', definition: Buffer.from([5, 1]) },
      { ...good, name: 'd', pattern: '(' },
      { ...good, name: 'e', pattern: 'x'.repeat(4000) },
      { ...good, name: 'f', definition: NO_ARGUMENTS },
      { ...good, name: 'g' },
    ];
    const answer = await client.request('setPolicies', { virtualHost: '/', policies });
    const invalid = ERROR_TABLE.get('INVALID_ARGUMENT')!.number;
    expect(answer.policies.map(({ name, errorNumber }) => [name, errorNumber])).toEqual([
      ['a', 0],
      ...['b', 'c', 'd', 'e', 'f'].map((name) => [name, invalid]),
      ['g', 0],
    ]);
    const list = async (skip: number) =>
      (await client.request('listPolicies', { virtualHost: '/', skip, limit: 9 })).policies;
    expect([...(await list(0)), ...(await list(1)), ...(await list(2))]).toEqual(
      [good, policies[6]].map((each) => ({ ...each, definition: expect.anything() })),
    );
    const names = ['nothing', 'a', 'g'];
    const deleted = await client.request('deletePolicies', { virtualHost: '/', names });
    expect(deleted.policies).toEqual(names.map((name) => ({ name, errorNumber: 0, message: null })));
    expect(await list(0)).toEqual([]);
    expect(await codeOf(client.request('listPolicies', { virtualHost: 'v', skip: 0, limit: 1 }))).toBe(
      'VHOST_NOT_FOUND',
    );
  });

  test('anything about queues where there are none', async () => {
    const target = await startTarget();
    const client = await TestClient.open(target.port);
    expect(await codeOf(client.request('listVirtualHosts', {}))).toBe('NOT_IMPLEMENTED');
    expect(await codeOf(open(client, 1))).toBe('NOT_IMPLEMENTED');
  });
});

describe('limits', () => {
  test('of channels, list entries and browsed messages', async () => {
    const { client } = await setUp({ queueChannelsMax: 2, listedEntriesMax: 3, browsedMessagesMax: 2 });
    await open(client, 1);
    await open(client, 2);
    expect(await codeOf(open(client, 3))).toBe('CHANNEL_LIMIT');
    await client.request('closeChannel', { channelId: 1 });
    await open(client, 3);
    const page = { virtualHost: '/', skip: 0, limit: 1000 };
    const first = (await client.request('listExchanges', page)).exchanges;
    const second = (await client.request('listExchanges', { ...page, skip: 3 })).exchanges;
    expect([first.length, second.length]).toEqual([3, 3]);
    expect(new Set([...first, ...second].map(({ name }) => name)).size).toBe(6);
    await client.request('publish', publishRequest(3, ['a', 'b', 'c']));
    const browse = { ...page, queue: 'q', bytesMax: 1000 };
    expect((await client.request('browseQueue', browse)).count).toBe(2);
    expect((await client.request('browseQueue', { ...browse, skip: 2 })).count).toBe(1);
    expect((await client.request('browseQueue', { ...browse, bytesMax: 0 })).count).toBe(1);
  });
});

describe('back-pressure', () => {
  test('stops deliveries to a peer that does not take them, without holding much', async () => {
    const { client, target, broker } = await setUp({ writeBufferedBytesMax: 256 * 1024, pushFrameBytesMax: 64 * 1024 });
    await open(client, 1);
    const body = 'x'.repeat(10_000);
    for (let round = 0; round < 40; round++) {
      await client.request('publish', publishRequest(1, new Array<string>(50).fill(body)));
    }
    const slow = await RawClient.greeted(target.port);
    slow.socket.removeAllListeners('data').on('data', () => {});
    slow.socket.pause();
    slow.write(webSocketFrame(encodeRequest('openChannel', 1, { channelId: 1, virtualHost: '/' })));
    slow.write(webSocketFrame(encodeRequest('consume', 2, { channelId: 1, ...consumption, prefetch: 0 })));
    const status = () => {
      const session = broker.queues.openSession('/', () => {});
      const [found] = session.listQueues();
      void session.close();
      return found!;
    };
    await eventually(() => status().unsettledCount > 0);
    // What the sockets of both sides hold, and what the listener may: far less than 20 MB.
    let last = -1;
    await eventually(() => {
      const stalled = status().unsettledCount === last;
      last = status().unsettledCount;
      return stalled;
    });
    expect(status().unsettledCount).toBeLessThan(1500);
    slow.socket.resume();
    await eventually(() => status().messageCount === 0);
    expect(status().unsettledCount).toBe(2000);
  });

  test('holds publishes while the broker takes none, and only these', async () => {
    let congested = true;
    let relieve: () => void = () => {};
    const relieved = new Promise<void>((resolve) => {
      relieve = resolve;
    });
    const { client } = await setUp({}, (queues) => ({
      virtualHostId: (name) => queues.virtualHostId(name),
      listVirtualHosts: () => queues.listVirtualHosts(),
      createVirtualHost: (name) => queues.createVirtualHost(name),
      deleteVirtualHost: (name) => queues.deleteVirtualHost(name),
      openSession(virtualHost, onClosed) {
        const session = queues.openSession(virtualHost, onClosed);
        const openChannel = session.openChannel.bind(session);
        session.openChannel = (sink) =>
          Object.defineProperties(openChannel(sink), {
            isCongested: { get: () => congested },
            uncongested: { value: () => relieved },
          });
        return session;
      },
    }));
    await open(client, 1);
    await open(client, 2);
    const answers: string[] = [];
    const publish = (channelId: number, body: string) =>
      client.request('publish', publishRequest(channelId, [body])).then(
        () => answers.push(body),
        (error: unknown) => answers.push(`${body} ${(error as BurrowError).code}`),
      );
    const published = [publish(1, 'a'), publish(2, 'b'), publish(1, 'c')];
    await client.request('closeChannel', { channelId: 2 });
    const { messagesLeft } = await client.request('getMessage', { channelId: 1, queue: 'q', noAck: true });
    expect([answers, messagesLeft]).toEqual([[], 0]);
    congested = false;
    relieve();
    await Promise.all(published);
    expect([...answers].sort()).toEqual(['a', 'b CHANNEL_NOT_FOUND', 'c']);
  });
});

test('thousands of spoilt frames about queues harm nobody but their connection', async () => {
  const { client, target } = await setUp();
  const random = new SeededRandom(20_261_125);
  const frames = [
    encodeRequest('openChannel', 1, { channelId: 1, virtualHost: '/' }),
    encodeRequest('publish', 2, publishRequest(1, ['a', 'b', 'c'])),
    encodeRequest('consume', 3, { channelId: 1, ...consumption }),
    encodeRequest('settle', 4, { channelId: 1, sync: false, settlements: [{ start: 1, end: 3, outcome: 0 }] }),
    encodeRequest('getMessage', 5, { channelId: 1, queue: 'q', noAck: false }),
    encodeRequest('addDeliveryCredit', 6, { channelId: 1, messages: 5 }),
    encodeRequest('bind', 7, {
      virtualHost: '/',
      bindings: [
        { source: 'amq.topic', destinationKind: 0, destination: 'q', bindingKey: '#', arguments: NO_ARGUMENTS },
      ],
    }),
    encodeRequest('closeChannel', 8, { channelId: 1 }),
  ];
  let hostile = await RawClient.greeted(target.port);
  for (let index = 0; index < 3000; index++) {
    if (hostile.isClosed || hostile.closeFrame !== undefined) hostile = await RawClient.greeted(target.port);
    const frame = Buffer.from(frames[random.below(frames.length)]!);
    if (random.below(3) > 0) frame[random.below(frame.length)] = random.below(256);
    hostile.write(webSocketFrame(frame));
    if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  hostile.socket.destroy();
  await open(client, 9);
  expect(await client.request('publish', publishRequest(9, ['sound']))).toEqual({ refused: [], unroutable: [] });
  expect(target.logLines.filter(({ code }) => code === 'INTERNAL_ERROR')).toEqual([]);
});

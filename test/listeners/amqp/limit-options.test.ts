/** Every limit of the AMQP listener that a user can set, set and crossed on a whole broker. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { type BrokerOptions, startBroker } from '../../../broker/index.ts';
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts';
import {
  bodyFrame,
  headerFrame,
  methodFrame,
  PROTOCOL_HEADER,
  publishArguments,
  publishFrames,
  RawClient,
} from './raw-client.ts';

async function start(options: Partial<BrokerOptions>) {
  const lines: LogLine[] = [];
  const logger = recordingLogger(lines);
  const broker = await startBroker({ storage: 'memory', port: 'off', kafkaPort: 'off', logger, ...options });
  const clients: RawClient[] = [];
  onTestFinished(async () => {
    for (const client of clients) client.socket.destroy();
    await broker.close();
  });
  const kept = async (connecting: Promise<RawClient>): Promise<RawClient> => {
    const client = await connecting;
    clients.push(client);
    return client;
  };
  const port = broker.ports.amqp!;
  return {
    broker,
    lines,
    connect: () => kept(RawClient.connect(port)),
    open: (openOptions?: Parameters<typeof RawClient.open>[1]) => kept(RawClient.open(port, openOptions)),
    causes: () => lines.map(({ fields }) => fields['cause']),
  };
}

const queueArguments = { passive: false, durable: false, exclusive: true, autoDelete: false, noWait: false };

async function declareQueue(client: RawClient, queue: string): Promise<void> {
  await client.openChannel(1);
  client.method(1, 'queue.declare', { queue, ...queueArguments, arguments: new Map() });
  await client.expect('queue.declare-ok', 1);
}

test('amqpFrameMax, amqpChannelMax and amqpHeartbeat are what is offered, and hold', async () => {
  const { connect, open } = await start({ amqpFrameMax: 8192, amqpChannelMax: 3, amqpHeartbeat: 7 });
  const client = await connect();
  client.send(PROTOCOL_HEADER);
  await client.expect('connection.start');
  client.startOk();
  expect(await client.expect('connection.tune')).toEqual({ frameMax: 8192, channelMax: 3, heartbeat: 7 });
  const greedy = await open();
  for (const channel of [1, 2, 3]) await greedy.openChannel(channel);
  greedy.method(4, 'channel.open', {});
  expect(await greedy.expect('connection.close')).toMatchObject({ replyCode: 530 });
  const large = await open();
  await large.openChannel(1);
  large.send(methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 9000), bodyFrame(1, Buffer.alloc(9000)));
  expect((await large.expect('connection.close')).replyCode).toBe(501);
});

test('amqpInitialFrameMax bounds frames before the login', async () => {
  const { connect, causes } = await start({ amqpInitialFrameMax: 5000 });
  const client = await connect();
  client.send(PROTOCOL_HEADER);
  await client.expect('connection.start');
  client.startOk({ response: Buffer.alloc(6000) });
  await expect.poll(() => causes().some((cause) => String(cause).includes('frame_max is 5000'))).toBe(true);
});

test('queueMessageBytesMax bounds bodies', async () => {
  const { open } = await start({ queueMessageBytesMax: 1024 });
  const client = await open();
  await client.openChannel(1);
  client.send(methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 1025));
  expect(await client.expect('channel.close', 1)).toMatchObject({ replyCode: 406, classId: 60, methodId: 40 });
});

test('amqpUnassembledBytesMax bounds messages that are not complete', async () => {
  const { open } = await start({ amqpUnassembledBytesMax: 65_536 });
  const client = await open();
  await client.openChannel(1);
  client.send(
    methodFrame(1, 'basic.publish', publishArguments),
    headerFrame(1, 1_000_000),
    bodyFrame(1, Buffer.alloc(70_000)),
  );
  expect(await client.expect('connection.close')).toMatchObject({ replyCode: 506, classId: 60, methodId: 40 });
});

test('amqpContentTimeoutMs ends a message that arrives too slowly', async () => {
  const { open, causes } = await start({ amqpContentTimeoutMs: 50 });
  const client = await open();
  await client.openChannel(1);
  client.send(methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 2), bodyFrame(1, Buffer.alloc(1)));
  await client.closed();
  expect(causes()).toContain('A message arrives too slowly (contentArrivalTimeoutMs).');
});

describe('while publishers must wait for the queues, what comes behind', () => {
  const MIB = 1024 * 1024;

  /** A client whose first channel waits; `behind` is sent on it, then something on another channel. */
  async function waitBehind(options: Partial<BrokerOptions>, behind: Buffer) {
    const bed = await start({ queueMemoryBytesMax: MIB, amqpFrameMax: 2 * MIB, ...options });
    const [client, other] = [await bed.open(), await bed.open()];
    await client.openChannel(2);
    await client.openChannel(1);
    client.method(1, 'queue.declare', { queue: 'q', ...queueArguments, exclusive: false, arguments: new Map() });
    await client.expect('queue.declare-ok', 1);
    client.send(publishFrames(1, Buffer.alloc(MIB)), behind, methodFrame(2, 'tx.select', {}));
    await other.openChannel(1);
    return { client, other };
  }

  const many = Buffer.concat(Array.from({ length: 20 }, () => publishFrames(1, Buffer.alloc(1))));
  const large = Buffer.concat(Array.from({ length: 2 }, () => publishFrames(1, Buffer.alloc(100_000))));

  test.each([
    ['amqpWaitingMethodsMax', { amqpWaitingMethodsMax: 10 }, many],
    ['amqpWaitingBytesMax', { amqpWaitingBytesMax: 65_536 }, large],
  ] as const)('is read up to %s', async (_, options, behind) => {
    const { client, other } = await waitBehind(options, behind);
    for (let round = 0; round < 10; round++) {
      other.method(1, 'queue.declare', { queue: 'q', ...queueArguments, passive: true, arguments: new Map() });
      await other.expect('queue.declare-ok', 1);
    }
    expect(client.pending).toBe(0);
    other.method(1, 'queue.purge', { queue: 'q', noWait: false });
    await client.expect('tx.select-ok', 2);
  });

  test.each([
    ['many', many],
    ['large', large],
  ])('is read within the defaults: %s', async (_, behind) => {
    const { client } = await waitBehind({}, behind);
    await client.expect('tx.select-ok', 2);
  });
});

/** A client that consumes and takes nothing. */
async function stall({ open }: Awaited<ReturnType<typeof start>>): Promise<RawClient> {
  const [publisher, consumer] = [await open(), await open()];
  for (const client of [publisher, consumer]) await client.openChannel(1);
  consumer.method(1, 'queue.declare', { queue: 'q', ...queueArguments, exclusive: false, arguments: new Map() });
  await consumer.expect('queue.declare-ok', 1);
  consumer.method(1, 'basic.consume', {
    ...{ queue: 'q', consumerTag: 'c', noLocal: false, noAck: true, exclusive: false, noWait: false },
    arguments: new Map(),
  });
  await consumer.expect('basic.consume-ok', 1);
  consumer.socket.pause();
  const body = Buffer.alloc(1_000_000);
  const frames = [methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, body.length)];
  for (let position = 0; position < body.length; position += 100_000) {
    frames.push(bodyFrame(1, body.subarray(position, position + 100_000)));
  }
  for (let index = 0; index < 40; index++) publisher.send(...frames);
  return consumer;
}

test('writeStallTimeoutMs ends who takes nothing', async () => {
  const bed = await start({ writeStallTimeoutMs: 100, writeBufferedBytesMax: 1_000_000 });
  const consumer = await stall(bed);
  await expect
    .poll(() => bed.causes(), { timeout: 10_000 })
    .toContain('The client does not take what it is sent (writeStallTimeoutMs).');
  consumer.socket.resume();
  await consumer.closed();
});

test('bufferedBytesMax ends who holds most', async () => {
  const bed = await start({ bufferedBytesMax: 4_000_000, writeBufferedBytesMax: 16_000_000 });
  const consumer = await stall(bed);
  await expect
    .poll(() => bed.lines.map(({ fields }) => fields['code']), { timeout: 10_000 })
    .toContain('IN_FLIGHT_LIMIT');
  consumer.socket.resume();
  await consumer.closed();
});

test('closeTimeoutMs ends who does not say goodbye, also when the broker stops', async () => {
  const { broker, open } = await start({ closeTimeoutMs: 50 });
  const rude = await open();
  rude.send(bodyFrame(0, Buffer.alloc(1)));
  await rude.expect('connection.close');
  await rude.closed();
  await open();
  await broker.close();
});

test('connectionsMax, connectionsPerIpMax and handshakeTimeoutMs hold for AMQP, too', async () => {
  for (const limit of [{ connectionsMax: 1 }, { connectionsPerIpMax: 1 }]) {
    const { open, connect } = await start(limit);
    await open();
    await (await connect()).closed();
  }
  const { connect, causes } = await start({ handshakeTimeoutMs: 50 });
  await (await connect()).closed();
  expect(causes()).toContain('The client did not open the connection in time (handshakeTimeoutMs).');
});

test('amqpTransactionBytesMax bounds what waits for tx.commit', async () => {
  const { open } = await start({ amqpTransactionBytesMax: 10_000 });
  const client = await open();
  await declareQueue(client, 'q');
  client.method(1, 'tx.select', {});
  await client.expect('tx.select-ok', 1);
  for (let index = 0; index < 11; index++) client.send(publishFrames(1, Buffer.alloc(1000)));
  expect((await client.expect('channel.close', 1)).replyCode).toBe(406);
});

/** Streams by amqplib, and the same records by kafkajs and the SDK. */
import amqp, { type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib';
import { Kafka, logLevel } from 'kafkajs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Broker, startBroker } from '../../../broker/index.ts';
import { type Client, connect } from '../../../client/index.ts';

const STREAM = { durable: true, arguments: { 'x-queue-type': 'stream' } };

interface Bed {
  readonly broker: Broker;
  readonly connection: ChannelModel;
  readonly channel: Channel;
  /** Publishes to the stream `s`, and waits for the confirms. */
  publish(...bodies: string[]): Promise<void>;
  /** Consumes on a channel of its own with prefetch 100, and acknowledges at once. */
  consume(offset?: unknown, more?: object): Promise<ConsumeMessage[]>;
  sdk(): Promise<Client>;
}

async function open(): Promise<Bed> {
  const broker = await startBroker({ storage: 'memory', amqpPort: 0 });
  onTestFinished(() => broker.close());
  const connection = await amqp.connect(`amqp://guest:guest@127.0.0.1:${broker.ports.amqp}/`);
  connection.on('error', () => {});
  onTestFinished(() => connection.close().catch(() => {}));
  const channel = await connection.createChannel();
  channel.on('error', () => {});
  const publisher = await connection.createConfirmChannel();
  return {
    broker,
    connection,
    channel,
    publish: async (...bodies) => {
      for (const body of bodies) publisher.sendToQueue('s', Buffer.from(body));
      await publisher.waitForConfirms();
    },
    consume: async (offset, more = {}) => {
      const messages: ConsumeMessage[] = [];
      const consuming = await connection.createChannel();
      await consuming.prefetch(100);
      const take = (message: ConsumeMessage | null): void => {
        if (message === null) return;
        messages.push(message);
        consuming.ack(message);
      };
      const table = { ...(offset === undefined ? {} : { 'x-stream-offset': offset }), ...more };
      await consuming.consume('s', take, { arguments: table });
      return messages;
    },
    sdk: async () => {
      const client = await connect(broker.addresses.native!);
      onTestFinished(() => client.close());
      return client;
    },
  };
}

function bodiesOf(messages: readonly ConsumeMessage[]): string[] {
  return messages.map(({ content }) => content.toString());
}

async function waitForBodies(messages: readonly ConsumeMessage[], bodies: readonly string[]): Promise<void> {
  await vi.waitFor(() => expect(bodiesOf(messages)).toEqual(bodies), { timeout: 5000 });
}

function connectionError(connection: ChannelModel): Promise<Error & { code?: number }> {
  return new Promise((resolve) => connection.once('error', resolve));
}

describe('amqplib on a stream', () => {
  test('consumes from first, last, next, an offset, a timestamp and an age', async () => {
    const { channel, publish, consume } = await open();
    expect(await channel.assertQueue('s', STREAM)).toMatchObject({ messageCount: 0 });
    await publish('a', 'b', 'c');
    const consumers = [
      await consume('first'),
      await consume('last'),
      await consume('next'),
      await consume(),
      await consume(1),
      // Beyond the end: as next.
      await consume(1000),
      await consume({ '!': 'timestamp', value: 1 }),
      await consume({ '!': 'timestamp', value: Math.floor(Date.now() / 1000) + 3600 }),
      await consume('1h'),
    ];
    // Those that begin at the next message have found their places once a delivery came to a consumer that came later.
    await waitForBodies(consumers.at(-1)!, ['a', 'b', 'c']);
    await publish('d');
    const whole = ['a', 'b', 'c', 'd'];
    const expected = [whole, ['c', 'd'], ['d'], ['d'], ['b', 'c', 'd'], ['d'], whole, ['d'], whole];
    for (const [index, messages] of consumers.entries()) await waitForBodies(messages, expected[index]!);
    const { headers } = consumers[4]![0]!.properties;
    expect(headers).toMatchObject({ 'x-stream-offset': 1, 'x-stream-partition': 0 });
    expect((await channel.checkQueue('s')).messageCount).toBe(4);
  });

  test('gets no more than its prefetch, and more when it acknowledges or refuses', async () => {
    const { connection, channel, publish } = await open();
    await channel.assertQueue('s', STREAM);
    await publish(...Array.from({ length: 10 }, (_, index) => String(index)));
    const messages: ConsumeMessage[] = [];
    await channel.prefetch(3);
    const take = (message: ConsumeMessage | null) => message !== null && void messages.push(message);
    await channel.consume('s', take, { arguments: { 'x-stream-offset': 'first' } });
    await waitForBodies(messages, ['0', '1', '2']);
    channel.ack(messages[1]!, true);
    await waitForBodies(messages, ['0', '1', '2', '3', '4']);
    channel.nack(messages[2]!, false, true);
    await waitForBodies(messages, ['0', '1', '2', '3', '4', '5']);
    const status = await (await connection.createChannel()).checkQueue('s');
    expect(status).toMatchObject({ messageCount: 10, consumerCount: 1 });
  });

  test('reads what Kafka and SDK producers wrote, with keys and headers as routing keys and headers', async () => {
    const { broker, channel, consume, sdk } = await open();
    const client = await sdk();
    await client.admin().createTopic({ name: 'orders', partitions: 1 });
    await channel.assertQueue('s', { durable: true, arguments: { 'x-queue-type': 'stream', 'x-topic': 'orders' } });
    const kafka = new Kafka({ brokers: [broker.addresses.kafka!], logLevel: logLevel.NOTHING });
    const kafkaProducer = kafka.producer();
    await kafkaProducer.connect();
    onTestFinished(() => kafkaProducer.disconnect());
    const timestamp = 1_700_000_000_000;
    const record = { key: 'user-1', value: 'from kafka', headers: { trace: 'abc' }, timestamp: String(timestamp) };
    await kafkaProducer.send({ topic: 'orders', messages: [record, { key: 'user-1', value: null }] });
    const producer = client.producer({ compression: 'gzip' });
    await producer.send({
      topic: 'orders',
      key: Buffer.from('user-2'),
      value: Buffer.from('from the SDK'),
      headers: { 'amqp-content-type': 'text/plain', raw: new Uint8Array([255]) },
    });
    const messages = await consume('first');
    await waitForBodies(messages, ['from kafka', '', 'from the SDK']);
    const [first, tombstone, third] = messages as [ConsumeMessage, ConsumeMessage, ConsumeMessage];
    expect(first.fields).toMatchObject({ routingKey: 'user-1', exchange: '', redelivered: false });
    expect(first.properties).toMatchObject({
      timestamp: timestamp / 1000,
      headers: { trace: 'abc', 'x-stream-offset': 0, 'x-stream-partition': 0 },
    });
    expect(tombstone.properties.headers).toMatchObject({ 'x-tombstone': true });
    expect(third.fields.routingKey).toBe('user-2');
    expect(third.properties.contentType).toBe('text/plain');
    expect(third.properties.headers!['raw']).toEqual(Buffer.from([255]));
  });

  test('publishes what the SDK consumes as records, and as messages of the stream', async () => {
    const { connection, channel, sdk } = await open();
    await channel.assertQueue('s', STREAM);
    await channel.bindQueue('s', 'amq.topic', 'order.#');
    const publisher = await connection.createConfirmChannel();
    publisher.sendToQueue('s', Buffer.from('direct'));
    publisher.publish('amq.topic', 'order.new', Buffer.from('routed'), { messageId: 'm1', headers: { attempt: 2 } });
    await publisher.waitForConfirms();
    const client = await sdk();
    const consumer = client.consumer({ assignment: [{ topic: 's' }], from: 'earliest' });
    onTestFinished(() => consumer.close());
    const records = [];
    for await (const record of consumer) if (records.push(record) === 2) break;
    const text = (bytes: Uint8Array | null | undefined) => Buffer.from(bytes ?? []).toString();
    expect(records.map(({ key, value }) => [text(key), text(value)])).toEqual([
      ['s', 'direct'],
      ['order.new', 'routed'],
    ]);
    const headers = records[1]!.headers.map(({ key, value }) => [key, text(value)]);
    expect(Object.fromEntries(headers)).toMatchObject({
      'amqp-exchange': 'amq.topic',
      'amqp-message-id': 'm1',
      attempt: '2',
    });
    const bodies: string[] = [];
    const options = { arguments: { 'x-stream-offset': 'first' } };
    const messages = await client.queue('s').consume((message) => void bodies.push(message.text()), options);
    onTestFinished(() => messages.close());
    await vi.waitFor(() => expect(bodies).toEqual(['direct', 'routed']));
  });

  test('is told what streams do not do', async () => {
    const { connection, channel, publish } = await open();
    await channel.assertQueue('s', STREAM);
    await publish('a');
    const without = await connection.createChannel();
    const noPrefetch = new Promise<{ code: number }>((resolve) => without.once('error', resolve));
    await expect(without.consume('s', () => {})).rejects.toThrow(/consumer prefetch count is not set/);
    expect((await noPrefetch).code).toBe(406);
    const failed = connectionError(connection);
    await expect(channel.purgeQueue('s')).rejects.toThrow();
    expect(await failed).toMatchObject({ code: 540 });
  });

  test.each([
    ['basic.get', (channel: Channel) => channel.get('s')],
    ['automatic acknowledgement', (channel: Channel) => channel.consume('s', () => {}, { noAck: true })],
  ])('has its connection closed with 540 for %s', async (_what, ask) => {
    const { connection, channel } = await open();
    await channel.assertQueue('s', STREAM);
    await channel.prefetch(10);
    const failed = connectionError(connection);
    await expect(ask(channel)).rejects.toThrow();
    expect(await failed).toMatchObject({ code: 540 });
  });

  test('deletes a stream with its topic, and its consumers are cancelled', async () => {
    const { broker, channel, publish } = await open();
    await channel.assertQueue('s', STREAM);
    await publish('a');
    await channel.prefetch(10);
    const cancelled = new Promise<void>((resolve) => {
      void channel.consume('s', (message) => message === null && resolve());
    });
    await vi.waitFor(async () => expect((await channel.checkQueue('s')).consumerCount).toBe(1));
    expect(await channel.deleteQueue('s')).toEqual({ messageCount: 1 });
    await cancelled;
    expect(broker.service.topicNames()).toEqual([]);
  });
});

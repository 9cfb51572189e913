/** rabbitmq-client. It encodes bodies that are no bytes, and decodes bodies by their content type. */
import {
  type AsyncMessage,
  type Channel,
  Connection,
  type HeaderFields,
  type ReturnedMessage as ReturnedByClient,
  type SyncMessage,
} from 'rabbitmq-client';
import { REPLY_CODES, type ReplyName } from '../../../../broker/listeners/amqp/reply-codes.ts';
import {
  type AmqpClient,
  type ClientChannel,
  type Delivery,
  type Headers,
  type HeaderValue,
  type MessageProperties,
  type Publish,
  ReplyError,
  type ReturnedMessage,
} from '../client-adapter.ts';

function toReplyError(error: unknown): unknown {
  const { code, message } = error as { code?: string; message: string };
  return code !== undefined && code in REPLY_CODES ? new ReplyError(REPLY_CODES[code as ReplyName], message) : error;
}

async function translated<T>(call: PromiseLike<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw toReplyError(error);
  }
}

function plainField(value: unknown): HeaderValue {
  if (Buffer.isBuffer(value)) return { '!bytes': value.toString('hex') };
  if (Array.isArray(value)) return value.map(plainField);
  if (typeof value !== 'object' || value === null) return value as HeaderValue;
  const { scale, value: digits } = value as { scale?: number; value?: number };
  if (scale !== undefined) return { '!decimal': (digits! / 10 ** scale).toFixed(scale) };
  return plainHeaders(value);
}

function plainHeaders(headers: object): Headers {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, plainField(value)]));
}

const PROPERTY_NAMES = [
  'contentType',
  'contentEncoding',
  'priority',
  'correlationId',
  'replyTo',
  'expiration',
  'messageId',
  'timestamp',
  'type',
  'userId',
  'appId',
] as const;

function propertiesOf(fields: HeaderFields): MessageProperties {
  const present = PROPERTY_NAMES.filter((name) => fields[name] !== undefined).map((name) => [name, fields[name]]);
  return {
    ...Object.fromEntries(present),
    ...(fields.headers === undefined ? {} : { headers: plainHeaders(fields.headers) }),
    ...(fields.durable ? { deliveryMode: 2 } : {}),
  };
}

function messageOf(message: SyncMessage | AsyncMessage | ReturnedByClient): Delivery & ReturnedMessage {
  return { ...message, properties: propertiesOf(message), body: Buffer.from(message.body) } as never;
}

class RabbitmqClientChannel implements ClientChannel {
  readonly deliveries: Delivery[] = [];
  readonly returns: ReturnedMessage[] = [];
  readonly cancelled: string[] = [];
  readonly closed: Promise<ReplyError>;
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
    this.closed = new Promise((resolve) => channel.on('error', (error) => resolve(toReplyError(error) as ReplyError)));
    channel.on('basic.return', (message) => this.returns.push(messageOf(message)));
    channel.on('basic.cancel', (consumerTag) => this.cancelled.push(consumerTag));
  }

  declareQueue(queue: string, options = {}) {
    return translated(this.#channel.queueDeclare({ queue, durable: true, ...options }));
  }

  checkQueue(queue: string) {
    return translated(this.#channel.queueDeclare({ queue, passive: true }));
  }

  async deleteQueue(queue: string, options = {}) {
    return (await translated(this.#channel.queueDelete({ queue, ...options }))).messageCount;
  }

  async purgeQueue(queue: string) {
    return (await translated(this.#channel.queuePurge({ queue }))).messageCount;
  }

  bindQueue(queue: string, exchange: string, routingKey: string, bindingArguments = {}) {
    return translated(this.#channel.queueBind({ queue, exchange, routingKey, arguments: bindingArguments }));
  }

  unbindQueue(queue: string, exchange: string, routingKey: string) {
    return translated(this.#channel.queueUnbind({ queue, exchange, routingKey }));
  }

  declareExchange(exchange: string, type: string, options = {}) {
    return translated(this.#channel.exchangeDeclare({ exchange, type, durable: true, ...options }));
  }

  checkExchange(exchange: string) {
    return translated(this.#channel.exchangeDeclare({ exchange, passive: true }));
  }

  deleteExchange(exchange: string) {
    return translated(this.#channel.exchangeDelete({ exchange }));
  }

  bindExchange(destination: string, source: string, routingKey: string) {
    return translated(this.#channel.exchangeBind({ destination, source, routingKey }));
  }

  async publish({ exchange = '', routingKey, body, properties = {}, mandatory = false }: Publish) {
    const { deliveryMode, ...rest } = properties;
    const envelope = { exchange, routingKey, mandatory, ...rest, ...(deliveryMode === 2 ? { durable: true } : {}) };
    try {
      await this.#channel.basicPublish(envelope as object, body);
      return 'confirmed';
    } catch (error) {
      if ((error as { code?: string }).code === 'NACK') return 'refused';
      throw toReplyError(error);
    }
  }

  async get(queue: string, options: { noAck: boolean }) {
    const message = await translated(this.#channel.basicGet({ queue, ...options }));
    return message && messageOf(message);
  }

  async forward(from: string, to: string) {
    const message = await this.#channel.basicGet({ queue: from, noAck: true });
    await this.#channel.basicPublish({ ...message!, exchange: '', routingKey: to }, message!.body);
  }

  prefetch(prefetchCount: number, { global = false } = {}) {
    return translated(this.#channel.basicQos({ prefetchCount, global }));
  }

  async consume(queue: string, options = {}) {
    const onMessage = (message: AsyncMessage): void => void this.deliveries.push(messageOf(message));
    return (await translated(this.#channel.basicConsume({ queue, ...options }, onMessage))).consumerTag;
  }

  async cancel(consumerTag: string) {
    await translated(this.#channel.basicCancel({ consumerTag }));
  }

  async ack(deliveryTag: number, options = {}) {
    this.#channel.basicAck({ deliveryTag, ...options });
  }

  async nack(deliveryTag: number, options: { multiple?: boolean; requeue: boolean }) {
    this.#channel.basicNack({ deliveryTag, ...options });
  }

  /** The client has no basic.reject. */
  async reject(deliveryTag: number, options: { requeue: boolean }) {
    this.#channel.basicNack({ deliveryTag, ...options });
  }

  recover() {
    return translated(this.#channel.basicRecover({ requeue: true }));
  }

  selectTransactions() {
    return translated(this.#channel.txSelect());
  }

  commit() {
    return translated(this.#channel.txCommit());
  }

  rollback() {
    return translated(this.#channel.txRollback());
  }

  confirm() {
    return translated(this.#channel.confirmSelect());
  }

  close() {
    return this.#channel.close();
  }
}

export const rabbitmqClient: AmqpClient = {
  cannot: {},
  // Timestamps are numbers to it. What it has no way to write becomes a table of the object's fields.
  readsOtherwise: { T: 1_700_000_000 },
  writesOtherwise: { T: 1_700_000_000, D: { scale: 2, value: 314 }, x: { 0: 0, 1: 1, 2: 255 } },

  async connect({ host, port }, { user = 'guest', password = 'guest', virtualHost = '/' } = {}) {
    const connection = new Connection({ hostname: host, port, username: user, password, vhost: virtualHost });
    const failed = new Promise<never>((_, reject) => connection.on('error', (error) => reject(toReplyError(error))));
    failed.catch(() => {});
    try {
      await Promise.race([connection.onConnect(), failed]);
    } catch (error) {
      // It would try again for ever.
      connection.unsafeDestroy();
      throw error;
    }
    const channels: RabbitmqClientChannel[] = [];
    return {
      async openChannel({ confirms = false } = {}) {
        const channel = new RabbitmqClientChannel(await connection.acquire({ emitErrorsFromChannel: true }));
        channels.push(channel);
        if (confirms) await channel.confirm();
        return channel;
      },
      async close() {
        // It waits until its users have closed all channels.
        for (const channel of channels) await channel.close();
        await connection.close();
      },
    };
  },

  async survive({ host, port }, queue) {
    const bodies: string[] = [];
    const connection = new Connection({ hostname: host, port, retryLow: 20, retryHigh: 200 });
    connection.on('error', () => {});
    const consumer = connection.createConsumer({ queue, queueOptions: { durable: true } }, (message) => {
      bodies.push(message.body.toString());
    });
    consumer.on('error', () => {});
    const publisher = connection.createPublisher({ confirm: true, queues: [{ queue, durable: true }] });
    return {
      bodies,
      publish: (body) => publisher.send({ routingKey: queue, durable: true }, Buffer.from(body)),
      async close() {
        await publisher.close();
        await consumer.close();
        await connection.close();
      },
    };
  },
};

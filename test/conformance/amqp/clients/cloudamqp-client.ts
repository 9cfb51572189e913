/** @cloudamqp/amqp-client over TCP. */
import {
  type AMQPBaseClient,
  type AMQPChannel,
  AMQPClient,
  type AMQPMessage,
  AMQPSession,
} from '@cloudamqp/amqp-client';
import type { AmqpTarget } from '../../../support/amqp-target.ts';
import {
  type AmqpClient,
  type ClientChannel,
  type ConnectOptions,
  type Delivery,
  type Headers,
  type HeaderValue,
  type MessageProperties,
  type Publish,
  ReplyError,
  type ReturnedMessage,
} from '../client-adapter.ts';

/** It tells reply codes in its errors' texts alone: `channel 1 closed: NOT_FOUND - … (404)`. */
function toReplyError(error: unknown): unknown {
  const { message } = error as Error;
  const code = /\((\d{3})\)$/.exec(message)?.[1];
  return code === undefined ? error : new ReplyError(Number(code), message);
}

async function translated<T>(call: PromiseLike<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw toReplyError(error);
  }
}

function plainField(value: unknown): HeaderValue {
  if (value instanceof Uint8Array) return { '!bytes': Buffer.from(value).toString('hex') };
  if (value instanceof Date) return { '!timestamp': value.getTime() / 1000 };
  if (Array.isArray(value)) return value.map(plainField);
  return typeof value === 'object' && value !== null ? plainHeaders(value) : (value as HeaderValue);
}

function plainHeaders(headers: object): Headers {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, plainField(value)]));
}

function messageOf(message: AMQPMessage): Delivery & ReturnedMessage {
  const { headers, timestamp, ...rest } = message.properties;
  const properties = {
    ...rest,
    ...(timestamp === undefined ? {} : { timestamp: timestamp.getTime() / 1000 }),
    ...(headers === undefined ? {} : { headers: plainHeaders(headers) }),
  };
  // The client's own names; its body stands in a buffer that it uses again.
  const { exchange, routingKey, deliveryTag, redelivered, consumerTag, messageCount, replyCode, replyText } = message;
  const fields = { exchange, routingKey, deliveryTag, redelivered, consumerTag, messageCount, replyCode, replyText };
  return { ...fields, properties, body: Buffer.from(message.body ?? []) } as Delivery & ReturnedMessage;
}

class CloudamqpChannel implements ClientChannel {
  readonly deliveries: Delivery[] = [];
  readonly returns: ReturnedMessage[] = [];
  readonly cancelled: string[] = [];
  readonly closed: Promise<ReplyError>;
  readonly #channel: AMQPChannel;

  constructor(channel: AMQPChannel) {
    this.#channel = channel;
    this.closed = new Promise((resolve) => {
      channel.onerror = (reason) => resolve(toReplyError(new Error(reason)) as ReplyError);
    });
    channel.onReturn = (message) => void this.returns.push(messageOf(message));
  }

  async declareQueue(queue: string, { arguments: queueArguments = {}, ...options }: { arguments?: Headers } = {}) {
    // Said always: its defaults depend on whether the queue has a name.
    const all = { durable: true, autoDelete: false, exclusive: false, ...options };
    const { name, ...counts } = await translated(this.#channel.queueDeclare(queue, all, queueArguments));
    return { queue: name, ...counts };
  }

  async checkQueue(queue: string) {
    const { name, ...counts } = await translated(this.#channel.queueDeclare(queue, { passive: true }));
    return { queue: name, ...counts };
  }

  async deleteQueue(queue: string, options = {}) {
    return (await translated(this.#channel.queueDelete(queue, options))).messageCount;
  }

  async purgeQueue(queue: string) {
    return (await translated(this.#channel.queuePurge(queue))).messageCount;
  }

  bindQueue(queue: string, exchange: string, routingKey: string, bindingArguments = {}) {
    return translated(this.#channel.queueBind(queue, exchange, routingKey, bindingArguments));
  }

  unbindQueue(queue: string, exchange: string, routingKey: string) {
    return translated(this.#channel.queueUnbind(queue, exchange, routingKey));
  }

  declareExchange(exchange: string, type: string, { arguments: exchangeArguments = {}, ...options } = {}) {
    return translated(this.#channel.exchangeDeclare(exchange, type, options, exchangeArguments));
  }

  checkExchange(exchange: string) {
    return translated(this.#channel.exchangeDeclare(exchange, '', { passive: true }));
  }

  deleteExchange(exchange: string) {
    return translated(this.#channel.exchangeDelete(exchange));
  }

  bindExchange(destination: string, source: string, routingKey: string) {
    return translated(this.#channel.exchangeBind(destination, source, routingKey));
  }

  async publish({ exchange = '', routingKey, body, properties = {}, mandatory = false }: Publish) {
    const { timestamp, ...rest } = properties as MessageProperties & { headers?: object };
    const all = { ...rest, ...(timestamp === undefined ? {} : { timestamp: new Date(timestamp * 1000) }) };
    try {
      await this.#channel.basicPublish(exchange, routingKey, body, all as object, mandatory);
      return 'confirmed';
    } catch (error) {
      if ((error as Error).message === 'Message rejected') return 'refused';
      throw toReplyError(error);
    }
  }

  async get(queue: string, options: { noAck: boolean }) {
    const message = await translated(this.#channel.basicGet(queue, options));
    return message === null ? undefined : messageOf(message);
  }

  async forward(from: string, to: string) {
    const message = await this.#channel.basicGet(from, { noAck: true });
    await this.#channel.basicPublish('', to, message!.body, message!.properties);
  }

  prefetch(count: number, { global = false } = {}) {
    return translated(this.#channel.basicQos(count, 0, global));
  }

  async consume(queue: string, { arguments: args = {}, ...options }: { arguments?: Headers } = {}) {
    const onMessage = (message: AMQPMessage): void => void this.deliveries.push(messageOf(message));
    // Its default is not to acknowledge.
    const all = { noAck: false, ...options, args };
    const consumer = await translated(this.#channel.basicConsume(queue, all, onMessage));
    consumer.wait().catch((error: Error) => {
      if (error.message === 'Consumer cancelled by the server') this.cancelled.push(consumer.tag);
    });
    return consumer.tag;
  }

  async cancel(consumerTag: string) {
    await translated(this.#channel.basicCancel(consumerTag));
  }

  ack(deliveryTag: number, { multiple = false } = {}) {
    return translated(this.#channel.basicAck(deliveryTag, multiple));
  }

  nack(deliveryTag: number, { multiple = false, requeue }: { multiple?: boolean; requeue: boolean }) {
    return translated(this.#channel.basicNack(deliveryTag, requeue, multiple));
  }

  reject(deliveryTag: number, { requeue }: { requeue: boolean }) {
    return translated(this.#channel.basicReject(deliveryTag, requeue));
  }

  recover() {
    return translated(this.#channel.basicRecover(true));
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

  close() {
    return translated(this.#channel.close());
  }
}

function urlOf({ host, port }: AmqpTarget, { user = 'guest', password = 'guest', virtualHost = '/' }: ConnectOptions) {
  return `amqp://${user}:${password}@${host}:${port}/${encodeURIComponent(virtualHost)}`;
}

/** Over any of its transports. */
export function cloudamqpClient(
  connectionTo: (target: AmqpTarget, options: ConnectOptions) => AMQPBaseClient,
  sessionUrl: (target: AmqpTarget) => string,
): AmqpClient {
  return {
    cannot: {},
    // It reads decimals as numbers.
    readsOtherwise: { D: 3.14 },
    // It writes what it takes for small whole numbers in 32 bits with a sign, and other numbers in 32 bits too.
    writesOtherwise: { D: Math.fround(3.14), i: 4_000_000_000 - 2 ** 32 },

    async connect(target, options = {}) {
      const client = connectionTo(target, options);
      client.onerror = () => {};
      const connection = await translated(client.connect());
      return {
        async openChannel({ confirms = false } = {}) {
          const channel = await connection.channel();
          if (confirms) await channel.confirmSelect();
          return new CloudamqpChannel(channel);
        },
        close: () => connection.close(),
      };
    },

    async survive(target, queue) {
      const bodies: string[] = [];
      const session = await AMQPSession.connect(sessionUrl(target), {
        reconnectInterval: 20,
        maxReconnectInterval: 200,
        logger: null,
      });
      const handle = await session.queue(queue, { durable: true });
      await handle.subscribe((message) => void bodies.push(message.bodyString() ?? ''));
      return {
        bodies,
        async publish(body) {
          await handle.publish(body);
        },
        close: () => session.stop(),
      };
    },
  };
}

export const cloudamqpOverTcp: AmqpClient = cloudamqpClient(
  (target, options) => new AMQPClient(urlOf(target, options)),
  (target) => urlOf(target, {}),
);

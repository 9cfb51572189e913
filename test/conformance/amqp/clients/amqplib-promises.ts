/** amqplib's interface of promises. */
import amqp, { type Channel, type ChannelModel, type ConfirmChannel, type ConsumeMessage, type Message } from 'amqplib';
import type { AmqpTarget } from '../../../support/amqp-target.ts';
import {
  type AmqpClient,
  type ClientChannel,
  type ConnectOptions,
  type Delivery,
  type Publish,
  ReplyError,
  type ReturnedMessage,
} from '../client-adapter.ts';
import { messageFromAmqplib, publishToAmqplib } from './amqplib-headers.ts';

export const AMQPLIB_CANNOT = {
  transactions: 'amqplib has none',
  openRefusals: 'amqplib does not tell the code',
};
/** Otherwise small writes wait for the acknowledgment of those before, which the other side holds back for 40 ms. */
export const SOCKET = { noDelay: true };
export const RECOVERY = { initialDelay: 20, maxDelay: 100 };

export function amqplibUrl({ host, port }: AmqpTarget, options: ConnectOptions = {}): string {
  const { user = 'guest', password = 'guest', virtualHost = '/' } = options;
  return `amqp://${user}:${password}@${host}:${port}/${encodeURIComponent(virtualHost)}`;
}

/** Of whatever amqplib throws; anything but the broker's word stays what it is. */
export function toReplyError(error: unknown): unknown {
  const { code, message } = error as { code?: unknown; message: string };
  // A handshake that is refused is told in the text alone.
  const told = typeof code === 'number' ? code : Number(/\b(\d{3}) \([A-Z-]+\)/.exec(message)?.[1]);
  return told >= 300 ? new ReplyError(told, message) : error;
}

async function translated<T>(call: PromiseLike<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw toReplyError(error);
  }
}

class AmqplibChannel implements ClientChannel {
  readonly deliveries: Delivery[] = [];
  readonly returns: ReturnedMessage[] = [];
  readonly cancelled: string[] = [];
  readonly closed: Promise<ReplyError>;
  readonly #channel: Channel | ConfirmChannel;
  readonly #confirms: boolean;

  constructor(channel: Channel | ConfirmChannel, confirms: boolean) {
    this.#channel = channel;
    this.#confirms = confirms;
    this.closed = new Promise((resolve) =>
      channel.on('error', (error: Error) => resolve(toReplyError(error) as ReplyError)),
    );
    channel.on('return', (message: Message) => this.returns.push(messageFromAmqplib(message)));
  }

  declareQueue(queue: string, options = {}) {
    return translated(this.#channel.assertQueue(queue, options));
  }

  checkQueue(queue: string) {
    return translated(this.#channel.checkQueue(queue));
  }

  async deleteQueue(queue: string, options = {}) {
    return (await translated(this.#channel.deleteQueue(queue, options))).messageCount;
  }

  async purgeQueue(queue: string) {
    return (await translated(this.#channel.purgeQueue(queue))).messageCount;
  }

  async bindQueue(queue: string, exchange: string, routingKey: string, bindingArguments = {}) {
    await translated(this.#channel.bindQueue(queue, exchange, routingKey, bindingArguments));
  }

  async unbindQueue(queue: string, exchange: string, routingKey: string) {
    await translated(this.#channel.unbindQueue(queue, exchange, routingKey));
  }

  async declareExchange(exchange: string, type: string, options = {}) {
    await translated(this.#channel.assertExchange(exchange, type, options));
  }

  async checkExchange(exchange: string) {
    await translated(this.#channel.checkExchange(exchange));
  }

  async deleteExchange(exchange: string) {
    await translated(this.#channel.deleteExchange(exchange));
  }

  async bindExchange(destination: string, source: string, routingKey: string) {
    await translated(this.#channel.bindExchange(destination, source, routingKey));
  }

  publish(message: Publish): Promise<'confirmed' | 'refused'> {
    return this.#send(message, publishToAmqplib(message));
  }

  async #send({ exchange = '', routingKey, body }: Publish, options: object): Promise<'confirmed' | 'refused'> {
    if (!this.#confirms) {
      this.#channel.publish(exchange, routingKey, body, options);
      return 'confirmed';
    }
    return new Promise((resolve) =>
      (this.#channel as ConfirmChannel).publish(exchange, routingKey, body, options, (error) =>
        resolve(error === null ? 'confirmed' : 'refused'),
      ),
    );
  }

  async get(queue: string, { noAck }: { noAck: boolean }) {
    const message = await translated(this.#channel.get(queue, { noAck }));
    return message === false ? undefined : messageFromAmqplib(message);
  }

  async forward(from: string, to: string) {
    const message = await this.#channel.get(from, { noAck: true });
    if (message === false) throw new Error(`nothing in ${from}`);
    await this.#send({ routingKey: to, body: message.content }, message.properties);
  }

  async prefetch(count: number, { global = false } = {}) {
    await translated(this.#channel.prefetch(count, global));
  }

  async consume(queue: string, options = {}) {
    let tag = '';
    const onMessage = (message: ConsumeMessage | null): void => {
      if (message === null) this.cancelled.push(tag);
      else this.deliveries.push(messageFromAmqplib(message));
    };
    tag = (await translated(this.#channel.consume(queue, onMessage, options))).consumerTag;
    return tag;
  }

  async cancel(consumerTag: string) {
    await translated(this.#channel.cancel(consumerTag));
  }

  async ack(deliveryTag: number, { multiple = false } = {}) {
    this.#channel.ack(settled(deliveryTag), multiple);
  }

  async nack(deliveryTag: number, { multiple = false, requeue }: { multiple?: boolean; requeue: boolean }) {
    this.#channel.nack(settled(deliveryTag), multiple, requeue);
  }

  async reject(deliveryTag: number, { requeue }: { requeue: boolean }) {
    this.#channel.reject(settled(deliveryTag), requeue);
  }

  async recover() {
    await translated(this.#channel.recover());
  }

  selectTransactions = noTransactions;
  commit = noTransactions;
  rollback = noTransactions;

  close() {
    return translated(this.#channel.close());
  }
}

async function noTransactions(): Promise<void> {
  throw new Error(AMQPLIB_CANNOT.transactions);
}

/** Of a message amqplib uses nothing but the tag to settle it. */
export function settled(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as Message;
}

export const amqplibPromises: AmqpClient = {
  cannot: AMQPLIB_CANNOT,

  async connect(target, options) {
    const connection = await translated(amqp.connect(amqplibUrl(target, options), SOCKET));
    connection.on('error', () => {});
    return {
      async openChannel({ confirms = false } = {}) {
        const channel = await (confirms ? connection.createConfirmChannel() : connection.createChannel());
        return new AmqplibChannel(channel, confirms);
      },
      close: () => connection.close(),
    };
  },

  async survive(target, queue) {
    const bodies: string[] = [];
    const connection = await amqp.connect(amqplibUrl(target), {
      ...SOCKET,
      recovery: {
        ...RECOVERY,
        async setup(model: ChannelModel) {
          const channel = await model.createChannel();
          await channel.assertQueue(queue);
          await channel.consume(queue, (message) => {
            if (message === null) return;
            bodies.push(message.content.toString());
            channel.ack(message);
          });
        },
      },
    });
    connection.on('error', () => {});
    return {
      bodies,
      async publish(body) {
        const channel = await connection.createConfirmChannel();
        channel.sendToQueue(queue, Buffer.from(body), { persistent: true });
        await channel.waitForConfirms();
        await channel.close();
      },
      close: () => connection.close(),
    };
  },
};

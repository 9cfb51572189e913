/** amqplib's interface of callbacks. */
import amqp, { type Channel, type ConfirmChannel, type Connection, type Message } from 'amqplib/callback_api';
import type { AmqpClient, ClientChannel, Delivery, Publish, ReplyError, ReturnedMessage } from '../client-adapter.ts';
import { messageFromAmqplib, publishToAmqplib } from './amqplib-headers.ts';
import { AMQPLIB_CANNOT, amqplibUrl, RECOVERY, SOCKET, settled, toReplyError } from './amqplib-promises.ts';

/** What a call gives to its callback. */
function called<T>(call: (callback: (error: unknown, result: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) =>
    call((error, result) => (error ? reject(toReplyError(error)) : resolve(result))),
  );
}

class CallbackChannel implements ClientChannel {
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
    return called<{ queue: string; messageCount: number; consumerCount: number }>((done) =>
      this.#channel.assertQueue(queue, options, done),
    );
  }

  checkQueue(queue: string) {
    return called<{ queue: string; messageCount: number; consumerCount: number }>((done) =>
      this.#channel.checkQueue(queue, done),
    );
  }

  async deleteQueue(queue: string, options = {}) {
    const deleted = await called<{ messageCount: number }>((done) => this.#channel.deleteQueue(queue, options, done));
    return deleted.messageCount;
  }

  async purgeQueue(queue: string) {
    return (await called<{ messageCount: number }>((done) => this.#channel.purgeQueue(queue, done))).messageCount;
  }

  async bindQueue(queue: string, exchange: string, routingKey: string, bindingArguments = {}) {
    await called((done) => this.#channel.bindQueue(queue, exchange, routingKey, bindingArguments, done));
  }

  async unbindQueue(queue: string, exchange: string, routingKey: string) {
    await called((done) => this.#channel.unbindQueue(queue, exchange, routingKey, {}, done));
  }

  async declareExchange(exchange: string, type: string, options = {}) {
    await called((done) => this.#channel.assertExchange(exchange, type, options, done));
  }

  async checkExchange(exchange: string) {
    await called((done) => this.#channel.checkExchange(exchange, done));
  }

  async deleteExchange(exchange: string) {
    await called((done) => this.#channel.deleteExchange(exchange, {}, done));
  }

  async bindExchange(destination: string, source: string, routingKey: string) {
    await called((done) => this.#channel.bindExchange(destination, source, routingKey, {}, done));
  }

  publish(message: Publish): Promise<'confirmed' | 'refused'> {
    return this.#send(message, publishToAmqplib(message));
  }

  async #send({ exchange = '', routingKey, body }: Publish, options: object): Promise<'confirmed' | 'refused'> {
    if (!this.#confirms) {
      this.#channel.publish(exchange, routingKey, body, options);
      return 'confirmed';
    }
    const channel = this.#channel as ConfirmChannel;
    const sent = called((done) => channel.publish(exchange, routingKey, body, options, done));
    return sent.then(
      () => 'confirmed',
      () => 'refused',
    );
  }

  async get(queue: string, { noAck }: { noAck: boolean }) {
    const message = await called<Message | false>((done) => this.#channel.get(queue, { noAck }, done));
    return message === false ? undefined : messageFromAmqplib<Delivery>(message);
  }

  async forward(from: string, to: string) {
    const message = await called<Message | false>((done) => this.#channel.get(from, { noAck: true }, done));
    if (message === false) throw new Error(`nothing in ${from}`);
    await this.#send({ routingKey: to, body: message.content }, message.properties);
  }

  /** The interface has no answer to wait for; the next call's comes behind it. */
  async prefetch(count: number, { global = false } = {}) {
    this.#channel.prefetch(count, global);
  }

  async consume(queue: string, options = {}) {
    let tag = '';
    const onMessage = (message: Message | null): void => {
      if (message === null) this.cancelled.push(tag);
      else this.deliveries.push(messageFromAmqplib(message));
    };
    const reply = called<{ consumerTag: string }>((done) => this.#channel.consume(queue, onMessage, options, done));
    tag = (await reply).consumerTag;
    return tag;
  }

  async cancel(consumerTag: string) {
    await called((done) => this.#channel.cancel(consumerTag, done));
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
    await called((done) => this.#channel.recover((error) => done(error, undefined)));
  }

  selectTransactions = noTransactions;
  commit = noTransactions;
  rollback = noTransactions;

  async close() {
    await called((done) => this.#channel.close((error) => done(error, undefined)));
  }
}

async function noTransactions(): Promise<void> {
  throw new Error(AMQPLIB_CANNOT.transactions);
}

export const amqplibCallbacks: AmqpClient = {
  cannot: AMQPLIB_CANNOT,

  async connect(target, options) {
    const connection = await called<Connection>((done) => amqp.connect(amqplibUrl(target, options), SOCKET, done));
    connection.on('error', () => {});
    return {
      async openChannel({ confirms = false } = {}) {
        const channel = await called<Channel | ConfirmChannel>((done) =>
          confirms ? connection.createConfirmChannel(done) : connection.createChannel(done),
        );
        return new CallbackChannel(channel, confirms);
      },
      close: () => called((done) => connection.close((error) => done(error, undefined))),
    };
  },

  async survive(target, queue) {
    const bodies: string[] = [];
    const setUp = (model: Connection, done: (error?: Error) => void): void => {
      model.createChannel((error, channel) => {
        if (error) return done(error);
        channel.assertQueue(queue);
        const onMessage = (message: Message | null): void => {
          if (message === null) return;
          bodies.push(message.content.toString());
          channel.ack(message);
        };
        channel.consume(queue, onMessage, {}, () => done());
      });
    };
    const recovery = { ...RECOVERY, setup: setUp };
    const connection = amqp.connect(amqplibUrl(target), { ...SOCKET, recovery });
    connection.on('error', () => {});
    await called((done) => connection.waitForConnect(done));
    return {
      bodies,
      async publish(body) {
        const channel = await called<ConfirmChannel>((done) => connection.createConfirmChannel(done));
        await called((done) => channel.sendToQueue(queue, Buffer.from(body), { persistent: true }, done));
        await called((done) => channel.close((error) => done(error, undefined)));
      },
      close: () => called((done) => connection.close((error) => done(error, undefined))),
    };
  },
};

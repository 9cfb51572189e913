/**
 * What the methods of one channel mean to the queue service: exchange.*, queue.*, basic.*, confirm.* and tx.*. Opening, closing and the
 * order of frames are the connection's business. Errors are thrown, or reject the promise; the connection closes the channel or itself
 * for them.
 *
 * Where RabbitMQ says more than AMQP 0-9-1, this follows RabbitMQ (rabbit_channel.erl).
 */
import type { BurrowError } from '../../../src/errors/burrow-error.ts';
import { NO_FIELDS } from '../../../src/messages/field-value.ts';
import { editProperties, propertyPosition, textProperty } from '../../../src/messages/message-properties.ts';
import { EXPIRY_MS_MAX } from '../../definitions/queue-arguments.ts';
import type { QueueSettings } from '../../definitions/queue-settings.ts';
import type { MessageView, PublishedMessage } from '../../queues/message-batch.ts';
import type { QueueConsumer } from '../../queues/queue-consumer.ts';
import type { DeclaredQueue, QueueChannelSink, QueueSession, QueueSessionChannel } from '../../queues/queue-service.ts';
import type { Content } from './content-assembly.ts';
import type { Channel } from './handlers.ts';
import type { MethodArguments, MethodName } from './methods.ts';
import { AmqpException, REPLY_CODES } from './reply-codes.ts';
import { Transaction } from './transaction.ts';

export interface ChannelCommandsOptions {
  /** The channel of the connection. */
  readonly wire: Channel;
  readonly session: QueueSession;
  readonly newConsumerTag: () => string;
  /** Of publishes in one transaction. */
  readonly transactionBytesMax: number;
}

const REPLY_TO = 'amq.rabbitmq.reply-to';

/** How publishes are answered. */
type Mode = 'none' | 'confirm' | 'transaction';

export class ChannelCommands implements QueueChannelSink {
  readonly #options: ChannelCommandsOptions;
  readonly #queues: QueueSessionChannel;
  /** The queue that this channel declared last: what an empty name stands for (AMQP 0-9-1, queue.bind: "queue"). */
  #lastQueue = '';
  /** The queue for direct replies; undefined until somebody consumes them. */
  #replyQueue: string | undefined;
  #replyConsumer: string | undefined;
  #mode: Mode = 'none';
  #transaction: Transaction | undefined;

  constructor(options: ChannelCommandsOptions) {
    this.#options = options;
    this.#queues = options.session.openChannel(this);
  }

  /** The client takes deliveries again. */
  onWritable(): void {
    this.#queues.onWritable();
  }

  close(): void {
    this.#queues.close();
  }

  // What the queue service tells

  get isWritable(): boolean {
    return this.#options.wire.isWritable;
  }

  deliver(consumer: QueueConsumer, deliveryTag: number, returns: number, view: MessageView): void {
    this.#options.wire.deliver(
      consumer.tag,
      deliveryTag,
      returns > 0,
      returns === 0 || !countsReturns(consumer.queue.settings) ? view : withDeliveryCount(view, returns),
    );
  }

  onCancelled(consumer: QueueConsumer): void {
    const { wire } = this.#options;
    if (!wire.connection.capabilities.has('consumer_cancel_notify')) return;
    wire.send('basic.cancel', { consumerTag: consumer.tag, noWait: true });
  }

  onConfirmed(number: number, multiple: boolean): void {
    if (this.#transaction === undefined) this.#options.wire.ack(number, multiple);
    else this.#transaction.onConfirmed(number, multiple);
  }

  onRefused(number: number): void {
    if (this.#transaction === undefined) this.#options.wire.nack(number, false);
    else this.#transaction.onRefused(number);
  }

  onReturned({ exchange, routingKey, properties, body }: PublishedMessage): void {
    const args = { replyCode: REPLY_CODES.NO_ROUTE, replyText: 'NO_ROUTE', exchange, routingKey };
    const message = { exchange, routingKey, properties: Buffer.from(properties), body: Buffer.concat(body) };
    this.#options.wire.sendContent('basic.return', args, message);
  }

  onClosed(error: BurrowError): void {
    this.#options.wire.fail(error);
  }

  // What the client asks. With a promise, the channel's next methods wait for it.

  /** A message: basic.publish and its content, which is good during the call only. Per message. */
  publish(args: MethodArguments<'basic.publish'>, content: Content): void | Promise<void> {
    if (args.immediate) throw new AmqpException('NOT_IMPLEMENTED', 'immediate=true');
    const { exchange, routingKey, mandatory } = args;
    const properties = this.#checkedProperties(content.properties);
    const message = { exchange, routingKey, properties, body: content.body };
    if (this.#transaction !== undefined) this.#transaction.addPublish(message, mandatory);
    else this.#queues.publish(message, { mandatory });
    // The client is slowed down by not being read.
    if (this.#queues.isCongested) return this.#queues.uncongested();
  }

  /** Checked, and with the real address for direct replies. Mostly the very bytes. */
  #checkedProperties(bytes: Buffer): Uint8Array {
    if (bytes.length <= 2) return bytes;
    const end = bytes.length;
    if (propertyPosition(bytes, 0, end, 'expiration') !== -1)
      checkExpiration(textProperty(bytes, 0, end, 'expiration')!);
    if (propertyPosition(bytes, 0, end, 'userId') !== -1) this.#checkUser(textProperty(bytes, 0, end, 'userId')!);
    if (textProperty(bytes, 0, end, 'replyTo') !== REPLY_TO) return bytes;
    if (this.#replyQueue === undefined) {
      throw new AmqpException('PRECONDITION_FAILED', 'fast reply consumer does not exist');
    }
    return editProperties(bytes, { set: { replyTo: this.#replyQueue } });
  }

  #checkUser(userId: string): void {
    if (userId === this.#options.wire.connection.user) return;
    throw new AmqpException(
      'PRECONDITION_FAILED',
      `user_id property set to '${userId}' but authenticated user was '${this.#options.wire.connection.user}'`,
    );
  }

  // Exchanges

  async declareExchange(args: MethodArguments<'exchange.declare'>): Promise<void> {
    const { session } = this.#options;
    const { type, passive, durable, autoDelete, internal, noWait } = args;
    const exchange = withoutLineEnds(args.exchange);
    if (passive) session.checkExchange(exchange);
    else {
      await session.declareExchange({
        name: exchange,
        kind: type,
        durable,
        autoDelete,
        internal,
        arguments: args.arguments,
      });
    }
    if (!noWait) this.#send('exchange.declare-ok', {});
  }

  async deleteExchange({ exchange, ifUnused, noWait }: MethodArguments<'exchange.delete'>): Promise<void> {
    await this.#options.session.deleteExchange(withoutLineEnds(exchange), { ifUnused });
    if (!noWait) this.#send('exchange.delete-ok', {});
  }

  async bindExchange(args: MethodArguments<'exchange.bind'>, what: 'bind' | 'unbind'): Promise<void> {
    const { destination, source, routingKey, noWait } = args;
    await this.#options.session[what]({
      source: withoutLineEnds(source),
      destinationKind: 'exchange',
      destination: withoutLineEnds(destination),
      bindingKey: routingKey,
      arguments: args.arguments,
    });
    if (!noWait) this.#send(`exchange.${what}-ok`, {});
  }

  // Queues

  async declareQueue(args: MethodArguments<'queue.declare'>): Promise<void> {
    const { session } = this.#options;
    const { passive, durable, exclusive, autoDelete, noWait } = args;
    const queue = withoutLineEnds(args.queue);
    let declared: DeclaredQueue;
    if (queue.startsWith(REPLY_TO)) declared = this.#checkReplies(queue);
    else if (passive) declared = session.checkQueue(queue);
    else
      declared = await session.declareQueue({ name: queue, durable, exclusive, autoDelete, arguments: args.arguments });
    this.#lastQueue = declared.name;
    const { name, messageCount, consumerCount } = declared;
    if (!noWait) this.#send('queue.declare-ok', { queue: name, messageCount, consumerCount });
  }

  /** RabbitMQ's way for whoever is to answer to see whether somebody still waits; the pseudo-queue itself is always there. */
  #checkReplies(queue: string): DeclaredQueue {
    if (queue !== REPLY_TO) this.#options.session.checkReplyQueue(queue);
    return { name: queue, messageCount: 0, consumerCount: 1 };
  }

  async bindQueue(args: MethodArguments<'queue.bind'>): Promise<void> {
    const { queue, exchange, routingKey, noWait } = args;
    const name = this.#queueName(withoutLineEnds(queue));
    await this.#options.session.bind({
      source: withoutLineEnds(exchange),
      destinationKind: 'queue',
      destination: name,
      // AMQP 0-9-1, queue.bind: "if both are empty the name of the queue is the routing key".
      bindingKey: queue === '' && routingKey === '' ? name : routingKey,
      arguments: args.arguments,
    });
    if (!noWait) this.#send('queue.bind-ok', {});
  }

  async unbindQueue(args: MethodArguments<'queue.unbind'>): Promise<void> {
    const { queue, exchange, routingKey } = args;
    const name = this.#queueName(withoutLineEnds(queue));
    await this.#options.session.unbind({
      source: withoutLineEnds(exchange),
      destinationKind: 'queue',
      destination: name,
      bindingKey: queue === '' && routingKey === '' ? name : routingKey,
      arguments: args.arguments,
    });
    this.#send('queue.unbind-ok', {});
  }

  async purgeQueue({ queue, noWait }: MethodArguments<'queue.purge'>): Promise<void> {
    const messageCount = await this.#options.session.purgeQueue(this.#queueName(queue));
    if (!noWait) this.#send('queue.purge-ok', { messageCount });
  }

  async deleteQueue({ queue, ifUnused, ifEmpty, noWait }: MethodArguments<'queue.delete'>): Promise<void> {
    const name = this.#queueName(withoutLineEnds(queue));
    const messageCount = await this.#options.session.deleteQueue(name, { ifUnused, ifEmpty });
    if (!noWait) this.#send('queue.delete-ok', { messageCount });
  }

  #queueName(name: string): string {
    if (name !== '') return name;
    if (this.#lastQueue !== '') return this.#lastQueue;
    throw new AmqpException('NOT_FOUND', 'no previously declared queue');
  }

  // Consuming

  qos({ prefetchSize, prefetchCount, global }: MethodArguments<'basic.qos'>): void {
    if (prefetchSize !== 0) throw new AmqpException('NOT_IMPLEMENTED', `prefetch_size!=0 (${prefetchSize})`);
    // First, since deliveries may follow.
    this.#send('basic.qos-ok', {});
    this.#queues.setPrefetch(prefetchCount, { global });
  }

  consume(args: MethodArguments<'basic.consume'>): void | Promise<void> {
    if (args.queue === REPLY_TO) return this.#consumeReplies(args);
    const { noAck, exclusive, noWait } = args;
    const tag = args.consumerTag === '' ? this.#options.newConsumerTag() : args.consumerTag;
    const queue = this.#queueName(args.queue);
    this.#queues.consume(queue, { tag, noAck, exclusive, arguments: args.arguments }, () => {
      if (!noWait) this.#send('basic.consume-ok', { consumerTag: tag });
    });
  }

  /** RabbitMQ's direct reply-to. Here a queue of this connection, in memory, whose name replaces the pseudo-queue's in messages. */
  async #consumeReplies({ consumerTag, noAck, noWait }: MethodArguments<'basic.consume'>): Promise<void> {
    if (!noAck) throw new AmqpException('PRECONDITION_FAILED', 'reply consumer cannot acknowledge');
    if (this.#replyQueue !== undefined) throw new AmqpException('PRECONDITION_FAILED', 'reply consumer already set');
    const { session, newConsumerTag } = this.#options;
    const queue = await session.declareReplyQueue();
    const tag = consumerTag === '' ? newConsumerTag() : consumerTag;
    this.#queues.consume(queue, { tag, noAck, exclusive: false, arguments: NO_FIELDS }, () => {
      if (!noWait) this.#send('basic.consume-ok', { consumerTag: tag });
    });
    this.#replyQueue = queue;
    this.#replyConsumer = tag;
  }

  cancel({ consumerTag, noWait }: MethodArguments<'basic.cancel'>): void {
    this.#queues.cancel(consumerTag);
    if (consumerTag === this.#replyConsumer) {
      this.#replyQueue = undefined;
      this.#replyConsumer = undefined;
    }
    if (!noWait) this.#send('basic.cancel-ok', { consumerTag });
  }

  async get({ queue, noAck }: MethodArguments<'basic.get'>): Promise<void> {
    const { wire } = this.#options;
    const name = this.#queueName(queue);
    const found = await this.#queues.get(name, { noAck }, (deliveryTag, returns, left, view, settings) => {
      const message = returns === 0 || !countsReturns(settings) ? view : withDeliveryCount(view, returns);
      const { exchange, routingKey } = view;
      const args = { deliveryTag, redelivered: returns > 0, exchange, routingKey, messageCount: left };
      wire.sendContent('basic.get-ok', args, message);
    });
    if (!found) this.#send('basic.get-empty', {});
  }

  acknowledge({ deliveryTag, multiple }: MethodArguments<'basic.ack'>): void {
    if (this.#transaction === undefined) this.#queues.acknowledge(deliveryTag, multiple);
    else this.#transaction.addSettlement({ deliveryTag, multiple, requeue: undefined });
  }

  reject({ deliveryTag, multiple, requeue }: MethodArguments<'basic.nack'>): void {
    if (this.#transaction === undefined) this.#queues.reject(deliveryTag, { multiple, requeue });
    else this.#transaction.addSettlement({ deliveryTag, multiple, requeue });
  }

  recover(name: 'basic.recover' | 'basic.recover-async', { requeue }: MethodArguments<'basic.recover'>): void {
    if (!requeue) throw new AmqpException('NOT_IMPLEMENTED', 'recover with requeue=false');
    if (name === 'basic.recover') this.#send('basic.recover-ok', {});
    this.#queues.recover();
  }

  // Confirms and transactions

  selectConfirms({ noWait }: MethodArguments<'confirm.select'>): void {
    if (this.#mode === 'transaction') {
      throw new AmqpException('PRECONDITION_FAILED', 'cannot switch from tx to confirm mode');
    }
    this.#mode = 'confirm';
    this.#queues.confirmPublishes();
    if (!noWait) this.#send('confirm.select-ok', {});
  }

  selectTransactions(): void {
    if (this.#mode === 'confirm') {
      throw new AmqpException('PRECONDITION_FAILED', 'cannot switch from confirm to tx mode');
    }
    if (this.#mode === 'none') {
      this.#mode = 'transaction';
      this.#queues.confirmPublishes();
      this.#transaction = new Transaction(this.#queues, this.#options.transactionBytesMax);
    }
    this.#send('tx.select-ok', {});
  }

  async commit(): Promise<void> {
    await this.#requireTransaction().commit();
    this.#send('tx.commit-ok', {});
  }

  rollback(): void {
    this.#requireTransaction().rollback();
    this.#send('tx.rollback-ok', {});
  }

  #requireTransaction(): Transaction {
    if (this.#transaction !== undefined) return this.#transaction;
    throw new AmqpException('PRECONDITION_FAILED', 'channel is not transactional');
  }

  #send<N extends MethodName>(name: N, args: MethodArguments<N>): void {
    this.#options.wire.send(name, args);
  }
}

/** Milliseconds, at most what RabbitMQ takes (rabbit_misc:check_expiry; a plus is fine for Erlang's string:to_integer). */
function checkExpiration(expiration: string): void {
  if (/^\+?[0-9]{1,50}$/.test(expiration) && Number(expiration) <= EXPIRY_MS_MAX) return;
  throw new AmqpException('PRECONDITION_FAILED', `invalid expiration '${expiration}'`);
}

/** As RabbitMQ takes names (rabbit_channel:strip_cr_lf). */
function withoutLineEnds(name: string): string {
  return name.replace(/[\r\n]/g, '');
}

/** Whether deliveries tell how often their message came back: where that is limited, as in RabbitMQ's quorum queues. */
function countsReturns({ queueType, deliveryLimit }: QueueSettings): boolean {
  return queueType === 'quorum' || deliveryLimit !== undefined;
}

/** With the header of RabbitMQ's quorum queues, a 64-bit integer as there. Per returned message. */
function withDeliveryCount(view: MessageView, returns: number) {
  const properties = editProperties(view.properties, { headers: new Map([['x-delivery-count', BigInt(returns)]]) });
  return { exchange: view.exchange, routingKey: view.routingKey, properties, body: view.body };
}

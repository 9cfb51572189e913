/** What stands behind the AMQP protocol here: sessions of the queue service, and a handler for each method. */
import type { Random } from '../../ports/random.ts';
import type { QueueService, QueueSession } from '../../queues/queue-service.ts';
import type { Identity } from '../../security/access-control.ts';
import { ChannelCommands } from './channel-commands.ts';
import type { AmqpBackend, BackendSession, Channel, ClientConnection, HandlerTables } from './handlers.ts';

export interface QueueBackendOptions {
  /** As the one who has logged in may use them. */
  readonly queuesFor: (identity: Identity) => QueueService;
  readonly random: Random;
  /** Publishes that wait in one transaction. */
  readonly transactionBytesMax: number;
}

const HANDLERS: HandlerTables<ChannelCommands> = {
  exchange: {
    declare: (channel, args) => channel.declareExchange(args),
    delete: (channel, args) => channel.deleteExchange(args),
    bind: (channel, args) => channel.bindExchange(args, 'bind'),
    unbind: (channel, args) => channel.bindExchange(args, 'unbind'),
  },
  queue: {
    declare: (channel, args) => channel.declareQueue(args),
    bind: (channel, args) => channel.bindQueue(args),
    unbind: (channel, args) => channel.unbindQueue(args),
    purge: (channel, args) => channel.purgeQueue(args),
    delete: (channel, args) => channel.deleteQueue(args),
  },
  basic: {
    qos: (channel, args) => channel.qos(args),
    consume: (channel, args) => channel.consume(args),
    cancel: (channel, args) => channel.cancel(args),
    publish: (channel, args, content) => channel.publish(args, content),
    get: (channel, args) => channel.get(args),
    ack: (channel, args) => channel.acknowledge(args),
    reject: (channel, args) => channel.reject({ ...args, multiple: false }),
    nack: (channel, args) => channel.reject(args),
    recover: (channel, args) => channel.recover('basic.recover', args),
    'recover-async': (channel, args) => channel.recover('basic.recover-async', args),
  },
  confirm: { select: (channel, args) => channel.selectConfirms(args) },
  tx: {
    select: (channel) => channel.selectTransactions(),
    commit: (channel) => channel.commit(),
    rollback: (channel) => channel.rollback(),
  },
};

const TAG_BYTES = 16;

export class QueueBackend implements AmqpBackend<ChannelCommands> {
  readonly handlers = HANDLERS;
  readonly #options: QueueBackendOptions;

  constructor(options: QueueBackendOptions) {
    this.#options = options;
  }

  openSession(connection: ClientConnection): BackendSession<ChannelCommands> {
    const queues = this.#options.queuesFor(connection.identity);
    const session = queues.openSession(connection.virtualHost, (error) => connection.fail(error));
    return {
      openChannel: (wire) => this.#openChannel(session, wire),
      onWritable: (channel) => channel.onWritable(),
      closeChannel: (channel) => channel.close(),
      close: () => void session.close(),
    };
  }

  #openChannel(session: QueueSession, wire: Channel): ChannelCommands {
    const { random, transactionBytesMax } = this.#options;
    const newConsumerTag = (): string => `amq.ctag-${random.bytes(TAG_BYTES).toString('base64url')}`;
    return new ChannelCommands({ wire, session, newConsumerTag, transactionBytesMax });
  }
}

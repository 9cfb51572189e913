/** A backend that keeps what it is asked, answers the simplest thing, and can be told to wait or to fail. */
import type { Authenticator } from '../../../broker/listeners/amqp/authentication.ts';
import type { Content } from '../../../broker/listeners/amqp/content-assembly.ts';
import type {
  AmqpBackend,
  BackendSession,
  Channel,
  ClientConnection,
  HandlerTables,
} from '../../../broker/listeners/amqp/handlers.ts';
import { AmqpException } from '../../../broker/listeners/amqp/reply-codes.ts';

export interface FakeChannel {
  readonly channel: Channel;
  isConfirming: boolean;
  publishes: number;
  writable: number;
}

const NOTHING = {};

/** Lets in `guest` with password `guest`, as a broker without users does. */
export const guestAuthenticator: Authenticator = {
  withPassword: (user, password) =>
    user === 'guest' && password === 'guest' ? { name: 'guest', incarnation: 0 } : undefined,
  withCertificate: () => undefined,
};

export class FakeBackend implements AmqpBackend<FakeChannel> {
  /** What happened, in order, as short texts. */
  readonly events: string[] = [];
  readonly messages: Array<{ routingKey: string; properties: Buffer; body: Buffer }> = [];
  readonly channels: FakeChannel[] = [];
  readonly connections: ClientConnection[] = [];
  virtualHosts = new Set(['/']);
  /** Called before a method is handled; what it throws or returns is thrown or awaited. */
  intercept: (method: string, channel: FakeChannel) => void | Promise<void> = () => {};

  openSession(connection: ClientConnection): BackendSession<FakeChannel> {
    const { virtualHost } = connection;
    if (!this.virtualHosts.has(virtualHost)) {
      throw new AmqpException('NOT_ALLOWED', `vhost ${virtualHost} not found`);
    }
    this.connections.push(connection);
    this.events.push(`session ${connection.user} ${virtualHost}`);
    return {
      openChannel: (channel) => {
        const opened: FakeChannel = { channel, isConfirming: false, publishes: 0, writable: 0 };
        this.channels.push(opened);
        this.events.push(`open ${channel.number}`);
        return opened;
      },
      onWritable: (opened) => {
        opened.writable++;
      },
      closeChannel: ({ channel }) => this.events.push(`close ${channel.number}`),
      close: () => this.events.push('session closed'),
    };
  }

  /** Handles a method: notes it, intercepts, then answers. */
  #on(method: string, session: FakeChannel, answer: () => void): void | Promise<void> {
    this.events.push(`${method} ${session.channel.number}`);
    const waits = this.intercept(method, session);
    if (waits === undefined) answer();
    else return waits.then(answer);
  }

  #publish(session: FakeChannel, routingKey: string, { properties, body }: Content): void {
    this.messages.push({ routingKey, properties: Buffer.from(properties), body: Buffer.concat(body) });
    session.publishes++;
    if (session.isConfirming) session.channel.ack(session.publishes, false);
  }

  readonly handlers: HandlerTables<FakeChannel> = {
    exchange: {
      declare: (s, { noWait }) =>
        this.#on('exchange.declare', s, () => {
          if (!noWait) s.channel.send('exchange.declare-ok', NOTHING);
        }),
      delete: (s) => this.#on('exchange.delete', s, () => s.channel.send('exchange.delete-ok', NOTHING)),
      bind: (s) => this.#on('exchange.bind', s, () => s.channel.send('exchange.bind-ok', NOTHING)),
      unbind: (s) => this.#on('exchange.unbind', s, () => s.channel.send('exchange.unbind-ok', NOTHING)),
    },
    queue: {
      declare: (s, { queue }) =>
        this.#on('queue.declare', s, () =>
          s.channel.send('queue.declare-ok', { queue, messageCount: this.messages.length, consumerCount: 0 }),
        ),
      bind: (s) => this.#on('queue.bind', s, () => s.channel.send('queue.bind-ok', NOTHING)),
      purge: (s) => this.#on('queue.purge', s, () => s.channel.send('queue.purge-ok', { messageCount: 0 })),
      delete: (s) => this.#on('queue.delete', s, () => s.channel.send('queue.delete-ok', { messageCount: 0 })),
      unbind: (s) => this.#on('queue.unbind', s, () => s.channel.send('queue.unbind-ok', NOTHING)),
    },
    basic: {
      qos: (s) => this.#on('basic.qos', s, () => s.channel.send('basic.qos-ok', NOTHING)),
      // Delivers all that was published so far.
      consume: (s, { consumerTag }) =>
        this.#on('basic.consume', s, () => {
          const tag = consumerTag === '' ? 'ctag' : consumerTag;
          s.channel.send('basic.consume-ok', { consumerTag: tag });
          this.messages.forEach((message, index) => {
            s.channel.deliver(tag, index + 1, false, { exchange: '', ...message });
          });
        }),
      cancel: (s, { consumerTag }) =>
        this.#on('basic.cancel', s, () => s.channel.send('basic.cancel-ok', { consumerTag })),
      publish: (s, { routingKey }, content) =>
        this.#on('basic.publish', s, () => this.#publish(s, routingKey, content)),
      get: (s) =>
        this.#on('basic.get', s, () => {
          const message = this.messages.shift();
          if (message === undefined) s.channel.send('basic.get-empty', NOTHING);
          else {
            const args = { deliveryTag: 1, redelivered: false, exchange: '', routingKey: message.routingKey };
            const messageCount = this.messages.length;
            s.channel.sendContent('basic.get-ok', { ...args, messageCount }, { exchange: '', ...message });
          }
        }),
      ack: (s) => this.#on('basic.ack', s, () => {}),
      reject: (s) => this.#on('basic.reject', s, () => {}),
      nack: (s) => this.#on('basic.nack', s, () => {}),
      'recover-async': (s) => this.#on('basic.recover-async', s, () => {}),
      recover: (s) => this.#on('basic.recover', s, () => s.channel.send('basic.recover-ok', NOTHING)),
    },
    confirm: {
      select: (s) =>
        this.#on('confirm.select', s, () => {
          s.isConfirming = true;
          s.channel.send('confirm.select-ok', NOTHING);
        }),
    },
    tx: {
      select: (s) => this.#on('tx.select', s, () => s.channel.send('tx.select-ok', NOTHING)),
      commit: (s) => this.#on('tx.commit', s, () => s.channel.send('tx.commit-ok', NOTHING)),
      rollback: (s) => this.#on('tx.rollback', s, () => s.channel.send('tx.rollback-ok', NOTHING)),
    },
  };
}

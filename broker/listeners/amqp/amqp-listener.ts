/**
 * Listens for AMQP 0-9-1 clients on TCP. Counts connections, and looks after deadlines and heartbeats with one timer for all of them.
 * The protocol is the business of `connection.ts`, what it is about that of the backend.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { type Authenticator, guestAuthenticator, MECHANISMS } from './authentication.ts';
import { AmqpConnection, type ConnectionHost } from './connection.ts';
import type { ConnectionSettings } from './connection-state.ts';
import { type AmqpBackend, type AnyHandler, handlersByMethod } from './handlers.ts';
import { type AmqpLimits, DEFAULT_AMQP_LIMITS, FRAME_BYTES_MAX_FLOOR } from './limits.ts';
import type { MethodName } from './methods.ts';
import { serverProperties } from './server-properties.ts';

export interface AmqpListenerOptions<S> {
  readonly backend: AmqpBackend<S>;
  /** Address to listen on, such as 127.0.0.1 or 0.0.0.0. */
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Name and version told to clients, such as `burrowmq/1.2.3`. */
  readonly software: string;
  readonly clusterId: string;
  /** By default only `guest` with password `guest`, from loopback. */
  readonly authenticator?: Authenticator;
  readonly limits?: Partial<AmqpLimits>;
}

export interface AmqpListener {
  readonly port: number;
  /** How many clients are connected. */
  readonly connections: number;
  /** Stops publishers, with a reason that they are told, or lets them go on. */
  setBlocked(reason: string | undefined): void;
  /** Accepts no more, says goodbye to all clients, then closes their connections. */
  close(): Promise<void>;
}

/** Well below half of the shortest heartbeat, a second. */
const CHECK_DEADLINES_EVERY_MS = 250;

/** Resolves when clients can connect; rejects if the address cannot be listened on. */
export async function startAmqpListener<S>(options: AmqpListenerOptions<S>): Promise<AmqpListener> {
  const listener = new TcpListener(options as unknown as AmqpListenerOptions<unknown>);
  await listener.listen();
  return listener;
}

class TcpListener implements AmqpListener, ConnectionHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: AmqpLimits;
  readonly settings: ConnectionSettings;
  readonly authenticator: Authenticator;
  readonly backend: AmqpBackend<unknown>;
  readonly handlers: ReadonlyMap<MethodName, AnyHandler<unknown>>;
  blockedReason: string | undefined;
  readonly #options: AmqpListenerOptions<unknown>;
  readonly #server: Server;
  readonly #connections = new Set<AmqpConnection>();
  readonly #connectionsByAddress = new Map<string, number>();
  #port = 0;
  #deadlines: Timer | undefined;
  #refused = 0;
  /** Deadline checks until refused connections are reported. */
  #checksUntilReport = 0;
  #closing: Promise<void> | undefined;

  constructor(options: AmqpListenerOptions<unknown>) {
    this.#options = options;
    this.clock = options.clock;
    this.logger = options.logger;
    this.limits = { ...DEFAULT_AMQP_LIMITS, ...options.limits };
    this.backend = options.backend;
    this.authenticator = options.authenticator ?? guestAuthenticator;
    this.handlers = handlersByMethod(options.backend.handlers);
    const { channelsMax, heartbeatSeconds } = this.limits;
    this.settings = {
      serverProperties: serverProperties(options.software, options.clusterId),
      mechanisms: [...MECHANISMS, ...(this.authenticator.external ? ['EXTERNAL'] : [])].join(' '),
      frameBytesMax: Math.max(this.limits.frameBytesMax, FRAME_BYTES_MAX_FLOOR),
      channelsMax,
      heartbeatSeconds,
    };
    this.#server = createServer({ noDelay: true }, (socket) => this.#onConnection(socket));
  }

  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => reject(cannotListen(host, port, error)));
      this.#server.listen({ host, port }, resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
    // The first listener is spent; later failures (out of file descriptors) concern one client that tries to connect.
    this.#server.on('error', (error) => this.logger.error({ err: error }, 'amqp listener cannot accept'));
    this.#watchDeadlines();
  }

  #watchDeadlines(): void {
    this.#deadlines = this.clock.schedule(CHECK_DEADLINES_EVERY_MS, () => {
      const nowMs = this.clock.monotonic();
      for (const connection of this.#connections) connection.checkDeadlines(nowMs);
      this.checkMemory();
      this.#reportRefused();
      this.#watchDeadlines();
    });
  }

  checkMemory(): void {
    let total = 0;
    for (const { bufferedBytes } of this.#connections) total += bufferedBytes;
    while (total > this.limits.bufferedBytesTotalMax) {
      let largest: AmqpConnection | undefined;
      for (const connection of this.#connections) {
        if (connection.bufferedBytes > (largest?.bufferedBytes ?? 0)) largest = connection;
      }
      if (largest === undefined) return;
      total -= largest.bufferedBytes;
      this.#connections.delete(largest);
      largest.shed();
    }
  }

  /** One line a second for all that were refused: a flood must not fill the log. */
  #reportRefused(): void {
    if (--this.#checksUntilReport > 0 || this.#refused === 0) return;
    this.#checksUntilReport = 1000 / CHECK_DEADLINES_EVERY_MS;
    const { connectionsMax, connectionsPerAddressMax } = this.limits;
    this.logger.warn({ refused: this.#refused, connectionsMax, connectionsPerAddressMax }, 'amqp connections refused');
    this.#refused = 0;
  }

  #onConnection(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const fromAddress = this.#connectionsByAddress.get(address) ?? 0;
    const { connectionsMax, connectionsPerAddressMax } = this.limits;
    if (this.#connections.size >= connectionsMax || fromAddress >= connectionsPerAddressMax) {
      this.#refused++;
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    this.#connectionsByAddress.set(address, fromAddress + 1);
    const connection = new AmqpConnection(socket, this);
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      const left = this.#connectionsByAddress.get(address)! - 1;
      if (left === 0) this.#connectionsByAddress.delete(address);
      else this.#connectionsByAddress.set(address, left);
    });
  }

  setBlocked(reason: string | undefined): void {
    this.blockedReason = reason;
    for (const connection of this.#connections) connection.setBlocked(reason);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#deadlines?.cancel();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.drain();
    const cut = this.clock.schedule(this.limits.closeTimeoutMs, () => {
      for (const connection of this.#connections) connection.destroy();
    });
    await closed;
    cut.cancel();
  }
}

function cannotListen(host: string, port: number, error: Error): BurrowError {
  return new BurrowError(
    'CONNECTION_FAILED',
    `The AMQP listener cannot listen on ${host}:${port}: ${error.message}. Choose another --amqp-port or stop what uses it.`,
    { cause: error, fields: { host, port } },
  );
}

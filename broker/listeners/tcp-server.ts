/**
 * What listeners on TCP have in common: accepts connections up to their limits, looks after their deadlines with one timer for all, and
 * closes the one that holds most memory when all together hold too much. The protocol is the business of the connections.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';

export interface TcpConnection {
  /** Memory that it holds, for what it has received and for what its client has not taken. */
  readonly bufferedBytes: number;
  checkDeadlines(nowMs: number): void;
  /** Closes it at once, since it holds too much. */
  shed(): void;
  /** Takes nothing more, and closes when what was taken is answered. */
  drain(): void;
  destroy(): void;
}

export interface TcpServerLimits {
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** Of all connections together. */
  readonly bufferedBytesTotalMax: number;
  /** How long `close()` waits for connections to end by themselves. */
  readonly closeTimeoutMs: number;
}

export interface TcpServerOptions<C extends TcpConnection> {
  /** For people: "Kafka". */
  readonly protocol: string;
  /** The option that chooses the port, for people. */
  readonly portOption: string;
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: TcpServerLimits;
  readonly checkDeadlinesEveryMs: number;
  readonly connect: (socket: Socket) => C;
}

/** Refused connections are reported together, at most this often. */
const REPORT_REFUSED_EVERY_MS = 1_000;

export class TcpServer<C extends TcpConnection> {
  readonly #options: TcpServerOptions<C>;
  readonly #server: Server;
  readonly #connections = new Set<C>();
  readonly #connectionsByAddress = new Map<string, number>();
  #port = 0;
  #deadlines: Timer | undefined;
  #refused = 0;
  #reportedMs = Number.NEGATIVE_INFINITY;
  #closing: Promise<void> | undefined;

  constructor(options: TcpServerOptions<C>) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (socket) => this.#onConnection(socket));
  }

  get port(): number {
    return this.#port;
  }

  get connections(): ReadonlySet<C> {
    return this.#connections;
  }

  /** Resolves when clients can connect; rejects with CONNECTION_FAILED if the address cannot be listened on. */
  async listen(): Promise<void> {
    const { host, port, logger, protocol } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => reject(this.#cannotListen(error)));
      this.#server.listen({ host, port }, resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
    // The first listener is spent; later failures (out of file descriptors) concern one client that tries to connect.
    this.#server.on('error', (error) => logger.error({ err: error, protocol }, 'a listener cannot accept'));
    this.#watchDeadlines();
  }

  #watchDeadlines(): void {
    const { clock, checkDeadlinesEveryMs } = this.#options;
    this.#deadlines = clock.schedule(checkDeadlinesEveryMs, () => {
      const nowMs = clock.monotonic();
      for (const connection of this.#connections) connection.checkDeadlines(nowMs);
      this.checkMemory();
      this.#reportRefused(nowMs);
      this.#watchDeadlines();
    });
  }

  /** Closes connections, those that hold most first, while all together hold too much. */
  checkMemory(): void {
    let total = 0;
    for (const { bufferedBytes } of this.#connections) total += bufferedBytes;
    while (total > this.#options.limits.bufferedBytesTotalMax) {
      let largest: C | undefined;
      for (const connection of this.#connections) {
        if (connection.bufferedBytes > (largest?.bufferedBytes ?? 0)) largest = connection;
      }
      if (largest === undefined) return;
      total -= largest.bufferedBytes;
      this.#connections.delete(largest);
      largest.shed();
    }
  }

  /** One line for all that were refused since the last: a flood must not fill the log. */
  #reportRefused(nowMs: number): void {
    if (this.#refused === 0 || nowMs - this.#reportedMs < REPORT_REFUSED_EVERY_MS) return;
    this.#reportedMs = nowMs;
    const { logger, protocol, limits } = this.#options;
    const { connectionsMax, connectionsPerAddressMax } = limits;
    const facts = { protocol, refused: this.#refused, connectionsMax, connectionsPerAddressMax };
    logger.warn(facts, 'connections refused');
    this.#refused = 0;
  }

  #onConnection(socket: Socket): void {
    const { limits, connect } = this.#options;
    const address = socket.remoteAddress ?? '';
    const fromAddress = this.#connectionsByAddress.get(address) ?? 0;
    if (this.#connections.size >= limits.connectionsMax || fromAddress >= limits.connectionsPerAddressMax) {
      this.#refused++;
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    this.#connectionsByAddress.set(address, fromAddress + 1);
    const connection = connect(socket);
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      const left = this.#connectionsByAddress.get(address)! - 1;
      if (left === 0) this.#connectionsByAddress.delete(address);
      else this.#connectionsByAddress.set(address, left);
    });
  }

  /** Accepts no more; resolves when all connections have ended, or were cut. A second call waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#deadlines?.cancel();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.drain();
    const cut = this.#options.clock.schedule(this.#options.limits.closeTimeoutMs, () => {
      for (const connection of this.#connections) connection.destroy();
    });
    await closed;
    cut.cancel();
  }

  #cannotListen(error: Error): BurrowError {
    const { protocol, portOption, host, port } = this.#options;
    return new BurrowError(
      'CONNECTION_FAILED',
      `The ${protocol} listener cannot listen on ${host}:${port}: ${error.message}. Choose another --${portOption} or stop what uses it.`,
      { cause: error, fields: { host, port } },
    );
  }
}

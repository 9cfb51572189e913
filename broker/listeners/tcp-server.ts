/**
 * What listeners on TCP have in common: accepts connections up to their limits, with or without TLS, looks after their deadlines with one
 * timer for all, and closes the one that holds most memory when all together hold too much. The protocol is the business of the connections.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock, Timer } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { SocketBudget } from './socket-budget.ts';
import { TlsAcceptor, type TlsSettings } from './tls-acceptor.ts';

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
  /** Of all listeners. Without it their number is not limited. */
  readonly sockets?: SocketBudget | undefined;
  /** With it every connection is one over TLS. */
  readonly tls?: (TlsSettings & { readonly handshakeTimeoutMs: number }) | undefined;
  readonly connect: (socket: Socket) => C;
}

/** Refused connections and failed handshakes are reported together, at most this often. */
const REPORT_EVERY_MS = 1_000;

export class TcpServer<C extends TcpConnection> {
  readonly #options: TcpServerOptions<C>;
  readonly #server: Server;
  readonly #connections = new Set<C>();
  readonly #connectionsByAddress = new Map<string, number>();
  /** Connections, and those that are still at their TLS handshake. */
  #socketsCount = 0;
  #port = 0;
  #deadlines: Timer | undefined;
  readonly #tls: TlsAcceptor | undefined;
  #refused = 0;
  /** Since all listeners together have as many sockets as they may. */
  #unaffordable = 0;
  #failedHandshakes = 0;
  #lastHandshakeError = '';
  #reportedMs = Number.NEGATIVE_INFINITY;
  #closing: Promise<void> | undefined;

  constructor(options: TcpServerOptions<C>) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (socket) => this.#onConnection(socket));
    const { tls } = options;
    if (tls === undefined) return;
    this.#tls = new TlsAcceptor({
      ...tls,
      onSecure: (socket) => this.#connect(socket),
      onFailed: (error) => {
        this.#failedHandshakes++;
        this.#lastHandshakeError = error.message;
      },
    });
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
      this.#tls?.checkDeadlines(nowMs);
      this.checkMemory();
      this.#report(nowMs);
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

  /** One line for all since the last: a flood must not fill the log. */
  #report(nowMs: number): void {
    const isQuiet = this.#refused + this.#unaffordable + this.#failedHandshakes === 0;
    if (isQuiet || nowMs - this.#reportedMs < REPORT_EVERY_MS) return;
    this.#reportedMs = nowMs;
    const { logger, protocol, limits, sockets } = this.#options;
    if (this.#refused > 0) {
      const { connectionsMax, connectionsPerAddressMax } = limits;
      const facts = { protocol, refused: this.#refused, connectionsMax, connectionsPerAddressMax };
      logger.warn(facts, 'connections refused');
    }
    if (this.#unaffordable > 0) {
      const facts = { protocol, refused: this.#unaffordable, socketsMax: sockets?.socketsMax };
      logger.error(facts, 'connections refused: too many open files; raise ulimit -n, or sockets-max');
    }
    if (this.#failedHandshakes > 0) {
      const facts = { protocol, failed: this.#failedHandshakes, last: this.#lastHandshakeError };
      logger.warn(facts, 'tls handshakes failed');
    }
    this.#refused = 0;
    this.#unaffordable = 0;
    this.#failedHandshakes = 0;
  }

  #onConnection(socket: Socket): void {
    const { limits, sockets, clock } = this.#options;
    const address = socket.remoteAddress ?? '';
    const fromAddress = this.#connectionsByAddress.get(address) ?? 0;
    if (this.#socketsCount >= limits.connectionsMax || fromAddress >= limits.connectionsPerAddressMax) {
      this.#refused++;
      refuse(socket);
      return;
    }
    if (sockets?.tryTake() === false) {
      this.#unaffordable++;
      refuse(socket);
      return;
    }
    this.#socketsCount++;
    this.#connectionsByAddress.set(address, fromAddress + 1);
    socket.once('close', () => {
      this.#socketsCount--;
      sockets?.release();
      const left = this.#connectionsByAddress.get(address)! - 1;
      if (left === 0) this.#connectionsByAddress.delete(address);
      else this.#connectionsByAddress.set(address, left);
    });
    if (this.#tls === undefined) this.#connect(socket);
    else this.#tls.accept(socket, clock.monotonic());
  }

  #connect(socket: Socket): void {
    const connection = this.#options.connect(socket);
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
  }

  /** Accepts no more; resolves when all connections have ended, or were cut. A second call waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#deadlines?.cancel();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#tls?.close();
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

function refuse(socket: Socket): void {
  socket.on('error', () => {});
  socket.destroy();
}

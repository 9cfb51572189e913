/**
 * Listens for Kafka clients on TCP. Counts connections, knows the address under which clients find this broker, and looks
 * after deadlines with one timer for all connections. Requests are the business of `connection.ts`.
 */
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from 'node:net';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { GroupService } from '../../groups/group-service.ts';
import type { BrokerAddress, BrokerService } from '../../partitions/broker-service.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { APIS } from './api-registry.ts';
import { type ConnectionHost, KafkaConnection } from './connection.ts';
import { DEFAULT_KAFKA_LIMITS, type KafkaLimits } from './limits.ts';

export interface KafkaListenerOptions {
  readonly service: BrokerService;
  readonly groups: GroupService;
  /** Address to listen on, such as 127.0.0.1 or 0.0.0.0. */
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  /**
   * Host name or address that Metadata gives to clients. By default the one listened on; if that means all addresses, the
   * one at which the asking client reached us.
   */
  readonly advertisedHost?: string;
  /** Port that Metadata gives to clients, where a proxy listens on another. By default the one listened on. */
  readonly advertisedPort?: number;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly limits?: Partial<KafkaLimits>;
}

export interface KafkaListener {
  readonly port: number;
  /** How many clients are connected. */
  readonly connections: number;
  /** Accepts no more, answers what is in flight, then closes all connections. */
  close(): Promise<void>;
}

const CHECK_DEADLINES_EVERY_MS = 1_000;

/** Resolves when clients can connect; rejects if the address cannot be listened on. */
export async function startKafkaListener(options: KafkaListenerOptions): Promise<KafkaListener> {
  const listener = new TcpListener(options);
  await listener.listen();
  return listener;
}

class TcpListener implements KafkaListener, ConnectionHost {
  readonly service: BrokerService;
  readonly groups: GroupService;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: KafkaLimits;
  readonly announcedApis = APIS;
  readonly #options: KafkaListenerOptions;
  readonly #server: Server;
  readonly #connections = new Set<KafkaConnection>();
  readonly #connectionsByAddress = new Map<string, number>();
  #port = 0;
  #deadlines: Timer | undefined;
  #refused = 0;
  #closing: Promise<void> | undefined;

  constructor(options: KafkaListenerOptions) {
    this.#options = options;
    this.service = options.service;
    this.groups = options.groups;
    this.clock = options.clock;
    this.logger = options.logger;
    this.limits = { ...DEFAULT_KAFKA_LIMITS, ...options.limits };
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
    this.#server.on('error', (error) => this.logger.error({ err: error }, 'kafka listener cannot accept'));
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
      let largest: KafkaConnection | undefined;
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
  #reportRefused(): void {
    if (this.#refused === 0) return;
    const { connectionsMax, connectionsPerAddressMax } = this.limits;
    this.logger.warn({ refused: this.#refused, connectionsMax, connectionsPerAddressMax }, 'kafka connections refused');
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
    const connection = new KafkaConnection(socket, this);
    this.#connections.add(connection);
    socket.once('close', () => {
      this.#connections.delete(connection);
      const left = this.#connectionsByAddress.get(address)! - 1;
      if (left === 0) this.#connectionsByAddress.delete(address);
      else this.#connectionsByAddress.set(address, left);
    });
  }

  brokersSeenFrom(localAddress: string): readonly BrokerAddress[] {
    const { service } = this;
    const brokers = service.brokers('kafka');
    const known = brokers.find(({ nodeId }) => nodeId === service.nodeId);
    const self: BrokerAddress = {
      nodeId: service.nodeId,
      host: this.#options.advertisedHost ?? this.#boundHost(localAddress),
      port: this.#options.advertisedPort ?? this.#port,
      rack: known?.rack,
    };
    return known === undefined ? [...brokers, self] : brokers.map((broker) => (broker === known ? self : broker));
  }

  #boundHost(localAddress: string): string {
    const { host } = this.#options;
    if (host !== '0.0.0.0' && host !== '::' && host !== '') return host;
    // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d, which many clients cannot dial.
    return isIPv6(localAddress) && localAddress.startsWith('::ffff:') ? localAddress.slice(7) : localAddress;
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
    `The Kafka listener cannot listen on ${host}:${port}: ${error.message}. Choose another --kafka-port or stop what uses it.`,
    { cause: error, fields: { host, port } },
  );
}

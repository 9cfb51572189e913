/**
 * Listens for Kafka clients (`tcp-server.ts`), and knows the address under which they find this broker. Requests are the business of
 * `connection.ts`.
 */
import { isIPv6 } from 'node:net';
import type { GroupService } from '../../groups/group-service.ts';
import type { BrokerAddress, BrokerService } from '../../partitions/broker-service.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { SocketBudget } from '../socket-budget.ts';
import { TcpServer } from '../tcp-server.ts';
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
  /** Of all listeners. Without it their number is not limited. */
  readonly sockets?: SocketBudget | undefined;
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
  readonly #server: TcpServer<KafkaConnection>;

  constructor(options: KafkaListenerOptions) {
    this.#options = options;
    this.service = options.service;
    this.groups = options.groups;
    this.clock = options.clock;
    this.logger = options.logger;
    this.limits = { ...DEFAULT_KAFKA_LIMITS, ...options.limits };
    this.#server = new TcpServer({
      ...options,
      protocol: 'Kafka',
      portOption: 'kafka-port',
      limits: this.limits,
      checkDeadlinesEveryMs: CHECK_DEADLINES_EVERY_MS,
      connect: (socket) => new KafkaConnection(socket, this),
    });
  }

  get port(): number {
    return this.#server.port;
  }

  get connections(): number {
    return this.#server.connections.size;
  }

  listen(): Promise<void> {
    return this.#server.listen();
  }

  checkMemory(): void {
    this.#server.checkMemory();
  }

  brokersSeenFrom(localAddress: string): readonly BrokerAddress[] {
    const { service } = this;
    const brokers = service.brokers('kafka');
    const known = brokers.find(({ nodeId }) => nodeId === service.nodeId);
    const self: BrokerAddress = {
      nodeId: service.nodeId,
      host: this.#options.advertisedHost ?? this.#boundHost(localAddress),
      port: this.#options.advertisedPort ?? this.port,
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
    return this.#server.close();
  }
}

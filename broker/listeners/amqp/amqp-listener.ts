/**
 * Listens for AMQP 0-9-1 clients (`tcp-server.ts`).
 * The protocol is the business of `connection.ts`, what it is about that of the backend.
 */
import type { Clock } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { LoginFrom } from '../client-certificate.ts';
import type { SocketBudget } from '../socket-budget.ts';
import { TcpServer } from '../tcp-server.ts';
import type { TlsSettings } from '../tls-acceptor.ts';
import { type Authenticator, MECHANISMS } from './authentication.ts';
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
  readonly authenticator: Authenticator;
  /** Of all listeners. Without it their number is not limited. */
  readonly sockets?: SocketBudget | undefined;
  /** With it clients connect over TLS. */
  readonly tls?: (TlsSettings & { readonly loginFrom: LoginFrom }) | undefined;
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
  readonly loginFrom: LoginFrom;
  readonly backend: AmqpBackend<unknown>;
  readonly handlers: ReadonlyMap<MethodName, AnyHandler<unknown>>;
  blockedReason: string | undefined;
  readonly #server: TcpServer<AmqpConnection>;

  constructor(options: AmqpListenerOptions<unknown>) {
    this.clock = options.clock;
    this.logger = options.logger;
    this.limits = { ...DEFAULT_AMQP_LIMITS, ...options.limits };
    this.backend = options.backend;
    this.authenticator = options.authenticator;
    this.loginFrom = options.tls?.loginFrom ?? 'common-name';
    this.handlers = handlersByMethod(options.backend.handlers);
    const { channelsMax, heartbeatSeconds } = this.limits;
    this.settings = {
      serverProperties: serverProperties(options.software, options.clusterId),
      mechanisms: MECHANISMS,
      frameBytesMax: Math.max(this.limits.frameBytesMax, FRAME_BYTES_MAX_FLOOR),
      channelsMax,
      heartbeatSeconds,
    };
    this.#server = new TcpServer({
      ...options,
      protocol: options.tls === undefined ? 'AMQP' : 'AMQP over TLS',
      portOption: options.tls === undefined ? 'amqp-port' : 'amqp-tls-port',
      limits: this.limits,
      tls: options.tls && { ...options.tls, handshakeTimeoutMs: this.limits.handshakeTimeoutMs },
      checkDeadlinesEveryMs: CHECK_DEADLINES_EVERY_MS,
      connect: (socket) => new AmqpConnection(socket, this),
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

  setBlocked(reason: string | undefined): void {
    this.blockedReason = reason;
    for (const connection of this.#server.connections) connection.setBlocked(reason);
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}

/**
 * The WebSocket listener of the native protocol: accepts connections within limits and hands each to
 * `connection.ts`. It speaks no other HTTP; a plain request is told what this port is for.
 *
 * Sockets are counted from the moment they are accepted, whether or not they ever become WebSockets.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../../src/errors/table.ts';
import { SUBPROTOCOL } from '../../../src/protocol/version.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { SocketBudget } from '../socket-budget.ts';
import type { TlsSettings } from '../tls-acceptor.ts';
import { type ConnectionContext, NativeConnection } from './connection.ts';
import type { NativeAccess } from './native-access.ts';
import { NATIVE_LIMITS, type NativeLimits } from './native-limits.ts';
import { normalizeRules, refuseUpgrade } from './upgrade-check.ts';

export interface NativeListenerOptions {
  readonly access: NativeAccess;
  readonly nodeId: number;
  readonly clusterId: string;
  /** With it clients connect over TLS (wss). Certificates of clients are not asked for. */
  readonly tls?: TlsSettings | undefined;
  /** Of all listeners. Without it their number is not limited. */
  readonly sockets?: SocketBudget | undefined;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Name and version, told in hello. */
  readonly software: string;
  /** Largest record batch, told in hello. */
  readonly batchBytesMax: number;
  readonly limits?: Partial<NativeLimits>;
  readonly allowedOrigins?: readonly string[];
  readonly allowedHosts?: readonly string[];
}

export interface NativeListener {
  readonly port: number;
  readonly connectionCount: number;
  /** Tells clients, answers what is in flight, closes. Bounded: whoever does not go is cut off after `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

const CHECK_INTERVAL_MS = 1000;
const CLOSE_GRACE_MS = 5000;
/** Sockets beyond the limits that are still told why they are refused; more are closed at once. */
const REFUSALS_MAX = 64;
/** Chunks in which one message may arrive: a full frame in pieces of 1 KiB. Each costs memory of its own. */
const CHUNK_BYTES = 1024;
const CHUNKS_MIN = 4096;
/** WebSocket fragments of one message. */
const FRAGMENTS_MAX = 4096;

interface Client {
  readonly socket: Socket;
  readonly address: string;
  readonly acceptedMs: number;
  /** Once it is a WebSocket. */
  connection: NativeConnection | undefined;
}

export async function startNativeListener(options: NativeListenerOptions): Promise<NativeListener> {
  const listener = new Listener(options);
  await listener.listen();
  return listener;
}

class Listener implements NativeListener {
  readonly #options: NativeListenerOptions;
  readonly #limits: NativeLimits;
  readonly #context: ConnectionContext;
  readonly #rules;
  readonly #server: Server | TlsServer;
  readonly #webSockets: WebSocketServer;
  /** By address and port: over TLS a connection has two sockets, which have these in common. */
  readonly #clients = new Map<string, Client>();
  /** Sockets by the address they come from. */
  readonly #perAddress = new Map<string, number>();
  readonly #checkIntervalMs: number;
  #connectionCount = 0;
  /** Closed without a word since the last check. */
  #turnedAway = 0;
  /** Likewise, since all listeners together have as many sockets as they may. */
  #unaffordable = 0;
  #failedHandshakes = 0;
  #timer: Timer | undefined;
  #closing: boolean = false;
  #onEmpty: (() => void) | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: NativeListenerOptions) {
    const limits = { ...NATIVE_LIMITS, ...options.limits };
    const { access, nodeId, clusterId, clock, logger, software, batchBytesMax, host, tls } = options;
    this.#options = options;
    this.#limits = limits;
    this.#context = { access, nodeId, clusterId, limits, clock, logger, software, batchBytesMax };
    const { allowedOrigins = [], allowedHosts = [] } = options;
    this.#rules = normalizeRules({ allowedOrigins, allowedHosts, boundHost: host });
    const shortestMs = Math.min(limits.handshakeTimeoutMs, limits.idleTimeoutMs, limits.writeStallTimeoutMs);
    this.#checkIntervalMs = Math.max(10, Math.min(CHECK_INTERVAL_MS, Math.floor(shortestMs / 4)));
    this.#server = this.#createServer(tls, (_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain', connection: 'upgrade, close', upgrade: 'websocket' });
      response.end(
        `This port speaks the BurrowMQ protocol over WebSocket (subprotocol ${SUBPROTOCOL}), not plain HTTP.\n`,
      );
    });
    this.#server.requestTimeout = limits.handshakeTimeoutMs;
    this.#server.headersTimeout = limits.handshakeTimeoutMs;
    this.#webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: limits.frameBytesMax,
      maxFragments: FRAGMENTS_MAX,
      maxBufferedChunks: CHUNKS_MIN + Math.ceil(limits.frameBytesMax / CHUNK_BYTES),
      handleProtocols: (protocols) => (protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.#server.on('connection', (socket: Socket) => this.#onSocket(socket));
    this.#server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) =>
      this.#onUpgrade(request, stream as Socket, head),
    );
  }

  #createServer(tls: TlsSettings | undefined, onRequest: RequestListener): Server | TlsServer {
    const options = { connectionsCheckingInterval: this.#checkIntervalMs };
    if (tls === undefined) return createServer(options, onRequest);
    const { cert, key } = tls.certificates.context;
    const server = createTlsServer({ ...options, cert, key }, onRequest);
    tls.certificates.addUser(server);
    server.on('close', () => tls.certificates.removeUser(server));
    server.on('tlsClientError', () => this.#failedHandshakes++);
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connectionCount(): number {
    return this.#connectionCount;
  }

  async listen(): Promise<void> {
    const { host, port, logger } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => reject(listenError(host, port, error));
      this.#server.once('error', onError);
      this.#server.listen(port, host, () => {
        this.#server.off('error', onError);
        // Too many open files, for instance: this connection is lost, those that are open are not.
        this.#server.on('error', (error) => logger.error({ err: error }, 'accepting a connection failed'));
        resolve();
      });
    });
    this.#scheduleCheck();
  }

  #onSocket(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const { connectionsMax, connectionsPerIpMax } = this.#limits;
    const fromAddress = this.#perAddress.get(address) ?? 0;
    const { sockets } = this.#options;
    const isFlood =
      this.#clients.size >= connectionsMax + REFUSALS_MAX || fromAddress >= connectionsPerIpMax + REFUSALS_MAX;
    if (isFlood || this.#closing) {
      this.#turnedAway++;
      socket.destroy();
      return;
    }
    if (sockets?.tryTake() === false) {
      this.#unaffordable++;
      socket.destroy();
      return;
    }
    const peer = peerOf(socket);
    this.#clients.set(peer, {
      socket,
      address,
      acceptedMs: this.#options.clock.monotonic(),
      connection: undefined,
    });
    this.#perAddress.set(address, fromAddress + 1);
    socket.once('close', () => {
      sockets?.release();
      this.#onSocketClosed(socket, peer, address);
    });
  }

  #onSocketClosed(socket: Socket, peer: string, address: string): void {
    // The system may have given the port to another client meanwhile.
    if (this.#clients.get(peer)?.socket === socket) this.#clients.delete(peer);
    const left = this.#perAddress.get(address)! - 1;
    if (left === 0) this.#perAddress.delete(address);
    else this.#perAddress.set(address, left);
    if (this.#clients.size === 0) this.#onEmpty?.();
  }

  #onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    // From here on the HTTP server does not look after the socket any more.
    socket.on('error', () => socket.destroy());
    const client = this.#clients.get(peerOf(socket));
    if (client === undefined) return;
    const refusal = this.#refusal(request, client.address);
    if (refusal !== undefined) {
      const { status, code, text } = refusal;
      this.#options.logger.warn({ peer: client.address, code, reason: text }, 'connection refused');
      // The peer may leave its half of the connection open for ever.
      socket.once('finish', () => socket.destroy());
      socket.end(`HTTP/1.1 ${status}\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n${code}: ${text}\n`);
      return;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.#connectionCount++;
      client.connection = new NativeConnection(webSocket, socket, client.acceptedMs, this.#context, () => {
        this.#connectionCount--;
      });
    });
  }

  #refusal(
    request: IncomingMessage,
    address: string,
  ): { readonly status: string; readonly code: ErrorName; readonly text: string } | undefined {
    const wrongPlace = refuseUpgrade(request.headers, this.#rules);
    if (wrongPlace !== undefined) return { status: '403 Forbidden', code: 'ORIGIN_NOT_ALLOWED', text: wrongPlace };
    const asked = request.headers['sec-websocket-protocol'] ?? '';
    if (!asked.split(',').some((protocol) => protocol.trim() === SUBPROTOCOL)) {
      const text = `Ask for the WebSocket subprotocol ${SUBPROTOCOL}.`;
      return { status: '400 Bad Request', code: 'UNSUPPORTED_VERSION', text };
    }
    const { connectionsMax, connectionsPerIpMax } = this.#limits;
    if (this.#clients.size > connectionsMax || this.#perAddress.get(address)! > connectionsPerIpMax) {
      return unavailable('CONNECTION_LIMIT');
    }
    return this.#closing ? unavailable('SHUTTING_DOWN') : undefined;
  }

  #scheduleCheck(): void {
    const { clock, logger } = this.#options;
    this.#timer = clock.schedule(this.#checkIntervalMs, () => {
      const nowMs = clock.monotonic();
      for (const { socket, connection, acceptedMs } of this.#clients.values()) {
        if (connection !== undefined) connection.checkAlive(nowMs);
        // The HTTP server has answered 408 to what waited for a request; this is what it does not look after.
        else if (nowMs - acceptedMs > this.#limits.handshakeTimeoutMs + CHECK_INTERVAL_MS) socket.destroy();
      }
      if (this.#turnedAway > 0) {
        logger.warn({ connections: this.#turnedAway, code: 'CONNECTION_LIMIT' }, 'connections turned away');
        this.#turnedAway = 0;
      }
      if (this.#unaffordable > 0) {
        const facts = { refused: this.#unaffordable, socketsMax: this.#options.sockets?.socketsMax };
        logger.error(facts, 'connections refused: too many open files; raise ulimit -n, or sockets-max');
        this.#unaffordable = 0;
      }
      if (this.#failedHandshakes > 0) {
        logger.warn({ failed: this.#failedHandshakes }, 'tls handshakes failed');
        this.#failedHandshakes = 0;
      }
      this.#scheduleCheck();
    });
  }

  close(graceMs = CLOSE_GRACE_MS): Promise<void> {
    this.#closed ??= this.#close(graceMs);
    return this.#closed;
  }

  async #close(graceMs: number): Promise<void> {
    const { clock } = this.#options;
    this.#closing = true;
    this.#timer?.cancel();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const { socket, connection } of [...this.#clients.values()]) {
      if (connection === undefined) socket.destroy();
      else connection.goAway();
    }
    if (this.#clients.size > 0) {
      await new Promise<void>((resolve) => {
        const deadline = clock.schedule(graceMs, resolve);
        this.#onEmpty = () => {
          deadline.cancel();
          resolve();
        };
      });
    }
    for (const { socket } of [...this.#clients.values()]) socket.destroy();
    await closed;
  }
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

function unavailable(code: ErrorName): { status: string; code: ErrorName; text: string } {
  return { status: '503 Service Unavailable', code, text: new BurrowError(code).message };
}

function listenError(host: string, port: number, error: NodeJS.ErrnoException): BurrowError {
  const text =
    error.code === 'EADDRINUSE'
      ? `Port ${port} on ${host} is in use. Stop what uses it, or choose another with --port.`
      : `Cannot listen on ${host}:${port}: ${error.message}`;
  return new BurrowError('INVALID_CONFIG', text, { cause: error });
}

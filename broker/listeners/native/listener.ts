/**
 * The WebSocket listener of the native protocol: accepts connections within limits and hands each to
 * `connection.ts`. It speaks no other HTTP; a plain request is told what this port is for.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { SUBPROTOCOL } from '../../../src/protocol/version.ts';
import type { BrokerService } from '../../partitions/broker-service.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { NativeConnection } from './connection.ts';
import { NATIVE_LIMITS, type NativeLimits } from './native-limits.ts';
import { refuseUpgrade } from './upgrade-check.ts';

export interface NativeListenerOptions {
  readonly service: BrokerService;
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

export async function startNativeListener(options: NativeListenerOptions): Promise<NativeListener> {
  const limits = { ...NATIVE_LIMITS, ...options.limits };
  const { clock, logger } = options;
  const connections = new Set<NativeConnection>();
  const perAddress = new Map<string, number>();
  const checks = { connectionsCheckingInterval: Math.min(1000, limits.handshakeTimeoutMs) };
  const server = createServer(checks, (_request, response) => {
    response.writeHead(426, { 'content-type': 'text/plain', connection: 'close', upgrade: 'websocket' });
    response.end(
      `This port speaks the BurrowMQ protocol over WebSocket (subprotocol ${SUBPROTOCOL}), not plain HTTP.\n`,
    );
  });
  server.requestTimeout = limits.handshakeTimeoutMs;
  server.headersTimeout = limits.handshakeTimeoutMs;
  const webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: limits.frameBytesMax,
    skipUTF8Validation: false,
    handleProtocols: (protocols) => (protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  const context = {
    service: options.service,
    limits,
    clock,
    logger,
    software: options.software,
    batchBytesMax: options.batchBytesMax,
  };

  server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    const socket = stream as Socket;
    socket.on('error', () => socket.destroy());
    const address = socket.remoteAddress ?? '';
    const refusal = refuse(request, address);
    if (refusal !== undefined) {
      logger.warn({ peer: address, reason: refusal.text }, 'connection refused');
      const { status, text } = refusal;
      socket.end(`HTTP/1.1 ${status}\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n${text}\n`);
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      perAddress.set(address, (perAddress.get(address) ?? 0) + 1);
      socket.setNoDelay(true);
      const connection = new NativeConnection(webSocket, socket, context, () => {
        connections.delete(connection);
        const left = perAddress.get(address)! - 1;
        if (left === 0) perAddress.delete(address);
        else perAddress.set(address, left);
      });
      connections.add(connection);
    });
  });

  function refuse(request: IncomingMessage, address: string): { status: string; text: string } | undefined {
    const { allowedOrigins = [], allowedHosts = [], host } = options;
    const wrongPlace = refuseUpgrade(request.headers, { allowedOrigins, allowedHosts, boundHost: host });
    if (wrongPlace !== undefined) return { status: '403 Forbidden', text: wrongPlace };
    const asked = request.headers['sec-websocket-protocol'] ?? '';
    if (!asked.split(',').some((protocol) => protocol.trim() === SUBPROTOCOL)) {
      return { status: '400 Bad Request', text: `Ask for the WebSocket subprotocol ${SUBPROTOCOL}.` };
    }
    if (connections.size >= limits.connectionsMax || (perAddress.get(address) ?? 0) >= limits.connectionsPerIpMax) {
      return { status: '503 Service Unavailable', text: new BurrowError('CONNECTION_LIMIT').message };
    }
    return undefined;
  }

  let timer: Timer;
  const check = (): void => {
    const now = clock.monotonic();
    for (const connection of connections) connection.checkAlive(now);
    timer = clock.schedule(CHECK_INTERVAL_MS, check);
  };
  await listen(server, options);
  timer = clock.schedule(CHECK_INTERVAL_MS, check);

  return {
    port: (server.address() as AddressInfo).port,
    get connectionCount() {
      return connections.size;
    },
    async close(graceMs = CLOSE_GRACE_MS) {
      timer.cancel();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      for (const connection of connections) connection.goAway();
      const deadlineMs = clock.monotonic() + graceMs;
      await waitUntil(clock, deadlineMs, () =>
        [...connections].every((connection) => connection.inFlightRequests === 0),
      );
      for (const connection of connections) connection.close();
      await waitUntil(clock, Math.min(deadlineMs, clock.monotonic() + 1000), () => connections.size === 0);
      for (const connection of connections) connection.terminate();
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, { host, port }: NativeListenerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const text =
        error.code === 'EADDRINUSE'
          ? `Port ${port} on ${host} is in use. Stop what uses it, or choose another with --port.`
          : `Cannot listen on ${host}:${port}: ${error.message}`;
      reject(new BurrowError('INVALID_CONFIG', text, { cause: error }));
    });
    server.listen(port, host, () => resolve());
  });
}

/** Looks every few milliseconds; only used while closing. */
async function waitUntil(clock: Clock, deadlineMs: number, condition: () => boolean): Promise<void> {
  while (!condition() && clock.monotonic() < deadlineMs) {
    await new Promise<void>((resolve) => clock.schedule(5, resolve));
  }
}

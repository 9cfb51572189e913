/**
 * One WebSocket connection: handshake, requests in, answers out in the order in which they are ready, limits and
 * back-pressure. Answers of one turn leave in one write. Per frame.
 */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { BurrowError, isBurrowError, toBurrowError } from '../../../src/errors/burrow-error.ts';
import {
  decodeRequest,
  decodeRequestFrame,
  encodeErrorResponse,
  encodeGoingAway,
  encodeResponse,
  type RequestFrame,
} from '../../../src/protocol/frame.ts';
import { MESSAGES, messageName, type RequestOf } from '../../../src/protocol/messages.ts';
import { HELLO_FRAME_BYTES_MAX, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../../../src/protocol/version.ts';
import type { PendingFetch } from '../../partitions/broker-service.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { beginFetch, fetchResponse, type HandlerContext, handle } from './handlers.ts';

/** Close codes of the protocol, beside those of RFC 6455 section 7.4. */
export const CLOSE_GOING_AWAY = 1001;
export const CLOSE_PROTOCOL_ERROR = 1002;
export const CLOSE_TOO_LARGE = 1009;
export const CLOSE_HANDSHAKE_TIMEOUT = 4000;
export const CLOSE_IDLE = 4001;

export interface ConnectionContext extends HandlerContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly software: string;
  readonly batchBytesMax: number;
}

export class NativeConnection {
  readonly #context: ConnectionContext;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #onClosed: () => void;
  readonly #waitingFetches = new Map<number, PendingFetch>();
  #greeted: boolean = false;
  #handshakeTimer: Timer | undefined;
  #inFlightRequests = 0;
  #inFlightBytes = 0;
  #paused: boolean = false;
  #corked: boolean = false;
  #closing: boolean = false;
  #lastHeardMs: number;
  #pinged: boolean = false;
  /** When the peer last took something while answers were waiting for it. */
  #lastProgressMs: number;
  #lastBufferedBytes = 0;

  constructor(webSocket: WebSocket, socket: Socket, context: ConnectionContext, onClosed: () => void) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#context = context;
    this.#onClosed = onClosed;
    const now = context.clock.monotonic();
    this.#lastHeardMs = now;
    this.#lastProgressMs = now;
    this.#handshakeTimer = context.clock.schedule(context.limits.handshakeTimeoutMs, () => {
      this.#fail(CLOSE_HANDSHAKE_TIMEOUT, new BurrowError('HANDSHAKE_TIMEOUT'));
    });
    const bytesBefore = socket.bytesRead;
    const limitFirstFrame = (): void => {
      // ws would collect a frame of any size up to its maximum before it hands it over.
      if (socket.bytesRead - bytesBefore > HELLO_FRAME_BYTES_MAX + 64 && !this.#greeted) {
        this.#fail(
          CLOSE_TOO_LARGE,
          new BurrowError('FRAME_TOO_LARGE', `The first frame may have ${HELLO_FRAME_BYTES_MAX} bytes.`),
        );
      }
      if (this.#greeted || this.#closing) socket.off('data', limitFirstFrame);
    };
    socket.on('data', limitFirstFrame);
    webSocket.on('message', (data: Buffer, isBinary: boolean) => this.#onMessage(data, isBinary));
    webSocket.on('pong', () => this.#onAlive());
    webSocket.on('ping', () => this.#onAlive());
    webSocket.on('error', (error) => this.#log('connection failed', error));
    webSocket.on('close', () => this.#onClose());
  }

  get inFlightRequests(): number {
    return this.#inFlightRequests;
  }

  /** Called regularly: pings, and closes what is idle or takes nothing. */
  checkAlive(nowMs: number): void {
    const { idleTimeoutMs, writeStallTimeoutMs } = this.#context.limits;
    const buffered = this.#webSocket.bufferedAmount;
    if (buffered === 0 || buffered < this.#lastBufferedBytes) this.#lastProgressMs = nowMs;
    this.#lastBufferedBytes = buffered;
    if (buffered > 0 && nowMs - this.#lastProgressMs >= writeStallTimeoutMs) {
      this.#log('peer takes no answers', undefined);
      this.#webSocket.terminate();
      return;
    }
    const silentMs = nowMs - this.#lastHeardMs;
    // While its socket is not read, a peer cannot be heard.
    if (this.#paused) return;
    if (silentMs >= idleTimeoutMs)
      this.#fail(CLOSE_IDLE, new BurrowError('CONNECTION_LOST', 'The peer has been silent for too long.'));
    else if (silentMs >= idleTimeoutMs / 2 && !this.#pinged && this.#greeted) {
      this.#pinged = true;
      this.#webSocket.ping();
    }
  }

  /** Tells the peer, answers waiting fetches, and takes no more requests. */
  goAway(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#send(encodeGoingAway());
    for (const fetch of this.#waitingFetches.values()) fetch.cancel();
  }

  close(): void {
    this.#closing = true;
    this.#webSocket.close(CLOSE_GOING_AWAY, 'the broker is shutting down');
  }

  terminate(): void {
    this.#webSocket.terminate();
  }

  #onAlive(): void {
    this.#lastHeardMs = this.#context.clock.monotonic();
    this.#pinged = false;
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    this.#onAlive();
    if (this.#closing) return;
    try {
      if (!isBinary) throw new BurrowError('MALFORMED_FRAME', 'Messages must be binary, not text.');
      const frame = decodeRequestFrame(data);
      if (!this.#greeted) this.#onHello(frame, data.length);
      else this.#onRequest(frame, data.length);
    } catch (error) {
      this.#fail(CLOSE_PROTOCOL_ERROR, toBurrowError(error));
    }
  }

  #onHello(frame: RequestFrame, bytes: number): void {
    if (frame.api !== MESSAGES.hello.api) throw new BurrowError('UNEXPECTED_FRAME', 'The first request must be hello.');
    if (bytes > HELLO_FRAME_BYTES_MAX) throw new BurrowError('FRAME_TOO_LARGE');
    const hello = decodeRequest('hello', frame.body);
    if (hello.protocolVersionMin > PROTOCOL_VERSION_MAX || hello.protocolVersionMax < PROTOCOL_VERSION_MIN) {
      const text = `This broker speaks protocol versions ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}, the client ${hello.protocolVersionMin} to ${hello.protocolVersionMax}.`;
      this.#send(encodeErrorResponse(frame.correlationId, new BurrowError('UNSUPPORTED_VERSION', text)));
      this.#fail(CLOSE_PROTOCOL_ERROR, new BurrowError('UNSUPPORTED_VERSION', text));
      return;
    }
    this.#greeted = true;
    this.#handshakeTimer?.cancel();
    const { service, limits, software, batchBytesMax } = this.#context;
    this.#send(
      encodeResponse('hello', frame.correlationId, {
        protocolVersion: Math.min(hello.protocolVersionMax, PROTOCOL_VERSION_MAX),
        software,
        nodeId: service.nodeId,
        clusterId: service.clusterId,
        limits: {
          frameBytesMax: limits.frameBytesMax,
          inFlightRequestsMax: limits.inFlightRequestsMax,
          inFlightBytesMax: limits.inFlightBytesMax,
          idleTimeoutMs: limits.idleTimeoutMs,
          batchBytesMax,
        },
      }),
    );
  }

  #onRequest(frame: RequestFrame, bytes: number): void {
    const { correlationId } = frame;
    const name = messageName(frame.api);
    this.#inFlightRequests++;
    this.#inFlightBytes += bytes;
    this.#updateFlow();
    const done = (): void => {
      this.#inFlightRequests--;
      this.#inFlightBytes -= bytes;
      this.#updateFlow();
    };
    try {
      switch (name) {
        case undefined:
          throw new BurrowError('UNSUPPORTED_VERSION', `There is no request with api number ${frame.api}.`);
        case 'hello':
          throw new BurrowError('UNEXPECTED_FRAME', 'hello was sent twice.');
        case 'cancelFetch':
          this.#waitingFetches.get(decodeRequest(name, frame.body).correlationId)?.cancel();
          done();
          return;
        case 'fetch':
          this.#onFetch(correlationId, decodeRequest(name, frame.body), done);
          return;
        default: {
          const request = decodeRequest(name, frame.body);
          const isSilent = name === 'produce' && (request as RequestOf<'produce'>).acks === 0;
          handle(name, this.#context, request)
            .then(
              (response) => {
                if (!isSilent) this.#send(encodeResponse(name, correlationId, response));
              },
              (error: unknown) => this.#sendError(correlationId, error),
            )
            .finally(done)
            .catch((error: unknown) => this.#log('answering failed', error));
        }
      }
    } catch (error) {
      this.#sendError(correlationId, error);
      done();
    }
  }

  #onFetch(correlationId: number, request: RequestOf<'fetch'>, done: () => void): void {
    if (this.#waitingFetches.has(correlationId)) {
      throw new BurrowError('INVALID_ARGUMENT', `A fetch with correlation id ${correlationId} is waiting already.`);
    }
    const pending = beginFetch(this.#context, request);
    this.#waitingFetches.set(correlationId, pending);
    pending.done
      .then((fetched) => this.#send(encodeResponse('fetch', correlationId, fetchResponse(fetched))))
      .catch((error: unknown) => this.#sendError(correlationId, error))
      .finally(() => {
        this.#waitingFetches.delete(correlationId);
        done();
      })
      .catch((error: unknown) => this.#log('answering failed', error));
  }

  #sendError(correlationId: number, error: unknown): void {
    const typed = toBurrowError(error);
    if (isBurrowError(typed, 'INTERNAL_ERROR')) this.#log('request failed unexpectedly', typed.cause ?? typed);
    this.#send(encodeErrorResponse(correlationId, typed));
  }

  #send(frame: Uint8Array): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      // At the end of the turn, so that all answers of it leave in one write.
      setImmediate(() => {
        this.#corked = false;
        this.#socket.uncork();
        this.#updateFlow();
      });
    }
    this.#webSocket.send(frame, { binary: true }, () => this.#updateFlow());
  }

  /** Stops reading the socket while too much is in flight, and goes on when there is room. */
  #updateFlow(): void {
    const { inFlightRequestsMax, inFlightBytesMax, writeBufferedBytesMax } = this.#context.limits;
    const isFull =
      this.#inFlightRequests >= inFlightRequestsMax ||
      this.#inFlightBytes >= inFlightBytesMax ||
      this.#webSocket.bufferedAmount >= writeBufferedBytesMax;
    if (isFull === this.#paused || this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    this.#paused = isFull;
    if (isFull) {
      this.#webSocket.pause();
      return;
    }
    // It could not be heard while it was not read.
    this.#onAlive();
    this.#webSocket.resume();
  }

  /** Ends a connection whose peer broke a rule; nobody else is affected. */
  #fail(code: number, error: BurrowError): void {
    if (this.#closing && code !== CLOSE_HANDSHAKE_TIMEOUT) return;
    this.#closing = true;
    this.#context.logger.warn(
      { peer: this.#socket.remoteAddress, code: error.code, reason: error.message },
      'connection closed',
    );
    // A close reason has at most 123 bytes (RFC 6455 section 5.5).
    const reason = Buffer.from(`${error.code}: ${error.message}`)
      .subarray(0, 120)
      .toString('utf8')
      .replace(/\uFFFD+$/, '');
    this.#webSocket.close(code, reason);
    // A peer that does not answer the close frame is not waited for.
    this.#context.clock.schedule(2000, () => this.#webSocket.terminate());
  }

  #onClose(): void {
    this.#closing = true;
    this.#handshakeTimer?.cancel();
    for (const fetch of this.#waitingFetches.values()) fetch.cancel();
    this.#onClosed();
  }

  #log(text: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : undefined;
    this.#context.logger.warn({ peer: this.#socket.remoteAddress, reason }, text);
  }
}

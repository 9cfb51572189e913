/**
 * One connection to one broker (or to whichever of several addresses answers) that re-opens itself: handshake, correlation
 * ids, pipelining, timeouts. What it guarantees to callers:
 * - every request is settled exactly once, within its timeout or when the connection is closed;
 * - requests are written in the order in which they were made;
 * - CONNECTION_FAILED means that the request was never written, CONNECTION_LOST and REQUEST_TIMED_OUT that it was and
 *   that its outcome is unknown.
 * It never repeats a request by itself: only the caller knows whether that is safe.
 */
import { BurrowError, toBurrowError } from '../src/errors/burrow-error.ts';
import type { Backoff } from './backoff.ts';
import type { ClientClock, ClientTimer } from './clock.ts';
import { ConnectionState } from './connection-state.ts';
import type { OpenSocket, Socket } from './socket-types.ts';
import { decodeServerFrame, encodeHello, encodeRequest, readHello, type Session } from './wire.ts';

export interface ConnectionOptions {
  readonly clientId: string;
  readonly backoff: Backoff;
  /** For one attempt: socket and handshake together, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Largest message accepted from the broker, in bytes. */
  readonly frameBytesMax: number;
  readonly clock: ClientClock;
  readonly openSocket: OpenSocket;
}

interface PendingRequest {
  readonly api: number;
  readonly body: unknown;
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: BurrowError) => void;
  /** -1 until written. */
  correlationId: number;
  timer: ClientTimer | undefined;
}

interface ReadyWaiter {
  /** Monotonic milliseconds. */
  readonly giveUpAtMs: number;
  readonly resolve: (session: Session) => void;
  readonly reject: (error: BurrowError) => void;
}

/** Correlation ids start over here; long before, the request of the same id is settled. */
const CORRELATION_ID_END = 2 ** 31;
const HELLO_CORRELATION_ID = 0;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #state: ConnectionState;
  readonly #clock: ClientClock;
  #socket: Socket | undefined;
  #session: Session | undefined;
  /** The deadline of the attempt, or the delay before the next. */
  #timer: ClientTimer | undefined;
  #lastFailure: BurrowError | undefined;
  /** The broker said that it goes away: nothing new is written to this socket. */
  #goingAway: boolean = false;
  #nextCorrelationId = HELLO_CORRELATION_ID + 1;
  /** Not written yet, in order. */
  #queue: PendingRequest[] = [];
  /** Written, by correlation id. */
  readonly #inFlight = new Map<number, PendingRequest>();
  #readyWaiters: ReadyWaiter[] = [];

  constructor(addresses: readonly string[], options: ConnectionOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#state = new ConnectionState(addresses, options.backoff);
  }

  /** What the broker said in its hello; undefined while there is no connection. */
  get session(): Session | undefined {
    return this.#session;
  }

  /**
   * Resolves once the handshake is done. Rejects with CONNECTION_FAILED when all addresses were tried in vain and
   * `waitMs` is over.
   */
  ready(waitMs: number): Promise<Session> {
    if (this.#state.phase === 'closed') return Promise.reject(closedError());
    if (this.#session !== undefined) return Promise.resolve(this.#session);
    return new Promise((resolve, reject) => {
      this.#readyWaiters.push({ giveUpAtMs: this.#clock.monotonic() + waitMs, resolve, reject });
      this.#maybeConnect();
    });
  }

  /** Sends a request as soon as the connection is ready. `timeoutMs` covers everything until the answer. */
  request(api: number, body: unknown, timeoutMs: number): Promise<unknown> {
    if (this.#state.phase === 'closed') return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      const pending: PendingRequest = { api, body, resolve, reject, correlationId: -1, timer: undefined };
      pending.timer = this.#clock.schedule(timeoutMs, () => this.#onRequestTimeout(pending, timeoutMs));
      this.#queue.push(pending);
      this.#maybeConnect();
      this.#writeQueue();
    });
  }

  /** Fails everything under way with CLIENT_CLOSED and says goodbye. Idempotent. */
  close(): void {
    if (this.#state.phase === 'closed') return;
    this.#state.becomeClosed();
    this.#timer?.cancel();
    const socket = this.#socket;
    this.#socket = undefined;
    this.#session = undefined;
    socket?.close();
    const error = closedError();
    this.#failInFlight(error);
    this.#failQueue(error);
    this.#failWaiters(error, Number.POSITIVE_INFINITY);
  }

  #maybeConnect(): void {
    if (this.#state.phase === 'idle') this.#connect();
  }

  #connect(): void {
    this.#state.becomeConnecting();
    const address = this.#state.address;
    const { connectTimeoutMs, frameBytesMax, openSocket } = this.#options;
    this.#timer = this.#clock.schedule(connectTimeoutMs, () => {
      this.#onSocketLost(socket, `no answer within ${connectTimeoutMs} ms`);
    });
    let socket: Socket | undefined;
    try {
      socket = openSocket(
        address,
        { frameBytesMax },
        {
          onOpen: () => this.#onOpen(socket),
          onMessage: (bytes) => this.#onMessage(socket, bytes),
          onClose: (reason) => this.#onSocketLost(socket, reason),
        },
      );
    } catch (error) {
      // A URL that the platform refuses, for instance.
      this.#onSocketLost(undefined, toBurrowError(error).message);
      return;
    }
    this.#socket = socket;
  }

  #onOpen(socket: Socket | undefined): void {
    if (socket === undefined || socket !== this.#socket) return;
    this.#state.becomeHandshaking();
    socket.send(encodeHello(HELLO_CORRELATION_ID, this.#options));
  }

  #onMessage(socket: Socket | undefined, bytes: Uint8Array): void {
    if (socket === undefined || socket !== this.#socket) return;
    try {
      const frame = decodeServerFrame(bytes);
      if (frame.kind === 'push') {
        if (frame.goingAway) this.#onGoingAway();
        return;
      }
      if (this.#state.phase === 'handshaking') this.#onHello(frame.error, frame.body);
      else this.#onResponse(frame.correlationId, frame.error, frame.body);
    } catch (error) {
      this.#onSocketLost(socket, `the broker sent what is not a frame: ${toBurrowError(error).message}`);
    }
  }

  #onHello(error: BurrowError | undefined, body: unknown): void {
    if (error !== undefined) {
      this.#onSocketLost(this.#socket, error.message, error);
      return;
    }
    const session = readHello(body);
    this.#timer?.cancel();
    this.#session = session;
    this.#lastFailure = undefined;
    this.#state.becomeReady();
    const waiters = this.#readyWaiters;
    this.#readyWaiters = [];
    for (const waiter of waiters) waiter.resolve(session);
    this.#writeQueue();
  }

  #onResponse(correlationId: number, error: BurrowError | undefined, body: unknown): void {
    const pending = this.#inFlight.get(correlationId);
    // An answer to a request that timed out is nobody's any more.
    if (pending === undefined) return;
    this.#inFlight.delete(correlationId);
    pending.timer?.cancel();
    if (error !== undefined) pending.reject(error);
    else pending.resolve(body);
    if (this.#goingAway && this.#inFlight.size === 0) this.#onSocketLost(this.#socket, 'the broker is going away');
    else this.#writeQueue();
  }

  #onGoingAway(): void {
    this.#goingAway = true;
    if (this.#inFlight.size === 0) this.#onSocketLost(this.#socket, 'the broker is going away');
  }

  /** Writes what waits, as far as the broker's limit on requests in flight allows. Per request. */
  #writeQueue(): void {
    const session = this.#session;
    const socket = this.#socket;
    if (session === undefined || socket === undefined || this.#goingAway) return;
    let written = 0;
    for (const pending of this.#queue) {
      if (this.#inFlight.size >= session.inFlightRequestsMax) break;
      written += 1;
      this.#write(socket, session, pending);
    }
    if (written > 0) this.#queue.splice(0, written);
  }

  #write(socket: Socket, session: Session, pending: PendingRequest): void {
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId = correlationId + 1 < CORRELATION_ID_END ? correlationId + 1 : HELLO_CORRELATION_ID + 1;
    let bytes: Uint8Array;
    try {
      bytes = encodeRequest(pending.api, correlationId, pending.body);
      if (bytes.byteLength > session.frameBytesMax) {
        throw new BurrowError(
          'FRAME_TOO_LARGE',
          `A request of ${bytes.byteLength} bytes exceeds the broker's limit of ${session.frameBytesMax} bytes.`,
        );
      }
    } catch (error) {
      pending.timer?.cancel();
      pending.reject(toBurrowError(error));
      return;
    }
    pending.correlationId = correlationId;
    this.#inFlight.set(correlationId, pending);
    socket.send(bytes);
  }

  #onRequestTimeout(pending: PendingRequest, timeoutMs: number): void {
    if (pending.correlationId < 0) {
      this.#queue.splice(this.#queue.indexOf(pending), 1);
      const reason = this.#lastFailure?.message ?? `No connection to ${this.#state.address} within ${timeoutMs} ms.`;
      pending.reject(new BurrowError('CONNECTION_FAILED', reason, { cause: this.#lastFailure }));
      return;
    }
    this.#inFlight.delete(pending.correlationId);
    pending.reject(
      new BurrowError(
        'REQUEST_TIMED_OUT',
        `${this.#state.address} did not answer within ${timeoutMs} ms; the outcome is unknown.`,
      ),
    );
    // A broker that does not answer one request in time will hardly answer those behind it: a half-open connection
    // would otherwise swallow requests for ever (Kafka's client disconnects here, too).
    this.#onSocketLost(this.#socket, `a request was not answered within ${timeoutMs} ms`);
  }

  /** `refusal` is what the broker itself said in its answer to hello. */
  #onSocketLost(socket: Socket | undefined, reason: string, refusal?: BurrowError): void {
    if (socket !== this.#socket || this.#state.phase === 'closed' || this.#state.phase === 'waiting') return;
    const wasReady = this.#session !== undefined;
    const address = this.#state.address;
    this.#socket = undefined;
    this.#session = undefined;
    this.#goingAway = false;
    this.#timer?.cancel();
    socket?.destroy();
    const delayMs = this.#state.becomeWaiting(this.#clock.random());
    this.#timer = this.#clock.schedule(delayMs, () => this.#connect());
    if (wasReady) {
      this.#failInFlight(
        new BurrowError('CONNECTION_LOST', `The connection to ${address} was lost (${reason}). The client reconnects.`),
      );
    } else {
      this.#onAttemptFailed(refusal ?? unreachable(address, reason), delayMs > 0);
    }
  }

  #onAttemptFailed(error: BurrowError, passIsOver: boolean): void {
    this.#lastFailure = error;
    if (passIsOver || !error.retriable) this.#failWaiters(error, this.#clock.monotonic());
    // Asking again will not change a refusal such as an unsupported version.
    if (!error.retriable) this.#failQueue(error);
  }

  #failInFlight(error: BurrowError): void {
    const pendings = [...this.#inFlight.values()];
    this.#inFlight.clear();
    for (const pending of pendings) {
      pending.timer?.cancel();
      pending.reject(error);
    }
  }

  #failQueue(error: BurrowError): void {
    const pendings = this.#queue;
    this.#queue = [];
    for (const pending of pendings) {
      pending.timer?.cancel();
      pending.reject(error);
    }
  }

  #failWaiters(error: BurrowError, nowMs: number): void {
    const waiters = this.#readyWaiters;
    this.#readyWaiters = [];
    for (const waiter of waiters) {
      if (waiter.giveUpAtMs <= nowMs || !error.retriable) waiter.reject(error);
      else this.#readyWaiters.push(waiter);
    }
  }
}

function closedError(): BurrowError {
  return new BurrowError('CLIENT_CLOSED', 'The client was closed.');
}

function unreachable(address: string, reason: string): BurrowError {
  return new BurrowError(
    'CONNECTION_FAILED',
    `Cannot reach a broker at ${address}: ${reason}. Check the address (ws://host:port of the native listener), and that ` +
      'the broker runs.',
    { fields: { address } },
  );
}

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
import { decodeResponse, decodeServerFrame, encodeRequest } from '../src/protocol/frame.ts';
import type { MessageName, RequestOf, ResponseOf } from '../src/protocol/messages.ts';
import { GOING_AWAY_PUSH, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../src/protocol/version.ts';
import { type Backoff, backoffDelayMs } from './backoff.ts';
import type { ClientClock, ClientTimer } from './clock.ts';
import { ConnectionState } from './connection-state.ts';
import type { OpenSocket, Socket } from './socket-types.ts';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface ConnectionOptions {
  readonly clientId: string;
  /** Sent to brokers that want a login. */
  readonly credentials?: Credentials | undefined;
  readonly backoff: Backoff;
  /** For one attempt: socket and handshake together, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Largest message accepted from the broker, in bytes. */
  readonly frameBytesMax: number;
  readonly clock: ClientClock;
  readonly openSocket: OpenSocket;
}

/** What the broker said in its hello. */
export type Session = ResponseOf<'hello'>;

interface PendingRequest {
  readonly name: MessageName;
  readonly request: RequestOf<MessageName>;
  /** Whether the broker answers at all; if not, it is done when written. */
  readonly isAnswered: boolean;
  readonly resolve: (response: ResponseOf<MessageName>) => void;
  readonly reject: (error: BurrowError) => void;
  /** -1 until written. */
  correlationId: number;
  timer: ClientTimer | undefined;
  /** A fetch that was cancelled before it was written. */
  isCancelled: boolean;
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

/** What hello says of this client. */
const SOFTWARE = 'burrowmq-js/0.1';

export interface StreamHandlers {
  /** `type` is one of the protocol's; unknown ones are to be ignored. What it throws ends the connection: the broker sent nonsense. */
  onPush(type: number, body: unknown): void;
  /** Once; nothing comes after it. */
  onLost(error: BurrowError): void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #state: ConnectionState;
  readonly #clock: ClientClock;
  #socket: Socket | undefined;
  #session: Session | undefined;
  /** What the broker said in its hello, while it checks our login. */
  #greeted: Session | undefined;
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
  /** Whatever gets pushes: push streams and channels of queues, by id. */
  readonly #streams = new Map<number, StreamHandlers>();
  #nextStreamId = 1;

  constructor(addresses: readonly string[], options: ConnectionOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#state = new ConnectionState(addresses);
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
  request<N extends MessageName>(name: N, request: RequestOf<N>, timeoutMs: number): Promise<ResponseOf<N>> {
    return this.#enqueue(name, request, timeoutMs, true).done;
  }

  /** Sends what has no answer; resolves when the socket has taken it. */
  async notify<N extends MessageName>(name: N, request: RequestOf<N>, timeoutMs: number): Promise<void> {
    await this.#enqueue(name, request, timeoutMs, false).done;
  }

  /** A fetch that the broker can be asked to answer early. */
  fetch(
    request: RequestOf<'fetch'>,
    timeoutMs: number,
  ): { readonly done: Promise<ResponseOf<'fetch'>>; cancel(): void } {
    const { done, pending } = this.#enqueue('fetch', request, timeoutMs, true);
    const cancel = () => {
      if (pending === undefined || pending.isCancelled) return;
      pending.isCancelled = true;
      if (this.#inFlight.get(pending.correlationId) === pending) this.#writeCancel(pending);
    };
    return { done, cancel };
  }

  /** Hands on what is pushed under the id that it returns, until the connection is lost or {@link Connection.removeStream}. */
  addStream(handlers: StreamHandlers): number {
    const streamId = this.#nextStreamId;
    // Never used again, even by another socket: what is late finds nobody.
    this.#nextStreamId += 1;
    this.#streams.set(streamId, handlers);
    return streamId;
  }

  removeStream(streamId: number): void {
    this.#streams.delete(streamId);
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
    this.#failStreams(error);
    this.#failWaiters(error, Number.POSITIVE_INFINITY);
  }

  #enqueue<N extends MessageName>(
    name: N,
    request: RequestOf<N>,
    timeoutMs: number,
    isAnswered: boolean,
  ): { readonly done: Promise<ResponseOf<N>>; readonly pending: PendingRequest | undefined } {
    if (this.#state.phase === 'closed') return { done: Promise.reject(closedError()), pending: undefined };
    let pending: PendingRequest | undefined;
    const done = new Promise<ResponseOf<MessageName>>((resolve, reject) => {
      pending = {
        name,
        request,
        isAnswered,
        resolve,
        reject,
        correlationId: -1,
        timer: undefined,
        isCancelled: false,
      };
    });
    const queued = pending!;
    queued.timer = this.#clock.schedule(timeoutMs, () => this.#onRequestTimeout(queued, timeoutMs));
    this.#queue.push(queued);
    this.#maybeConnect();
    this.#writeQueue();
    return { done: done as Promise<ResponseOf<N>>, pending: queued };
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
    const hello = {
      protocolVersionMin: PROTOCOL_VERSION_MIN,
      protocolVersionMax: PROTOCOL_VERSION_MAX,
      clientId: this.#options.clientId,
      software: SOFTWARE,
    };
    socket.send(encodeRequest('hello', HELLO_CORRELATION_ID, hello), undefined);
  }

  #onMessage(socket: Socket | undefined, bytes: Uint8Array): void {
    if (socket === undefined || socket !== this.#socket) return;
    try {
      const frame = decodeServerFrame(bytes);
      if (frame.kind === 'push') {
        if (frame.type === GOING_AWAY_PUSH) this.#onGoingAway();
        else this.#streams.get(frame.streamId)?.onPush(frame.type, frame.body);
        return;
      }
      if (this.#greeted !== undefined) this.#onLogin(this.#greeted, frame.error);
      else if (this.#state.phase === 'handshaking') this.#onHello(frame.error, frame.body);
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
    const session = decodeResponse('hello', body);
    if (session.loginNeeded) this.#logIn(session);
    else this.#becomeReady(session);
  }

  #logIn(session: Session): void {
    const { credentials } = this.#options;
    if (credentials === undefined) {
      const text = `${this.#state.address} wants a login: give connect() a user and a password.`;
      this.#onSocketLost(this.#socket, text, new BurrowError('AUTHENTICATION_FAILED', text));
      return;
    }
    this.#greeted = session;
    this.#socket?.send(encodeRequest('authenticate', this.#takeCorrelationId(), credentials), undefined);
  }

  #onLogin(session: Session, error: BurrowError | undefined): void {
    if (error === undefined) this.#becomeReady(session);
    else this.#onSocketLost(this.#socket, error.message, error);
  }

  #becomeReady(session: Session): void {
    this.#greeted = undefined;
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
    else this.#resolve(pending, body);
    if (this.#goingAway && this.#inFlight.size === 0) this.#onSocketLost(this.#socket, 'the broker is going away');
    else this.#writeQueue();
  }

  #resolve(pending: PendingRequest, body: unknown): void {
    let response: ResponseOf<MessageName>;
    try {
      response = decodeResponse(pending.name, body);
    } catch (cause) {
      const text = `The broker's answer to ${pending.name} makes no sense: ${toBurrowError(cause).message}`;
      pending.reject(new BurrowError('MALFORMED_FRAME', text, { cause }));
      return;
    }
    pending.resolve(response);
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
      if (this.#inFlight.size >= session.limits.inFlightRequestsMax) break;
      written += 1;
      this.#write(socket, session, pending);
    }
    if (written > 0) this.#queue.splice(0, written);
  }

  #write(socket: Socket, session: Session, pending: PendingRequest): void {
    const correlationId = this.#takeCorrelationId();
    let bytes: Uint8Array;
    try {
      bytes = encodeRequest(pending.name, correlationId, pending.request);
      const { frameBytesMax } = session.limits;
      if (bytes.byteLength > frameBytesMax) {
        throw new BurrowError(
          'FRAME_TOO_LARGE',
          `A request of ${bytes.byteLength} bytes exceeds the broker's limit of ${frameBytesMax} bytes.`,
        );
      }
    } catch (error) {
      pending.timer?.cancel();
      pending.reject(toBurrowError(error));
      return;
    }
    pending.correlationId = correlationId;
    this.#inFlight.set(correlationId, pending);
    if (pending.isAnswered) {
      socket.send(bytes, undefined);
      if (pending.isCancelled) this.#writeCancel(pending);
    } else {
      socket.send(bytes, () => this.#onWritten(pending));
    }
  }

  #writeCancel(pending: PendingRequest): void {
    const request = { correlationId: pending.correlationId };
    this.#socket?.send(encodeRequest('cancelFetch', this.#takeCorrelationId(), request), undefined);
  }

  #onWritten(pending: PendingRequest): void {
    if (!this.#inFlight.delete(pending.correlationId)) return;
    pending.timer?.cancel();
    pending.resolve({});
    this.#writeQueue();
  }

  #takeCorrelationId(): number {
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId = correlationId + 1 < CORRELATION_ID_END ? correlationId + 1 : HELLO_CORRELATION_ID + 1;
    return correlationId;
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
    this.#greeted = undefined;
    this.#goingAway = false;
    this.#timer?.cancel();
    socket?.destroy();
    const failedRounds = this.#state.becomeWaiting();
    const delayMs =
      failedRounds === undefined ? 0 : backoffDelayMs(this.#options.backoff, failedRounds - 1, this.#clock.random());
    this.#timer = this.#clock.schedule(delayMs, () => this.#connect());
    if (wasReady) {
      const lost = `The connection to ${address} was lost (${reason}). The client reconnects.`;
      const error = new BurrowError('CONNECTION_LOST', lost);
      this.#failInFlight(error);
      this.#failStreams(error);
    } else {
      this.#onAttemptFailed(refusal ?? unreachable(address, reason), failedRounds !== undefined);
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

  #failStreams(error: BurrowError): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.onLost(error);
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

/**
 * One WebSocket connection: handshake, requests in, answers out in the order in which they are ready, limits and
 * back-pressure. Answers of one turn leave in one write. Per frame.
 *
 * What a peer may make the broker hold in memory is bounded at four places: requests (while too many are in flight the
 * socket is not read), fetches (`fetch-budget.ts`), pushes (`push-streams.ts`), and answers (while too many bytes wait for the
 * peer, none of its requests is started). Administrative requests run one after another, since a few bytes of them can ask for megabytes.
 */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { BurrowError, toBurrowError } from '../../../src/errors/burrow-error.ts';
import { checkClientId } from '../../../src/names.ts';
import {
  decodeRequest,
  decodeRequestFrame,
  encodeErrorResponse,
  encodeGoingAway,
  encodeResponse,
  encodeResponseParts,
  type RequestFrame,
} from '../../../src/protocol/frame.ts';
import { MESSAGES, messageName, type RequestOf, type ResponseOf } from '../../../src/protocol/messages.ts';
import { HELLO_FRAME_BYTES_MAX, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../../../src/protocol/version.ts';
import type { PendingFetch } from '../../partitions/broker-service.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { Identity } from '../../security/access-control.ts';
import { isLoopbackAddress } from '../loopback-address.ts';
import { closeReason } from './close-reason.ts';
import { type ConnectionWork, openWork } from './connection-work.ts';
import { FetchBudget } from './fetch-budget.ts';
import { firstFrameTooLarge, limitFirstFrames } from './first-frames.ts';
import type { QueueChannelMessage, SimpleMessage, StreamMessage } from './handler.ts';
import { beginFetch, fetchResponse, handle } from './handlers.ts';
import { Liveness } from './liveness.ts';
import type { NativeAccess } from './native-access.ts';
import type { NativeLimits } from './native-limits.ts';
import { Outgoing } from './outgoing.ts';

/** Close codes of the protocol, beside those of RFC 6455 section 7.4. */
const CLOSE_GOING_AWAY = 1001;
const CLOSE_PROTOCOL_ERROR = 1002;
const CLOSE_TOO_LARGE = 1009;
const CLOSE_HANDSHAKE_TIMEOUT = 4000;
const CLOSE_IDLE = 4001;
const CLOSE_TOO_SLOW = 4002;
const CLOSE_LOGIN_REFUSED = 4003;

/** Of `ws`: more than its maximum, and more than a number can hold. */
const TOO_LARGE_ERRORS = new Set(['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH']);

/** How long a peer may take to answer a close frame. */
const CLOSE_ANSWER_MS = 2000;
export interface ConnectionContext {
  readonly access: NativeAccess;
  readonly clock: Clock;
  readonly limits: NativeLimits;
  readonly logger: Logger;
  readonly nodeId: number;
  readonly clusterId: string;
  readonly software: string;
  readonly batchBytesMax: number;
}

type Phase =
  /** Only hello is taken. */
  | 'greeting'
  /** Only authenticate is taken, once. */
  | 'authenticating'
  /** Requests are taken. */
  | 'open'
  /** The broker goes away: what is in flight is answered, what comes is refused. */
  | 'leaving'
  /** A close frame is under way or the socket is gone; nothing is taken. */
  | 'closed';

export class NativeConnection {
  readonly #context: ConnectionContext;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #onClosed: () => void;
  readonly #budget: FetchBudget;
  readonly #liveness: Liveness;
  readonly #isLoopback: boolean;
  readonly #outgoing: Outgoing;
  #phase: Phase = 'greeting';
  /** Once the peer has said hello. */
  #clientId: string | undefined;
  /** Once it is let in. */
  #work: ConnectionWork | undefined;
  /** Ends what would end the connection with its user. */
  #unwatch: () => void = () => {};
  /** The password is being checked: nothing is taken. */
  #checkingLogin: boolean = false;
  /** Arrived but not started: one read of the socket may bring more than there is room for. */
  readonly #backlog: Buffer[] = [];
  /** Administrative requests that wait for the one that runs. */
  readonly #serial: Array<() => void> = [];
  #serialRunning: boolean = false;
  readonly #waitingFetches = new Map<number, PendingFetch>();
  /** Of joinGroup and syncGroup that wait for other members: answers SHUTTING_DOWN instead. */
  readonly #waitingJoins = new Set<() => void>();
  #inFlightRequests = 0;
  #inFlightBytes = 0;
  #serving: boolean = false;
  #reading: boolean = true;
  /** The end of the handshake, or of the wait for the peer's close frame. */
  #deadline: Timer;

  constructor(
    webSocket: WebSocket,
    socket: Socket,
    acceptedMs: number,
    context: ConnectionContext,
    onClosed: () => void,
  ) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#isLoopback = isLoopbackAddress(socket.remoteAddress);
    this.#outgoing = new Outgoing(socket);
    this.#context = context;
    this.#onClosed = onClosed;
    const { clock, limits } = context;
    this.#budget = new FetchBudget(limits.writeBufferedBytesMax, limits.inFlightFetchesMax);
    const nowMs = clock.monotonic();
    this.#liveness = new Liveness(socket, limits, nowMs);
    this.#deadline = clock.schedule(Math.max(0, acceptedMs + limits.handshakeTimeoutMs - nowMs), () => {
      this.#fail(CLOSE_HANDSHAKE_TIMEOUT, new BurrowError('HANDSHAKE_TIMEOUT'));
    });
    socket.setNoDelay(true);
    limitFirstFrames(socket, {
      isOver: () => this.#work !== undefined,
      framesMax: () => (this.#phase === 'greeting' ? 1 : 2),
      onTooLarge: (error) => this.#fail(CLOSE_TOO_LARGE, error),
    });
    webSocket.on('message', (data: Buffer, isBinary: boolean) => this.#onMessage(data, isBinary));
    webSocket.on('pong', () => this.#onHeard());
    webSocket.on('ping', () => this.#onHeard());
    webSocket.on('error', (error) => this.#onWebSocketError(error));
    webSocket.on('close', () => this.#onClose());
  }

  /** Called regularly: pings, and closes what is idle, too slow or takes nothing. */
  checkAlive(nowMs: number): void {
    if (this.#phase === 'closed') return;
    const state = { isReading: this.#reading, owesNothing: this.#webSocket.bufferedAmount === 0 };
    switch (this.#liveness.check(nowMs, state)) {
      case 'stalled':
        this.#log('connection cut off: the peer takes no answers', new BurrowError('CONNECTION_LOST'));
        this.#webSocket.terminate();
        break;
      case 'silent':
        this.#fail(CLOSE_IDLE, new BurrowError('CONNECTION_LOST', 'The peer has been silent for too long.'));
        break;
      case 'slow':
        this.#fail(CLOSE_TOO_SLOW, new BurrowError('CONNECTION_LOST', 'A message took too long to arrive.'));
        break;
      case 'quiet':
        if (this.#work !== undefined) this.#webSocket.ping();
        break;
    }
  }

  /** Tells the peer, answers what is in flight, refuses what comes, closes. */
  goAway(): void {
    if (this.#work === undefined && this.#phase !== 'closed') {
      this.#end(CLOSE_GOING_AWAY, new BurrowError('SHUTTING_DOWN'));
    }
    if (this.#phase !== 'open') return;
    this.#phase = 'leaving';
    this.#send(encodeGoingAway());
    for (const fetch of this.#waitingFetches.values()) fetch.cancel();
    for (const giveUp of [...this.#waitingJoins]) giveUp();
    this.#work?.streams.close();
    this.#serve();
  }

  #onHeard(): void {
    this.#liveness.onHeard(this.#context.clock.monotonic());
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    this.#onHeard();
    if (this.#phase === 'closed') return;
    if (!isBinary) {
      this.#fail(CLOSE_PROTOCOL_ERROR, new BurrowError('MALFORMED_FRAME', 'Messages must be binary, not text.'));
      return;
    }
    this.#backlog.push(data);
    this.#serve();
  }

  /** Starts what has arrived as far as there is room, and decides whether to read on. */
  #serve(): void {
    // Starting a request may end it, which leads here again.
    if (this.#serving) return;
    this.#serving = true;
    while (this.#phase !== 'closed' && this.#backlog.length > 0 && !this.#isFull()) {
      this.#receive(this.#backlog.shift()!);
    }
    this.#serving = false;
    if (this.#phase === 'closed') return;
    this.#runSerial();
    const isQuiet = this.#inFlightRequests === 0 && this.#backlog.length === 0;
    if (this.#phase === 'leaving' && isQuiet) this.#end(CLOSE_GOING_AWAY, new BurrowError('SHUTTING_DOWN'));
    else this.#setReading(this.#backlog.length === 0 && !this.#isFull());
  }

  #isFull(): boolean {
    const { inFlightRequestsMax, inFlightBytesMax } = this.#context.limits;
    return (
      this.#checkingLogin ||
      this.#inFlightRequests >= inFlightRequestsMax ||
      this.#inFlightBytes >= inFlightBytesMax ||
      this.#owesTooMuch()
    );
  }

  #owesTooMuch(): boolean {
    return this.#webSocket.bufferedAmount >= this.#context.limits.writeBufferedBytesMax;
  }

  #setReading(reading: boolean): void {
    if (reading === this.#reading) return;
    this.#reading = reading;
    if (!reading) {
      this.#webSocket.pause();
      return;
    }
    // It could not be heard while it was not read.
    this.#onHeard();
    this.#webSocket.resume();
  }

  #receive(data: Buffer): void {
    try {
      const frame = decodeRequestFrame(data);
      if (this.#phase === 'greeting') this.#greet(frame, data.length);
      else if (this.#phase === 'authenticating') this.#authenticate(frame, data.length);
      else this.#onRequest(frame, data.length);
    } catch (error) {
      const typed = toBurrowError(error);
      this.#fail(typed.code === 'FRAME_TOO_LARGE' ? CLOSE_TOO_LARGE : CLOSE_PROTOCOL_ERROR, typed);
    }
  }

  /** What is wrong with hello is answered before the connection is closed because of it. */
  #greet(frame: RequestFrame, bytes: number): void {
    try {
      this.#onHello(frame, bytes);
    } catch (error) {
      this.#send(this.#encodeError(frame.correlationId, error));
      throw error;
    }
  }

  #onHello(frame: RequestFrame, bytes: number): void {
    if (frame.api !== MESSAGES.hello.api) throw new BurrowError('UNEXPECTED_FRAME', 'The first request must be hello.');
    if (bytes > HELLO_FRAME_BYTES_MAX) throw firstFrameTooLarge();
    const { protocolVersionMin, protocolVersionMax, clientId } = decodeRequest('hello', frame.body);
    checkClientId(clientId);
    this.#clientId = clientId;
    if (protocolVersionMin > PROTOCOL_VERSION_MAX || protocolVersionMax < PROTOCOL_VERSION_MIN) {
      throw new BurrowError(
        'UNSUPPORTED_VERSION',
        `This broker speaks protocol versions ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}, the client ${protocolVersionMin} to ${protocolVersionMax}.`,
      );
    }
    const identity = this.#context.access.withoutLogin(this.#isLoopback);
    if (identity === undefined) this.#phase = 'authenticating';
    else this.#letIn(identity);
    const answer = helloAnswer(this.#context, protocolVersionMax, { loginNeeded: identity === undefined });
    this.#send(encodeResponse('hello', frame.correlationId, answer));
  }

  /** The one try that a connection has. */
  #authenticate({ api, correlationId, body }: RequestFrame, bytes: number): void {
    if (bytes > HELLO_FRAME_BYTES_MAX) throw firstFrameTooLarge();
    const refuse = (error: BurrowError, user: string | undefined): void => {
      this.#context.logger.warn({ peer: this.#socket.remoteAddress, user, code: error.code }, 'native login refused');
      this.#send(encodeErrorResponse(correlationId, error));
      this.#end(CLOSE_LOGIN_REFUSED, error);
      this.#terminateUnlessClosed();
    };
    if (api !== MESSAGES.authenticate.api) {
      refuse(new BurrowError('AUTHENTICATION_FAILED', 'This broker wants a user and a password.'), undefined);
      return;
    }
    const { user, password } = decodeRequest('authenticate', body);
    const finish = (identity: Identity | undefined): void => {
      this.#checkingLogin = false;
      if (this.#phase !== 'authenticating') return;
      if (identity === undefined) {
        refuse(new BurrowError('AUTHENTICATION_FAILED', 'The user or the password is wrong.'), user);
        return;
      }
      this.#letIn(identity);
      this.#send(encodeResponse('authenticate', correlationId, {}));
      this.#serve();
    };
    this.#checkingLogin = true;
    Promise.resolve(this.#context.access.withPassword(user, password, this.#isLoopback))
      .then(finish)
      .catch((error: unknown) => refuse(toBurrowError(error), user))
      .catch((error: unknown) => this.#log('checking a login failed', toBurrowError(error)));
  }

  #letIn(identity: Identity): void {
    this.#phase = 'open';
    this.#deadline.cancel();
    const { access, clock, limits } = this.#context;
    this.#work = openWork({
      services: access.servicesFor(identity),
      clock,
      limits,
      peer: { clientId: this.#clientId!, host: this.#socket.remoteAddress ?? '' },
      send: (parts, onTaken) => this.#sendParts(parts, onTaken),
      onTaken: this.#onTaken,
      owesTooMuch: () => this.#owesTooMuch(),
      isOpen: () => this.#phase === 'open',
      onUnexpected: (text, error) => this.#log(text, toBurrowError(error)),
    });
    this.#unwatch = access.watch(identity, () => this.goAway());
  }

  #onRequest(frame: RequestFrame, bytes: number): void {
    const { correlationId } = frame;
    this.#inFlightRequests++;
    this.#inFlightBytes += bytes;
    const done = (): void => {
      this.#inFlightRequests--;
      this.#inFlightBytes -= bytes;
      this.#serve();
    };
    try {
      if (this.#phase === 'leaving') throw new BurrowError('SHUTTING_DOWN');
      this.#start(frame, done);
    } catch (error) {
      this.#send(this.#encodeError(correlationId, error));
      done();
    }
  }

  /** Throws what is wrong with the request as a whole; otherwise calls `done` once it is answered. */
  #start({ api, correlationId, body }: RequestFrame, done: () => void): void {
    const name = messageName(api);
    switch (name) {
      case undefined:
        throw new BurrowError('UNSUPPORTED_VERSION', `There is no request with api number ${api}.`);
      case 'hello':
        throw new BurrowError('UNEXPECTED_FRAME', 'hello was sent twice.');
      case 'authenticate':
        throw new BurrowError('UNEXPECTED_FRAME', 'authenticate comes right after hello, where a login is needed.');
      case 'cancelFetch':
        this.#waitingFetches.get(decodeRequest(name, body).correlationId)?.cancel();
        done();
        return;
      case 'fetch':
        this.#startFetch(correlationId, decodeRequest(name, body), done);
        return;
      case 'openStream':
      case 'changeStream':
      case 'closeStream':
      case 'addCredit':
        this.#handleStream(name, decodeRequest(name, body), correlationId);
        done();
        return;
      case 'produce': {
        const request = decodeRequest(name, body);
        this.#answer(name, request, request.acks === 0 ? undefined : correlationId, done);
        return;
      }
      case 'listOffsets':
      case 'heartbeat':
      case 'leaveGroup':
      case 'commitOffsets':
        this.#answer(name, decodeRequest(name, body), correlationId, done);
        return;
      case 'joinGroup':
      case 'syncGroup':
        this.#startJoin(name, decodeRequest(name, body), correlationId, done);
        return;
      case 'openChannel':
      case 'closeChannel':
      case 'publish':
      case 'consume':
      case 'cancelConsumer':
      case 'settle':
      case 'getMessage':
      case 'addDeliveryCredit':
        this.#handleChannel(name, decodeRequest(name, body), correlationId, done);
        return;
      default: {
        const request = decodeRequest(name, body);
        this.#serial.push(() => {
          this.#answer(name, request, correlationId, () => {
            this.#serialRunning = false;
            done();
          });
        });
      }
    }
  }

  /** Starts the next administrative request, in a turn of its own, so that other connections get theirs in between. */
  #runSerial(): void {
    if (this.#serialRunning || this.#serial.length === 0 || this.#owesTooMuch()) return;
    this.#serialRunning = true;
    setImmediate(() => this.#serial.shift()?.());
  }

  /** Without a correlation id nothing is sent. */
  #answer<N extends SimpleMessage>(
    name: N,
    request: RequestOf<N>,
    correlationId: number | undefined,
    done: () => void,
  ): void {
    handle(name, this.#work!.context, request)
      .then((response) => correlationId !== undefined && encodeResponse(name, correlationId, response))
      .catch((error: unknown) => correlationId !== undefined && this.#encodeError(correlationId, error))
      .then((frame) => {
        if (frame !== false) this.#send(frame);
        done();
      })
      .catch((error: unknown) => this.#log('answering failed', toBurrowError(error)));
  }

  /** Waits for the other members of the group, for as long as a rebalance takes. */
  #startJoin<N extends 'joinGroup' | 'syncGroup'>(
    name: N,
    request: RequestOf<N>,
    correlationId: number,
    done: () => void,
  ): void {
    const { inFlightJoinsMax } = this.#context.limits;
    if (this.#waitingJoins.size >= inFlightJoinsMax) {
      throw new BurrowError('IN_FLIGHT_LIMIT', `A connection may have ${inFlightJoinsMax} joins waiting.`);
    }
    const answer = (frame: Uint8Array): void => {
      // Already given up, or the connection is gone: the member is left to its session timeout.
      if (!this.#waitingJoins.delete(giveUp)) return;
      this.#send(frame);
      done();
    };
    const giveUp = (): void => answer(this.#encodeError(correlationId, new BurrowError('SHUTTING_DOWN')));
    this.#waitingJoins.add(giveUp);
    handle(name, this.#work!.context, request)
      .then((response) => encodeResponse(name, correlationId, response))
      .catch((error: unknown) => this.#encodeError(correlationId, error))
      .then(answer)
      .catch((error: unknown) => this.#log('answering failed', toBurrowError(error)));
  }

  #startFetch(correlationId: number, request: RequestOf<'fetch'>, done: () => void): void {
    if (this.#waitingFetches.has(correlationId)) {
      throw new BurrowError('INVALID_ARGUMENT', `A fetch with correlation id ${correlationId} is waiting already.`);
    }
    const granted = this.#budget.grant(request.bytesMax);
    let pending: PendingFetch;
    try {
      pending = beginFetch(this.#work!.context, request, granted);
    } catch (error) {
      this.#budget.release(granted);
      throw error;
    }
    this.#waitingFetches.set(correlationId, pending);
    const onTaken = (): void => {
      this.#budget.release(granted);
      this.#onTaken();
    };
    pending.done
      .then((fetched) => encodeResponseParts('fetch', correlationId, fetchResponse(fetched)))
      .catch((error: unknown) => [this.#encodeError(correlationId, error)])
      .then((parts) => {
        this.#waitingFetches.delete(correlationId);
        this.#sendParts(parts, onTaken);
        done();
      })
      .catch((error: unknown) => this.#log('answering failed', toBurrowError(error)));
  }

  /** Carried out at once, so in the order in which they come. Credit is not answered. */
  #handleStream<N extends StreamMessage>(name: N, request: RequestOf<N>, correlationId: number): void {
    this.#work!.streams.handle(name, request);
    if (name !== 'addCredit') this.#send(encodeResponse<StreamMessage>(name, correlationId, {}));
  }

  /** Begun at once, so in the order in which they come; answered when it is done. */
  #handleChannel<N extends QueueChannelMessage>(
    name: N,
    request: RequestOf<N>,
    correlationId: number,
    done: () => void,
  ): void {
    const outcome = this.#work!.queueChannels.handle(name, request);
    if (!(outcome instanceof Promise)) {
      if (outcome !== undefined) this.#send(encodeResponse(name, correlationId, outcome));
      done();
      return;
    }
    outcome
      .then((response) => encodeResponseParts(name, correlationId, response))
      .catch((error: unknown) => [this.#encodeError(correlationId, error)])
      .then((parts) => {
        this.#sendParts(parts, this.#onTaken);
        done();
      })
      .catch((error: unknown) => this.#log('answering failed', toBurrowError(error)));
  }

  #encodeError(correlationId: number, error: unknown): Uint8Array {
    const typed = toBurrowError(error);
    if (typed.code === 'INTERNAL_ERROR') this.#log('request failed unexpectedly', typed);
    return encodeErrorResponse(correlationId, typed);
  }

  readonly #onTaken = (): void => {
    this.#serve();
    this.#work?.streams.resume();
    this.#work?.queueChannels.resume();
  };

  #send(message: Uint8Array): void {
    this.#sendParts([message], this.#onTaken);
  }

  /** `onTaken` is called when the message has left for the network, or cannot any more. */
  #sendParts(parts: readonly Uint8Array[], onTaken: () => void): void {
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#outgoing.write(parts, onTaken);
    else onTaken();
  }

  /** Ends a connection whose peer broke a rule; nobody else is affected. */
  #fail(closeCode: number, error: BurrowError): void {
    if (this.#phase === 'closed') return;
    this.#log('connection closed', error);
    this.#end(closeCode, error);
    this.#terminateUnlessClosed();
  }

  /** Closes after what has been sent. A listener that goes away waits for the peer as long as it can. */
  #end(closeCode: number, error: BurrowError): void {
    this.#becomeClosed();
    this.#webSocket.close(closeCode, closeReason(error));
    // The peer's close frame must be read.
    this.#setReading(true);
  }

  #becomeClosed(): void {
    this.#phase = 'closed';
    this.#deadline.cancel();
    this.#backlog.length = 0;
    this.#serial.length = 0;
    this.#unwatch();
    this.#work?.streams.close();
    this.#work?.queueChannels.close();
    this.#work?.queueSessions.close();
    for (const fetch of this.#waitingFetches.values()) fetch.cancel();
    this.#waitingJoins.clear();
  }

  /** A peer that does not answer the close frame is not waited for. */
  #terminateUnlessClosed(): void {
    this.#deadline = this.#context.clock.schedule(CLOSE_ANSWER_MS, () => this.#webSocket.terminate());
  }

  /** `ws` has sent the close frame. Followed by 'close'. */
  #onWebSocketError(error: Error & { code?: string }): void {
    if (this.#phase === 'closed') return;
    this.#becomeClosed();
    this.#terminateUnlessClosed();
    const isTooLarge = error.code !== undefined && TOO_LARGE_ERRORS.has(error.code);
    this.#log('connection closed', new BurrowError(isTooLarge ? 'FRAME_TOO_LARGE' : 'MALFORMED_FRAME', error.message));
  }

  #onClose(): void {
    this.#becomeClosed();
    this.#onClosed();
  }

  #log(text: string, error: BurrowError): void {
    const { remoteAddress: peer } = this.#socket;
    const fields = { peer, clientId: this.#clientId, code: error.code, reason: error.message };
    if (error.code === 'INTERNAL_ERROR') this.#context.logger.error({ ...fields, err: error.cause ?? error }, text);
    else this.#context.logger.warn(fields, text);
  }
}

function helloAnswer(
  { limits, nodeId, clusterId, software, batchBytesMax }: ConnectionContext,
  protocolVersionMax: number,
  { loginNeeded }: { readonly loginNeeded: boolean },
): ResponseOf<'hello'> {
  const { frameBytesMax, inFlightRequestsMax, inFlightBytesMax, idleTimeoutMs } = limits;
  const told = { frameBytesMax, inFlightRequestsMax, inFlightBytesMax, idleTimeoutMs, batchBytesMax };
  const protocolVersion = Math.min(protocolVersionMax, PROTOCOL_VERSION_MAX);
  return { protocolVersion, software, nodeId, clusterId, limits: told, loginNeeded };
}

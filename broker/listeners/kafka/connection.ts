/**
 * One client's connection: cuts requests from the stream, starts them in order, and answers them in the same order.
 *
 * A request that waits (a fetch for data) does not keep later ones from being read and started, only from being answered.
 * While too much is in flight, or the client does not take its responses, the socket is not read: TCP slows the client.
 * What breaks the protocol closes this connection and nothing else, with one line in the log.
 */
import type { Socket } from 'node:net';
import { BurrowError, toBurrowError } from '../../../src/errors/burrow-error.ts';
import type { GroupService } from '../../groups/group-service.ts';
import type { BrokerAddress, BrokerService } from '../../partitions/broker-service.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import { Outgoing } from '../outgoing.ts';
import type { AnnouncedApi, RequestContext } from './api.ts';
import { FrameCutter } from './frame-cutter.ts';
import type { KafkaLimits } from './limits.ts';
import { decodeRequest, encodeResponse, type KafkaRequest } from './request-frame.ts';

/** What a connection needs of its listener. */
export interface ConnectionHost {
  readonly service: BrokerService;
  readonly groups: GroupService;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: KafkaLimits;
  readonly announcedApis: readonly AnnouncedApi[];
  /** All brokers as a client that reached us at `localAddress` should see them. */
  brokersSeenFrom(localAddress: string): readonly BrokerAddress[];
  /** Called when a connection may hold notably more bytes than when it last called. */
  checkMemory(): void;
}

/** How many bytes a connection may gain before it has the memory of all connections checked. */
const CHECK_MEMORY_BYTES = 1024 * 1024;

/** A request on its way to its response. */
interface Exchange {
  readonly requestBytes: number;
  answered: boolean;
  /** Set with `answered`; undefined if the client expects no response. */
  response: Buffer[] | undefined;
  cancel: (() => void) | undefined;
}

export class KafkaConnection {
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #logger: Logger;
  readonly #cutter: FrameCutter;
  readonly #outgoing: Outgoing;
  /** Unanswered requests, and answered ones behind them, in the order of arrival. */
  #exchanges: Exchange[] = [];
  #inFlightBytes = 0;
  /** Bytes of responses that wait for an earlier one. */
  #heldBytes = 0;
  /** Bytes received and owed since the memory of all connections was checked. */
  #uncheckedBytes = 0;
  /** Serial requests that wait for the one that runs. */
  readonly #serialWaiting: Array<{ request: KafkaRequest; exchange: Exchange }> = [];
  #serialRunning = false;
  #reading = true;
  /** Whether the loop that starts requests runs. */
  #starting = false;
  #draining = false;
  #closed = false;
  /** Requests seen; 0 until the first. */
  #requests = 0;
  readonly #openedMs: number;
  #lastReadMs: number;
  /** When the frame that is arriving began, or its arrival was resumed. */
  #frameSinceMs: number | undefined;
  /** When the client last took something, or was first owed it. */
  #progressMs: number;

  constructor(socket: Socket, host: ConnectionHost) {
    this.#socket = socket;
    this.#host = host;
    this.#logger = host.logger.child({ remote: `${socket.remoteAddress}:${socket.remotePort}` });
    this.#cutter = new FrameCutter(host.limits.requestBytesMax);
    this.#outgoing = new Outgoing(socket, () => this.#onTaken());
    this.#openedMs = host.clock.monotonic();
    this.#lastReadMs = this.#openedMs;
    this.#progressMs = this.#openedMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error) => this.#logger.debug({ err: error }, 'kafka connection failed'));
    socket.on('close', () => this.#onClose());
  }

  #onData(chunk: Buffer): void {
    this.#lastReadMs = this.#host.clock.monotonic();
    this.#cutter.push(chunk);
    this.#readRequests();
    this.#onGrowth(chunk.length);
  }

  /** Bytes that this connection keeps in memory. */
  get bufferedBytes(): number {
    return this.#cutter.bytes + this.#inFlightBytes + this.#heldBytes + this.#outgoing.bytes;
  }

  #onGrowth(bytes: number): void {
    this.#uncheckedBytes += bytes;
    if (this.#uncheckedBytes < CHECK_MEMORY_BYTES) return;
    this.#uncheckedBytes = 0;
    this.#host.checkMemory();
  }

  /** Closes, since all connections together hold too much and this one holds most. */
  shed(): void {
    const { bufferedBytesTotalMax } = this.#host.limits;
    const message = `This connection holds most of more than ${bufferedBytesTotalMax} bytes (bufferedBytesTotalMax).`;
    this.#fail(new BurrowError('IN_FLIGHT_LIMIT', message, { fields: { bufferedBytes: this.bufferedBytes } }));
  }

  /** Starts all requests that have arrived and may be started, then decides whether to go on reading. */
  #readRequests(): void {
    let starved = false;
    this.#starting = true;
    try {
      while (!this.#isFull() && !starved) {
        const frame = this.#cutter.next();
        if (frame === undefined) starved = true;
        else this.#startRequest(frame);
      }
    } catch (error) {
      this.#fail(toBurrowError(error));
    }
    this.#starting = false;
    const partial = starved && this.#cutter.partial;
    this.#frameSinceMs = partial ? (this.#frameSinceMs ?? this.#host.clock.monotonic()) : undefined;
    this.#setReading(starved);
  }

  #isFull(): boolean {
    const { limits } = this.#host;
    return (
      this.#closed ||
      this.#draining ||
      this.#exchanges.length >= limits.inFlightRequestsMax ||
      this.#inFlightBytes >= limits.inFlightBytesMax ||
      this.#owesTooMuch()
    );
  }

  #owesTooMuch(): boolean {
    return this.#outgoing.bytes + this.#heldBytes >= this.#host.limits.outgoingBytesMax;
  }

  #setReading(reading: boolean): void {
    if (reading === this.#reading || this.#closed) return;
    this.#reading = reading;
    if (reading) this.#socket.resume();
    else this.#socket.pause();
  }

  #startRequest(frame: Buffer): void {
    this.#requests++;
    this.#frameSinceMs = undefined;
    const request = decodeRequest(frame, this.#host.limits.requestElementsMax);
    const exchange: Exchange = { requestBytes: frame.length, answered: false, response: undefined, cancel: undefined };
    this.#exchanges.push(exchange);
    this.#inFlightBytes += frame.length;
    if (!request.api.serial) this.#run(request, exchange);
    else {
      this.#serialWaiting.push({ request, exchange });
      this.#runSerial();
    }
  }

  #contextOf({ version, clientId }: KafkaRequest, exchange: Exchange): RequestContext {
    const { service, groups, limits, announcedApis } = this.#host;
    return {
      service,
      groups,
      version,
      clientId,
      clientHost: `/${this.#socket.remoteAddress ?? ''}`,
      limits,
      announcedApis,
      logger: this.#logger,
      brokers: () => this.#host.brokersSeenFrom(this.#socket.localAddress ?? ''),
      onCancel: (cancel) => {
        exchange.cancel = cancel;
        if (this.#draining || this.#closed) cancel();
      },
    };
  }

  #runSerial(): void {
    const next = this.#serialWaiting[0];
    if (this.#serialRunning || this.#closed || next === undefined) return;
    // Responses that are held wait for the first exchange: it must go on, whatever they amount to.
    const isFirst = next.exchange === this.#exchanges[0];
    if (isFirst ? this.#outgoing.bytes >= this.#host.limits.outgoingBytesMax : this.#owesTooMuch()) return;
    this.#serialWaiting.shift();
    this.#serialRunning = true;
    this.#run(next.request, next.exchange);
  }

  #run(request: KafkaRequest, exchange: Exchange): void {
    const { api, message } = request;
    const finish = (response: unknown): void => {
      if (this.#closed) return;
      if (api.serial) this.#serialRunning = false;
      this.#answer(exchange, response === undefined ? undefined : encodeResponse(request, response));
      this.#goOn();
    };
    const fail = (error: unknown): void => this.#fail(toBurrowError(error));
    try {
      const response = api.handle(message, this.#contextOf(request, exchange));
      if (response instanceof Promise) response.then(finish).catch(fail);
      else finish(response);
    } catch (error) {
      fail(error);
    }
  }

  /** Sends the response when all earlier requests have theirs. */
  #answer(exchange: Exchange, response: Buffer[] | undefined): void {
    exchange.answered = true;
    exchange.response = response;
    exchange.cancel = undefined;
    const bytes = framesBytes(response);
    this.#heldBytes += bytes;
    let sent = 0;
    for (; sent < this.#exchanges.length && this.#exchanges[sent]!.answered; sent++) this.#send(this.#exchanges[sent]!);
    if (sent > 0) this.#exchanges = this.#exchanges.slice(sent);
    this.#onGrowth(bytes);
  }

  #send({ requestBytes, response }: Exchange): void {
    this.#inFlightBytes -= requestBytes;
    if (response === undefined) return;
    this.#heldBytes -= framesBytes(response);
    if (this.#outgoing.bytes === 0) this.#progressMs = this.#host.clock.monotonic();
    this.#outgoing.push(response);
  }

  /** The client took bytes. */
  #onTaken(): void {
    this.#progressMs = this.#host.clock.monotonic();
    this.#goOn();
  }

  /** A request was answered or the client took bytes: there may be room for more. */
  #goOn(): void {
    if (this.#closed) return;
    this.#runSerial();
    // Requests that are answered at once come by here from within the loop that starts them, which goes on by itself.
    if (!this.#reading && !this.#starting) this.#readRequests();
    this.#maybeEnd();
  }

  /** Closes if a deadline has passed. Called by the listener at intervals. */
  checkDeadlines(nowMs: number): void {
    if (this.#closed) return;
    const { limits } = this.#host;
    if (this.#requests === 0 && nowMs - this.#openedMs > limits.firstRequestTimeoutMs) {
      this.#fail(new BurrowError('HANDSHAKE_TIMEOUT', 'The client sent no request (firstRequestTimeoutMs).'));
    } else if (this.#frameSinceMs !== undefined && nowMs - this.#frameSinceMs > limits.requestArrivalTimeoutMs) {
      this.#fail(new BurrowError('MALFORMED_FRAME', 'The request arrives too slowly (requestArrivalTimeoutMs).'));
    } else if (this.#outgoing.bytes > 0 && nowMs - this.#progressMs > limits.writeStallTimeoutMs) {
      this.#fail(new BurrowError('CONNECTION_LOST', 'The client does not take its responses (writeStallTimeoutMs).'));
    } else if (this.#isIdle() && nowMs - Math.max(this.#lastReadMs, this.#progressMs) > limits.idleTimeoutMs) {
      this.#logger.debug({}, 'kafka connection closed: idle');
      this.#socket.destroy();
    }
  }

  #isIdle(): boolean {
    return this.#exchanges.length === 0 && this.#outgoing.bytes === 0;
  }

  /** Reads no more, answers what is in flight, then closes. */
  drain(): void {
    if (this.#closed || this.#draining) return;
    this.#draining = true;
    this.#setReading(false);
    for (const exchange of this.#exchanges) exchange.cancel?.();
    this.#maybeEnd();
  }

  #maybeEnd(): void {
    if (this.#draining && this.#isIdle()) this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #fail(error: BurrowError): void {
    if (this.#closed) return;
    const log = error.code === 'INTERNAL_ERROR' ? this.#logger.error : this.#logger.warn;
    const fields = { code: error.code, cause: error.message, ...error.fields };
    log.call(this.#logger, error.cause === undefined ? fields : { ...fields, err: error }, 'kafka connection closed');
    this.#onClose();
    this.#socket.destroy();
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#serialWaiting.length = 0;
    for (const exchange of this.#exchanges) exchange.cancel?.();
    this.#exchanges = [];
  }
}

function framesBytes(buffers: readonly Buffer[] | undefined): number {
  let bytes = 0;
  if (buffers !== undefined) for (const buffer of buffers) bytes += buffer.length;
  return bytes;
}

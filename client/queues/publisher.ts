/**
 * Publishes to the exchanges of one virtual host: messages of one turn leave in one request, and more gather while some requests are
 * not confirmed yet. A request whose outcome is unknown since the connection was lost is sent again, in the old order, until
 * its time is up; so a message is stored at least once, and its copies can be told apart by its message id only.
 * Per message: no closures; one promise.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { entryError } from '../../src/protocol/frame.ts';
import type { ResponseOf } from '../../src/protocol/messages.ts';
import { PackedPublishesWriter } from '../../src/protocol/packed-publishes.ts';
import { backoffDelayMs } from '../backoff.ts';
import type { ClientTimer } from '../clock.ts';
import type { Cluster } from '../cluster.ts';
import { Channel } from './channel.ts';

export interface PublisherOptions {
  /** How long a message may take to be confirmed, in milliseconds, attempts after lost connections included. Default 30,000. */
  readonly publishTimeoutMs: number;
  /** Of messages that are not confirmed. Beyond it publishing rejects with BUFFER_FULL. Default 64 MiB. */
  readonly publishBufferBytes: number;
}

export const PUBLISHER_DEFAULTS: PublisherOptions = { publishTimeoutMs: 30_000, publishBufferBytes: 64 * 1024 * 1024 };

/** Requests that are not confirmed; more only gather. */
const REQUESTS_IN_FLIGHT_MAX = 4;
/** A request ends when it has either. */
const REQUEST_MESSAGES_MAX = 2000;
const REQUEST_BYTES_MAX = 256 * 1024;

/** After these the same request may be sent again. */
const MAY_PASS: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'CONNECTION_LOST',
  'REQUEST_TIMED_OUT',
  'CONNECTION_FAILED',
  'CHANNEL_NOT_FOUND',
  'SHUTTING_DOWN',
]);

type Resolve = () => void;
type Reject = (error: BurrowError) => void;

class Batch {
  readonly messages: Uint8Array;
  readonly resolves: readonly Resolve[];
  readonly rejects: readonly Reject[];
  readonly deadlineMs: number;
  /** Requests are sent again in this order. */
  readonly ordinal: number;

  constructor(
    messages: Uint8Array,
    promises: { readonly resolves: readonly Resolve[]; readonly rejects: readonly Reject[] },
    deadlineMs: number,
    ordinal: number,
  ) {
    this.messages = messages;
    this.resolves = promises.resolves;
    this.rejects = promises.rejects;
    this.deadlineMs = deadlineMs;
    this.ordinal = ordinal;
  }

  rejectAll(error: BurrowError): void {
    for (const reject of this.rejects) reject(error);
  }
}

export class Publisher {
  readonly #cluster: Cluster;
  readonly #virtualHost: string;
  readonly #options: PublisherOptions;
  readonly #writer = new PackedPublishesWriter();
  #resolves: Resolve[] = [];
  #rejects: Reject[] = [];
  // One executor serves all promises, so that a message costs no closure.
  readonly #executor = (resolve: Resolve, reject: Reject): void => {
    this.#resolves.push(resolve);
    this.#rejects.push(reject);
  };
  #channel: Channel | undefined;
  /** To be sent, in order. */
  #ready: Batch[] = [];
  #inFlight = 0;
  #bufferedBytes = 0;
  #nextOrdinal = 0;
  /** An outcome is unknown: nothing is sent until everything in flight has come to an end, and then in the old order. */
  #broken = false;
  #failures = 0;
  #timer: ClientTimer | undefined;
  #isFlushScheduled = false;
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(cluster: Cluster, virtualHost: string, options: PublisherOptions) {
    this.#cluster = cluster;
    this.#virtualHost = virtualHost;
    this.#options = options;
  }

  /** Resolves when it is confirmed. `exchange` and `routingKey` must have been checked. Per message. */
  publish(
    exchange: string,
    routingKey: string,
    properties: Uint8Array,
    body: Uint8Array,
    mandatory: boolean,
  ): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    const bytes = properties.length + body.length;
    if (this.#bufferedBytes > 0 && this.#bufferedBytes + bytes > this.#options.publishBufferBytes) {
      const text = `Messages of ${this.#bufferedBytes} bytes are not confirmed yet; publishBufferBytes allows ${this.#options.publishBufferBytes}. Wait for some.`;
      return Promise.reject(new BurrowError('BUFFER_FULL', text));
    }
    const writer = this.#writer;
    // Before the message and not after it: its promise must be made in the same batch.
    const isFull = writer.byteCount + bytes > REQUEST_BYTES_MAX || writer.count >= REQUEST_MESSAGES_MAX;
    if (isFull) this.#endBatch();
    const before = writer.byteCount;
    writer.append(exchange, routingKey, properties, body, mandatory);
    this.#bufferedBytes += writer.byteCount - before;
    if (!this.#isFlushScheduled) {
      this.#isFlushScheduled = true;
      this.#cluster.clock.afterTurn(this.#onTurnEnd);
    }
    return new Promise(this.#executor);
  }

  /** Waits for at most `timeoutMs` until everything is confirmed; what is not then, fails. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    if (!this.#isIdle && timeoutMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#cluster.clock.schedule(timeoutMs, resolve);
        this.#onIdle = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    this.#timer?.cancel();
    this.#endBatch();
    for (const batch of this.#ready.splice(0)) batch.rejectAll(closedError());
    this.#channel?.close();
  }

  get #isIdle(): boolean {
    return this.#inFlight === 0 && this.#ready.length === 0 && this.#writer.count === 0;
  }

  readonly #onTurnEnd = (): void => {
    this.#isFlushScheduled = false;
    this.#pump();
  };

  #endBatch(): void {
    if (this.#writer.count === 0) return;
    const deadlineMs = this.#cluster.clock.monotonic() + this.#options.publishTimeoutMs;
    const promises = { resolves: this.#resolves, rejects: this.#rejects };
    this.#resolves = [];
    this.#rejects = [];
    this.#ready.push(new Batch(this.#writer.finish(), promises, deadlineMs, this.#nextOrdinal++));
  }

  #pump(): void {
    while (!this.#broken && this.#inFlight < REQUESTS_IN_FLIGHT_MAX) {
      if (this.#ready.length === 0) this.#endBatch();
      const batch = this.#ready.shift();
      if (batch === undefined) break;
      this.#send(batch);
    }
    if (this.#isIdle) this.#onIdle?.();
  }

  #send(batch: Batch): void {
    const { clock, options } = this.#cluster;
    const timeoutMs = Math.max(1, Math.min(options.requestTimeoutMs, batch.deadlineMs - clock.monotonic()));
    this.#inFlight++;
    const request = { count: batch.resolves.length, messages: [batch.messages] };
    this.#openChannel()
      .request('publish', request, timeoutMs)
      .then(
        (answer) => this.#onAnswer(batch, answer),
        (error) => this.#onFailure(batch, toBurrowError(error)),
      );
  }

  #openChannel(): Channel {
    if (this.#channel === undefined || this.#channel.ended) {
      const handlers = { onDeliveries: ignore, onConsumerEnded: ignore, onLost: ignore };
      const { options } = this.#cluster;
      this.#channel = new Channel(this.#cluster.any(), this.#virtualHost, handlers, options.requestTimeoutMs);
    }
    return this.#channel;
  }

  #onAnswer(batch: Batch, { refused, unroutable }: ResponseOf<'publish'>): void {
    this.#failures = 0;
    this.#bufferedBytes -= batch.messages.length;
    const { resolves, rejects } = batch;
    for (const run of refused) {
      const error = entryError(run) ?? new BurrowError('INTERNAL_ERROR');
      for (let index = run.start; index < Math.min(run.end, rejects.length); index++) rejects[index]!(error);
    }
    for (const { start, end } of unroutable) {
      const error = new BurrowError('UNROUTABLE');
      for (let index = start; index < Math.min(end, rejects.length); index++) rejects[index]!(error);
    }
    // Has no effect on those that were rejected.
    for (let index = 0; index < resolves.length; index++) resolves[index]!();
    this.#onEnded();
  }

  #onFailure(batch: Batch, error: BurrowError): void {
    const isLate = this.#cluster.clock.monotonic() >= batch.deadlineMs;
    if (MAY_PASS.has(error.code) && !isLate && !this.#cluster.closed) {
      this.#broken = true;
      this.#ready.push(batch);
    } else {
      this.#bufferedBytes -= batch.messages.length;
      batch.rejectAll(isLate && MAY_PASS.has(error.code) ? lateError(error, this.#options.publishTimeoutMs) : error);
    }
    this.#onEnded();
  }

  #onEnded(): void {
    this.#inFlight--;
    if (!this.#broken) {
      this.#pump();
      return;
    }
    if (this.#inFlight > 0) return;
    this.#ready.sort((a, b) => a.ordinal - b.ordinal);
    const { backoff, clock } = this.#cluster;
    this.#channel?.close();
    this.#timer = clock.schedule(backoffDelayMs(backoff, this.#failures, clock.random()), () => {
      this.#broken = false;
      this.#pump();
    });
    this.#failures++;
  }
}

function ignore(): void {}

function closedError(): BurrowError {
  return new BurrowError('CLIENT_CLOSED', 'The client was closed.');
}

function lateError(cause: BurrowError, timeoutMs: number): BurrowError {
  return new BurrowError('DELIVERY_TIMEOUT', `The message was not confirmed within ${timeoutMs} ms: ${cause.message}`, {
    cause,
  });
}

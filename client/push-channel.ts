/**
 * One push stream over one connection: opens it, changes it, gives credit, and notices when it has come to an end: by a refusal,
 * or with its connection. It never opens itself anew; whoever uses it does, at the offsets reached by then.
 *
 * Streams are silent while nothing is produced, so a broker that is gone without a word would not be missed: now and then the
 * stream asks for an answer.
 */
import { type BurrowError, toBurrowError } from '../src/errors/burrow-error.ts';
import type { ErrorName } from '../src/errors/table.ts';
import type { RecordsPush, RequestOf } from '../src/protocol/messages.ts';
import type { ClientClock, ClientTimer } from './clock.ts';
import type { Connection } from './connection.ts';

export interface PushChannelHandlers {
  onRecords(push: RecordsPush): void;
  /** Once; nothing comes after it. */
  onLost(error: BurrowError): void;
}

const LOST_WITH_CONNECTION: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'CONNECTION_LOST',
  'CONNECTION_FAILED',
  'REQUEST_TIMED_OUT',
  'CLIENT_CLOSED',
]);

/** After this much silence it is asked whether the stream is still there, in milliseconds. */
const SILENCE_MS = 10_000;

export class PushChannel {
  readonly #connection: Connection;
  readonly #clock: ClientClock;
  readonly #handlers: PushChannelHandlers;
  readonly #timeoutMs: number;
  readonly #streamId: number;
  #ended: boolean = false;
  #heard: boolean = false;
  #timer: ClientTimer | undefined;

  constructor(
    connection: Connection,
    request: Omit<RequestOf<'openStream'>, 'streamId'>,
    handlers: PushChannelHandlers,
    options: { readonly clock: ClientClock; readonly timeoutMs: number },
  ) {
    this.#connection = connection;
    this.#clock = options.clock;
    this.#handlers = handlers;
    this.#timeoutMs = options.timeoutMs;
    this.#streamId = connection.addStream({
      onRecords: (push) => {
        this.#heard = true;
        handlers.onRecords(push);
      },
      onLost: (error) => this.#lose(error),
    });
    connection.request('openStream', { ...request, streamId: this.#streamId }, options.timeoutMs).then(
      // It may have been given up while the connection was being opened.
      () => this.#ended && this.#sendClose(),
      (error) => this.#lose(toBurrowError(error)),
    );
    this.#scheduleCheck();
  }

  /** Removes first. */
  change(change: Omit<RequestOf<'changeStream'>, 'streamId'>): void {
    if (this.#ended) return;
    this.#connection
      .request('changeStream', { ...change, streamId: this.#streamId }, this.#timeoutMs)
      .catch((error) => this.#lose(toBurrowError(error)));
  }

  addCredit(records: number, bytes: number): void {
    if (this.#ended) return;
    // What becomes of it is seen by what comes.
    this.#connection.notify('addCredit', { streamId: this.#streamId, records, bytes }, this.#timeoutMs).catch(ignore);
  }

  /** Nothing more of it is handed on. */
  close(): void {
    if (this.#ended) return;
    this.#end();
    this.#sendClose();
  }

  #sendClose(): void {
    this.#connection.request('closeStream', { streamId: this.#streamId }, this.#timeoutMs).catch(ignore);
  }

  #lose(error: BurrowError): void {
    if (this.#ended) return;
    this.#end();
    // A change that was refused leaves the stream open; with its connection it is gone.
    if (!LOST_WITH_CONNECTION.has(error.code)) this.#sendClose();
    this.#handlers.onLost(error);
  }

  #end(): void {
    this.#ended = true;
    this.#timer?.cancel();
    this.#connection.removeStream(this.#streamId);
  }

  #scheduleCheck(): void {
    this.#timer = this.#clock.schedule(SILENCE_MS, () => {
      if (!this.#heard) this.change({ remove: [], add: [] });
      this.#heard = false;
      this.#scheduleCheck();
    });
  }
}

function ignore(): void {}

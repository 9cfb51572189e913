/**
 * A watch on etcd that goes on at another member when a stream ends, from the revision after the last one it knows, so
 * that nothing is missed or told twice. If etcd has forgotten that revision meanwhile, the watch says so and ends.
 */
import type { IEvent, IWatchRequest, IWatchResponse } from 'etcd3';
import type { Clock, Timer } from '../ports/clock.ts';
import type { CoordinatorEntry, CoordinatorEvent, CoordinatorWatch } from './coordinator.ts';
import type { EtcdKeys } from './etcd-keys.ts';
import type { EtcdStream } from './etcd-member.ts';

export interface EtcdWatchOptions {
  readonly clock: Clock;
  readonly keys: EtcdKeys;
  readonly prefix: string;
  readonly fromRevision: number;
  readonly onEvent: (event: CoordinatorEvent) => void;
  /** A new stream, from whichever member seems well. */
  readonly openStream: () => Promise<EtcdStream<IWatchRequest, IWatchResponse>>;
  /** The member of the last stream does not seem well. */
  readonly onBroken: (error: unknown) => void;
  /** How long etcd may take to begin. */
  readonly timeoutMs: number;
}

const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1_000;

export class EtcdWatch implements CoordinatorWatch {
  readonly #options: EtcdWatchOptions;
  #nextRevision: number;
  #stream: EtcdStream<IWatchRequest, IWatchResponse> | undefined;
  #timer: Timer | undefined;
  #retryMs = RETRY_MS_MIN;
  #cancelled: boolean = false;

  constructor(options: EtcdWatchOptions) {
    this.#options = options;
    // 0 would mean: from now on.
    this.#nextRevision = Math.max(1, options.fromRevision);
    void this.#connect();
  }

  cancel(): void {
    this.#cancelled = true;
    this.#timer?.cancel();
    this.#leave();
  }

  async #connect(): Promise<void> {
    const { clock, keys, prefix, timeoutMs } = this.#options;
    let stream: EtcdStream<IWatchRequest, IWatchResponse>;
    try {
      stream = await this.#options.openStream();
    } catch (error) {
      this.#retry(error);
      return;
    }
    // Also afterwards: a stream that was cancelled has an error as its last word.
    stream.on('error', (error) => this.#onEnd(stream, error));
    stream.on('end', () => this.#onEnd(stream, new Error('etcd ended the stream')));
    if (this.#cancelled) {
      stream.cancel();
      return;
    }
    this.#stream = stream;
    this.#timer = clock.schedule(timeoutMs, () => this.#onEnd(stream, new Error('etcd does not begin to watch')));
    stream.on('data', (response) => {
      if (this.#stream === stream) this.#onResponse(stream, response);
    });
    const range = keys.range(prefix);
    stream.write({ create_request: { ...range, start_revision: this.#nextRevision, progress_notify: true } });
  }

  #onResponse(stream: EtcdStream<IWatchRequest, IWatchResponse>, response: IWatchResponse): void {
    if (response.canceled) {
      if (response.compact_revision === '0') {
        this.#onEnd(stream, new Error(`etcd cancelled the watch: ${response.cancel_reason}`));
        return;
      }
      this.cancel();
      this.#options.onEvent({ kind: 'compacted' });
      return;
    }
    this.#retryMs = RETRY_MS_MIN;
    this.#timer?.cancel();
    for (const event of changesOf(response.events, this.#options.keys)) {
      if (event.revision < this.#nextRevision) continue;
      this.#nextRevision = event.revision + 1;
      this.#options.onEvent(event);
      if (this.#cancelled) return;
    }
    // A notification of progress: there was nothing for us up to there.
    if (!response.created && response.events.length === 0) {
      this.#nextRevision = Math.max(this.#nextRevision, Number(response.header.revision) + 1);
    }
  }

  #onEnd(stream: EtcdStream<IWatchRequest, IWatchResponse>, error: unknown): void {
    if (this.#stream !== stream) return;
    this.#leave();
    this.#retry(error);
  }

  #leave(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.cancel();
  }

  #retry(error: unknown): void {
    if (this.#cancelled) return;
    this.#options.onBroken(error);
    this.#timer?.cancel();
    this.#timer = this.#options.clock.schedule(this.#retryMs, () => void this.#connect());
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }
}

type Change = CoordinatorEvent & { readonly kind: 'changed' };

/** etcd never spreads the events of one revision over several responses, unless it is asked to. */
function changesOf(events: readonly IEvent[], keys: EtcdKeys): Change[] {
  const changes: Array<Change & { readonly set: CoordinatorEntry[]; readonly removed: string[] }> = [];
  for (const { type, kv } of events) {
    const revision = Number(kv.mod_revision);
    let change = changes.at(-1);
    if (change?.revision !== revision) {
      change = { kind: 'changed', revision, set: [], removed: [] };
      changes.push(change);
    }
    if (type === 'Delete' || String(type) === 'DELETE') change.removed.push(keys.decode(kv.key));
    else change.set.push(keys.entry(kv));
  }
  return changes;
}

/**
 * The coordinator of several machines: etcd, through the etcd3 package.
 *
 * - Requests end in bounded time, and their number is bounded: while etcd cannot be reached they are refused, not kept.
 * - Reads, renewals and revocations may be made twice, so they are tried at each member. A transaction is sent once, to a
 *   member that is connected: made twice, it would be told that its conditions do not hold although it made the change.
 * - Revisions are etcd's, which counts what others change in it as well.
 */
import type { IKeyValue, IRangeRequest, IRangeResponse } from 'etcd3';
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock } from '../ports/clock.ts';
import { type Logger, silentLogger } from '../ports/logger.ts';
import type {
  Coordinator,
  CoordinatorEntry,
  CoordinatorEvent,
  CoordinatorLease,
  CoordinatorTransaction,
  CoordinatorWatch,
  TransactionOutcome,
} from './coordinator.ts';
import { fromEtcd, isCompacted } from './etcd-errors.ts';
import { EtcdKeys } from './etcd-keys.ts';
import { EtcdLease } from './etcd-lease.ts';
import { type CallOptions, type EtcdCredentials, EtcdMember } from './etcd-member.ts';
import { EtcdWatch } from './etcd-watch.ts';
import { checkTransaction, checkTtl, type TransactionLimits } from './store-operation.ts';

export interface EtcdCoordinatorOptions extends TransactionLimits {
  /** `host:port`, at least one. */
  readonly members: readonly string[];
  /** Of all keys; does not end with `/`. */
  readonly prefix: string;
  readonly credentials: EtcdCredentials;
  readonly clock: Clock;
  readonly logger?: Logger;
  /** How long a request may take. Default 5 s. */
  readonly timeoutMs?: number;
  /** Requests that may be under way. Default 1024. */
  readonly requestsMax?: number;
}

const TIMEOUT_MS = 5_000;
const REQUESTS_MAX = 1_024;
/** Entries in one response of a list. */
const PAGE_ENTRIES = 1_000;
/** A list that etcd compacts away while it is read begins anew. */
const LIST_ATTEMPTS = 5;
/** etcd has no lease of this id. */
const NO_SUCH_LEASE = '-1';
const LEASE_ID = /^\d{1,19}$/;

export class EtcdCoordinator implements Coordinator {
  readonly #options: EtcdCoordinatorOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #keys: EtcdKeys;
  readonly #timeoutMs: number;
  readonly #requestsMax: number;
  readonly #members: readonly EtcdMember[];
  #preferred = 0;
  readonly #requests = new Set<Promise<unknown>>();
  readonly #watches = new Set<CoordinatorWatch>();
  #closed: boolean = false;

  /**
   * Resolves when etcd has answered a first time.
   * @throws BurrowError COORDINATION_UNAVAILABLE; INVALID_CONFIG if it refuses user, password, certificate or rights
   */
  static async open(options: EtcdCoordinatorOptions): Promise<EtcdCoordinator> {
    const coordinator = new EtcdCoordinator(options);
    try {
      await coordinator.get('');
    } catch (error) {
      await coordinator.close();
      throw error;
    }
    return coordinator;
  }

  /** @internal Use {@link EtcdCoordinator.open}. */
  constructor(options: EtcdCoordinatorOptions) {
    const { members, prefix, credentials, clock, logger = silentLogger } = options;
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#keys = new EtcdKeys(prefix);
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#requestsMax = options.requestsMax ?? REQUESTS_MAX;
    this.#members = members.map(
      (address) => new EtcdMember(address, credentials, clock, this.#attemptMs(members.length)),
    );
  }

  async get(key: string): Promise<{ entry: CoordinatorEntry | undefined; revision: number }> {
    const { kvs, header } = await this.#range({ key: this.#keys.encode(key) });
    const [kv] = kvs;
    return { entry: kv === undefined ? undefined : this.#keys.entry(kv), revision: Number(header.revision) };
  }

  async list(prefix: string): Promise<{ entries: readonly CoordinatorEntry[]; revision: number }> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#list(prefix);
      } catch (error) {
        if (!isBurrowError(error) || !isCompacted(error.cause) || attempt === LIST_ATTEMPTS) throw error;
      }
    }
  }

  async transaction(transaction: CoordinatorTransaction): Promise<TransactionOutcome> {
    this.#checkOpen();
    checkTransaction(transaction, this.#options);
    const { set = [], remove = [] } = transaction;
    const request = {
      compare: (transaction.if ?? []).map((condition) => this.#keys.compare(condition)),
      success: [
        ...set.map(({ key, value, leaseId }) => ({
          request_put: {
            key: this.#keys.encode(key),
            value: Buffer.from(value, 'utf8'),
            ...(leaseId === undefined ? {} : { lease: LEASE_ID.test(leaseId) ? leaseId : NO_SUCH_LEASE }),
          },
        })),
        ...remove.map((key) => ({ request_delete_range: { key: this.#keys.encode(key) } })),
      ],
    };
    const { succeeded, responses, header } = await this.#once((member, options) => member.keys.txn(request, options));
    const removed = responses.some(({ response_delete_range: range }) => range != null && Number(range.deleted) > 0);
    const changed = succeeded && (set.length > 0 || removed);
    return { committed: succeeded, changed, revision: Number(header.revision) };
  }

  watch(prefix: string, fromRevision: number, onEvent: (event: CoordinatorEvent) => void): CoordinatorWatch {
    this.#checkOpen();
    let member = this.#member;
    const watch = new EtcdWatch({
      clock: this.#clock,
      keys: this.#keys,
      prefix,
      fromRevision,
      onEvent,
      timeoutMs: this.#timeoutMs,
      openStream: async () => {
        // Refreshes the login if it has expired, and finds a member that is well.
        await this.get('');
        member = this.#member;
        return member.openWatch(this.#timeoutMs);
      },
      onBroken: (error) => {
        this.#logger.warn({ err: error, member: member.address, prefix }, 'a watch on etcd was interrupted');
        this.#avoid(member);
      },
    });
    const tracked = {
      cancel: () => {
        this.#watches.delete(tracked);
        watch.cancel();
      },
    };
    this.#watches.add(tracked);
    return tracked;
  }

  async grantLease(ttlMs: number): Promise<CoordinatorLease> {
    this.#checkOpen();
    checkTtl(ttlMs);
    return this.#repeatedly(async (member, options) => {
      const sentMs = this.#clock.monotonic();
      const { ID, TTL } = await member.leases.leaseGrant({ TTL: Math.ceil(ttlMs / 1000) }, options);
      return new EtcdLease({
        id: ID,
        ttlMs: Number(TTL) * 1000,
        sentMs,
        clock: this.#clock,
        keepAlive: (id) => this.#repeatedly((each, _, attemptMs) => each.keepAlive(id, attemptMs)),
        revoke: async (id) => {
          await this.#repeatedly((each, callOptions) => each.leases.leaseRevoke({ ID: id }, callOptions));
        },
      });
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const watch of [...this.#watches]) watch.cancel();
    await Promise.allSettled([...this.#requests]);
    for (const member of this.#members) member.close();
  }

  #range(request: IRangeRequest): Promise<IRangeResponse> {
    return this.#repeatedly((member, options) => member.keys.range(request, options));
  }

  /** Page by page, all as of the revision of the first. */
  async #list(prefix: string): Promise<{ entries: readonly CoordinatorEntry[]; revision: number }> {
    const { key, range_end } = this.#keys.range(prefix);
    const first = await this.#range({ key, range_end, limit: PAGE_ENTRIES });
    const revision = Number(first.header.revision);
    const kvs: IKeyValue[] = [...first.kvs];
    for (let more = first.more; more; ) {
      const behind = Buffer.concat([kvs.at(-1)!.key, Buffer.alloc(1)]);
      const page = await this.#range({ key: behind, range_end, limit: PAGE_ENTRIES, revision });
      for (const kv of page.kvs) kvs.push(kv);
      more = page.more;
    }
    // etcd sorts by bytes.
    const entries = kvs.map((kv) => this.#keys.entry(kv)).sort((a, b) => (a.key < b.key ? -1 : 1));
    return { entries, revision };
  }

  /** Asks each member until one answers; for requests that may be made twice. */
  #repeatedly<T>(ask: (member: EtcdMember, options: CallOptions, timeoutMs: number) => Promise<T>): Promise<T> {
    return this.#track(async () => {
      const attemptMs = this.#attemptMs(this.#members.length);
      let failure: BurrowError | undefined;
      for (let attempt = 0; attempt < this.#members.length; attempt++) {
        const member = this.#member;
        try {
          return await member.within(attemptMs, (options) => ask(member, options, attemptMs));
        } catch (error) {
          failure = fromEtcd(error);
          if (failure.code !== 'COORDINATION_UNAVAILABLE' || isCompacted(error)) throw failure;
          this.#avoid(member);
        }
      }
      throw failure ?? new BurrowError('COORDINATION_UNAVAILABLE');
    });
  }

  /** Asks the first member that is connected. */
  #once<T>(ask: (member: EtcdMember, options: CallOptions) => Promise<T>): Promise<T> {
    return this.#track(async () => {
      let failure: BurrowError | undefined;
      for (let attempt = 0; attempt < this.#members.length; attempt++) {
        const member = this.#member;
        try {
          await member.connected(this.#attemptMs(this.#members.length));
        } catch (error) {
          failure = fromEtcd(error);
          if (failure.code !== 'COORDINATION_UNAVAILABLE') throw failure;
          this.#avoid(member);
          continue;
        }
        try {
          return await member.within(this.#timeoutMs, (options) => ask(member, options));
        } catch (error) {
          failure = fromEtcd(error);
          if (failure.code === 'COORDINATION_UNAVAILABLE') this.#avoid(member);
          throw failure;
        }
      }
      throw failure ?? new BurrowError('COORDINATION_UNAVAILABLE');
    });
  }

  async #track<T>(work: () => Promise<T>): Promise<T> {
    this.#checkOpen();
    if (this.#requests.size >= this.#requestsMax) {
      throw new BurrowError('COORDINATION_UNAVAILABLE', `${this.#requestsMax} requests wait for etcd already.`);
    }
    const request = work();
    this.#requests.add(request);
    try {
      return await request;
    } finally {
      this.#requests.delete(request);
    }
  }

  #attemptMs(members: number): number {
    return Math.ceil(this.#timeoutMs / members);
  }

  /** The one to ask first. */
  get #member(): EtcdMember {
    return this.#members[this.#preferred]!;
  }

  /** From now on another one is asked first, if there is any. Others may have found out at the same time. */
  #avoid(member: EtcdMember): void {
    if (this.#member === member) this.#preferred = (this.#preferred + 1) % this.#members.length;
  }

  #checkOpen(): void {
    if (this.#closed) throw new BurrowError('SHUTTING_DOWN', 'The coordinator is closed.');
  }
}

/**
 * One member of an etcd cluster: requests to it that end in bounded time, and streams from it. Which member is asked, and
 * whether again, is up to the caller: the retries of the etcd3 package are off, since it would also repeat a transaction
 * that was made and only whose answer was lost.
 */
import type { Duplex } from 'node:stream';
import { rootCertificates } from 'node:tls';
import {
  Etcd3,
  type ILeaseKeepAliveRequest,
  type ILeaseKeepAliveResponse,
  type IOptions,
  type IWatchRequest,
  type IWatchResponse,
  type KVClient,
  type LeaseClient,
} from 'etcd3';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock } from '../ports/clock.ts';

export interface EtcdCredentials {
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly tls: boolean;
  /** PEM. */
  readonly ca?: Buffer | undefined;
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

export interface CallOptions {
  /** When etcd3 gives up, by the wall clock, as gRPC wants it. */
  readonly deadline: number;
}

/** What a bidirectional stream of gRPC is for us. */
export interface EtcdStream<Request, Response> {
  write(request: Request): unknown;
  on(event: 'data', listener: (response: Response) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  cancel(): void;
}

type PoolPolicy = ReturnType<NonNullable<NonNullable<IOptions['faultHandling']>['host']>>;

/** Does what it is asked for, once. */
const ONCE: PoolPolicy = {
  _altReturn: undefined as never,
  onSuccess: () => ({ dispose: () => {} }),
  onFailure: () => ({ dispose: () => {} }),
  execute: async (call, signal) => call({ signal: signal ?? new AbortController().signal }),
};

const GRPC_OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // A connection whose other end vanished is noticed. etcd refuses pings more often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.max_receive_message_length': -1,
};

export class EtcdMember extends Etcd3 {
  readonly address: string;
  readonly #clock: Clock;

  constructor(address: string, credentials: EtcdCredentials, clock: Clock, timeoutMs: number) {
    const { user, password, tls, ca, cert, key } = credentials;
    const own = cert !== undefined && key !== undefined ? { certChain: cert, privateKey: key } : {};
    const trusted = ca ?? (cert === undefined ? undefined : Buffer.from(rootCertificates.join('\n')));
    super({
      hosts: `${tls ? 'https' : 'http'}://${address}`,
      grpcOptions: GRPC_OPTIONS,
      faultHandling: { host: () => ONCE, global: ONCE },
      ...(trusted === undefined ? {} : { credentials: { rootCertificate: trusted, ...own } }),
      ...(user === undefined || password === undefined
        ? {}
        : {
            auth: {
              username: user,
              password,
              callOptions: () => ({ deadline: clock.now() + timeoutMs }),
            },
          }),
    });
    this.address = address;
    this.#clock = clock;
  }

  get keys(): KVClient {
    return this.kv;
  }

  get leases(): LeaseClient {
    return this.leaseClient;
  }

  /**
   * Runs a call, and gives up after `timeoutMs` whatever becomes of it.
   * @throws BurrowError COORDINATION_UNAVAILABLE then; else what the call throws
   */
  async within<T>(timeoutMs: number, call: (options: CallOptions) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = this.#clock.schedule(timeoutMs, () =>
        reject(new BurrowError('COORDINATION_UNAVAILABLE', `etcd at ${this.address} did not answer.`)),
      );
      call({ deadline: this.#clock.now() + timeoutMs })
        .then(resolve, reject)
        .finally(() => timer.cancel());
    });
  }

  /** Resolves when it is connected: then what is sent arrives, unless the connection breaks. */
  async connected(timeoutMs: number): Promise<void> {
    await this.within(timeoutMs, (options) =>
      this.pool.withConnection('KV', ({ client }) => {
        const { waitForReady } = client as {
          waitForReady(deadline: number, done: (error?: Error) => void): void;
        };
        return new Promise<void>((resolve, reject) => {
          waitForReady.call(client, options.deadline, (error) => (error ? reject(error) : resolve()));
        });
      }),
    );
  }

  /** The remaining time to live in seconds as etcd grants it anew; 0 or less: there is no such lease. */
  async keepAlive(leaseId: string, timeoutMs: number): Promise<number> {
    return this.within(timeoutMs, async (options) => {
      const stream = await this.#open<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>(
        'Lease',
        'leaseKeepAlive',
        options,
      );
      try {
        return await new Promise<number>((resolve, reject) => {
          stream.on('data', ({ TTL }) => resolve(Number(TTL)));
          stream.on('error', reject);
          stream.on('end', () => reject(new Error('etcd ended the stream')));
          stream.write({ ID: leaseId });
        });
      } finally {
        // Its last word is an error, that it was cancelled.
        stream.cancel();
      }
    });
  }

  /** Ends with an error when the member has lost its leader, instead of telling nothing for ever. */
  async openWatch(timeoutMs: number): Promise<EtcdStream<IWatchRequest, IWatchResponse>> {
    let late: boolean = false;
    try {
      return await this.within(timeoutMs, async () => {
        const stream = await this.#open<IWatchRequest, IWatchResponse>('Watch', 'watch', {});
        if (late) {
          stream.on('error', () => {});
          stream.cancel();
        }
        return stream;
      });
    } finally {
      late = true;
    }
  }

  #open<Request, Response>(
    service: 'Lease' | 'Watch',
    method: 'leaseKeepAlive' | 'watch',
    options: object,
  ): Promise<EtcdStream<Request, Response>> {
    return this.pool.withConnection(service, ({ client, metadata }) => {
      const asked = metadata.clone();
      asked.set('hasleader', 'true');
      const open = (client as unknown as Record<string, (metadata: unknown, options: object) => Duplex>)[method]!;
      return open.call(client, asked, options) as unknown as EtcdStream<Request, Response>;
    });
  }
}

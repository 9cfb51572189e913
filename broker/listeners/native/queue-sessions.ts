/** The queue sessions of one connection: one for each virtual host that it uses, opened when it does first. */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { QueueService, QueueSession } from '../../queues/queue-service.ts';

export interface QueueSessionsOptions {
  readonly service: QueueService | undefined;
  /** The broker has ended the session: its virtual host is gone, or the broker stops. */
  onEnded(virtualHost: string, error: BurrowError): void;
  onUnexpected(error: unknown): void;
}

export class QueueSessions {
  readonly #options: QueueSessionsOptions;
  readonly #sessions = new Map<string, QueueSession>();
  #closed = false;

  constructor(options: QueueSessionsOptions) {
    this.#options = options;
  }

  /** @throws BurrowError NOT_IMPLEMENTED where the listener has no queues */
  get service(): QueueService {
    const { service } = this.#options;
    if (service === undefined) throw new BurrowError('NOT_IMPLEMENTED', 'This broker has no queues.');
    return service;
  }

  /** @throws BurrowError VHOST_NOT_FOUND, NOT_IMPLEMENTED */
  session(virtualHost: string): QueueSession {
    const known = this.#sessions.get(virtualHost);
    if (known !== undefined) return known;
    // A request that was waiting its turn while the connection was lost.
    if (this.#closed) throw new BurrowError('CONNECTION_LOST');
    const session = this.service.openSession(virtualHost, (error) => {
      this.#sessions.delete(virtualHost);
      this.#options.onEnded(virtualHost, error);
    });
    this.#sessions.set(virtualHost, session);
    return session;
  }

  /** Exclusive queues go with it. */
  close(): void {
    this.#closed = true;
    for (const session of this.#sessions.values()) session.close().catch(this.#options.onUnexpected);
    this.#sessions.clear();
  }
}

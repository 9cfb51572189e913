/** A running broker as its owner sees it, and how it stops: in order, within bounds, once. */
import { BurrowError, toBurrowError } from '../src/errors/burrow-error.ts';
import type { GroupService } from './groups/group-service.ts';
import type { BrokerService } from './partitions/broker-service.ts';
import type { Clock } from './ports/clock.ts';
import type { Logger } from './ports/logger.ts';
import type { QueueService } from './queues/queue-service.ts';
import type { UserService } from './security/user-service.ts';

export type ListenerName = 'native' | 'nativeTls' | 'kafka' | 'amqp' | 'amqpTls';

export interface Broker {
  /** Ports that are listened on; a listener that is off is absent. */
  readonly ports: { readonly [Name in ListenerName]?: number };
  /** Where clients on this machine connect: `ws://127.0.0.1:7420`, `127.0.0.1:9092`, `127.0.0.1:5672`. */
  readonly addresses: { readonly [Name in ListenerName]?: string };
  /** The data folder, or `'memory'`. */
  readonly dataDir: string;
  /** For use in the same process, without a connection. */
  readonly service: BrokerService;
  /** Likewise: consumer groups. */
  readonly groups: GroupService;
  /** Likewise: exchanges and queues. */
  readonly queues: QueueService;
  /** Likewise: users and their permissions, which what is used in the same process does not ask for. */
  readonly users: UserService;
  /** Resolves when the broker has stopped: with undefined after `close()`, with the reason if it had to stop by itself. */
  readonly stopped: Promise<BurrowError | undefined>;
  /**
   * Stops taking connections and requests, answers what is in flight, saves everything and gives the data folder back.
   * Takes seconds at most, but for a disk that does not answer: then it rejects with STORAGE_ERROR. A second call waits for
   * the first.
   */
  close(): Promise<void>;
}

/** One part of a broker, in the order in which they were started; stopped in the reverse order. */
interface Part {
  readonly name: string;
  readonly stop: () => Promise<void> | void;
}

/** A disk that takes longer than this is stuck; nothing acknowledged depends on it. */
const STOP_TIMEOUT_MS = 20_000;

export class Parts {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #parts: Part[] = [];
  #stopping: Promise<void> | undefined;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  add(name: string, stop: Part['stop']): void {
    this.#parts.push({ name, stop });
  }

  /**
   * Stops all parts, those below one that fails too, but nothing below one that does not end. Rejects with the first
   * failure. Called again, it also stops what was added meanwhile.
   */
  stop(): Promise<void> {
    this.#stopping = (this.#stopping ?? Promise.resolve()).finally(() => this.#stopAll());
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    let failure: BurrowError | undefined;
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      const ended = await this.#stopOne(part).catch((error: unknown) => {
        this.#logger.error({ part: part?.name, error: String(error) }, 'a part of the broker did not stop cleanly');
        failure ??= toBurrowError(error);
        return true;
      });
      if (ended) continue;
      // What lies below is still in use: the folder's lock above all.
      throw new BurrowError('STORAGE_ERROR', `Stopping ${part.name} took longer than ${STOP_TIMEOUT_MS} ms.`);
    }
    if (failure !== undefined) throw failure;
  }

  /** False if it takes too long. */
  async #stopOne(part: Part): Promise<boolean> {
    const stopped = Promise.resolve(part.stop()).then(() => true);
    let giveUp: () => void = () => {};
    const tooLong = new Promise<boolean>((resolve) => {
      giveUp = () => resolve(false);
    });
    const timer = this.#clock.schedule(STOP_TIMEOUT_MS, giveUp);
    try {
      return await Promise.race([stopped, tooLong]);
    } finally {
      timer.cancel();
    }
  }
}

/** What a virtual host needs of what it calls a queue: a queue (`queue.ts`), or a stream (`stream-queue.ts`). */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import type { QueueSettings } from '../definitions/queue-settings.ts';
import type { MessageView, PublishedMessage } from './message-batch.ts';
import type { StoredTarget } from './message-log.ts';
import type { ConsumedQueue } from './queue-consumer.ts';

export interface HostedQueue extends ConsumedQueue {
  /** Messages that wait for consumers; of a stream: all it has. */
  readonly readyCount: number;
  /** Deliveries that consumers have not settled yet. */
  readonly unsettledCount: number;
  readonly consumerCount: number;
  /** Bytes of the logs that hold its messages. */
  readonly storedBytes: number;
  /** Why messages cannot be read at the moment. */
  readonly failure: BurrowError | undefined;
  /** To be called once all queues of the virtual host are there. */
  begin(): void;
  /** Takes a message, or returns false if it is full; `target` is told by its `number` what became of it. Per message. */
  publish(message: PublishedMessage, target: StoredTarget | undefined, number: number): boolean;
  /** Removes all messages that are ready, and returns how many they were. */
  purge(): Promise<number>;
  /** Shows messages without taking them. Resolves with how many there were. */
  browse(
    options: { readonly limit: number; readonly skip: number },
    onMessage: (view: MessageView) => void,
  ): Promise<number>;
  /** Its policy has changed. */
  reconfigure(settings: QueueSettings): void;
  /** Resolves when the outcome of everything that was published before the call is known. */
  settled(): Promise<void>;
  /** Hands out nothing any more; consumers are told. */
  close(reason: BurrowError): void;
}

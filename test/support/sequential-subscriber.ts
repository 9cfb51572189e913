/**
 * The simplest way to heed a failure policy, as docs/dead-letters.md tells it for pull consumers: in a group, one record after the
 * other, committed when it is finished.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Client, Consumer, FailurePolicy, RawRecord } from '../../client/index.ts';

export type Handler = (record: RawRecord) => Promise<void> | void;

export class SequentialSubscriber {
  readonly consumer: Consumer;
  /** Resolves when closed; rejects with the error that stopped it. */
  readonly done: Promise<void>;
  readonly #policy: FailurePolicy;
  readonly #handler: Handler;
  #closed: boolean = false;

  constructor(client: Client, group: string, topics: readonly string[], policy: FailurePolicy, handler: Handler) {
    this.#policy = policy;
    this.#handler = handler;
    this.consumer = client.consumer({
      group,
      topics: [...topics, ...policy.retryTopics],
      from: 'earliest',
      autoCommit: false,
    });
    this.done = this.#run();
    this.done.catch(() => {});
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.done.catch(() => {});
    await this.consumer.close();
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      for (const record of await this.consumer.poll({ timeoutMs: 50, maxRecords: 100 })) {
        if (this.#closed) return;
        await pause(this.#policy.waitMs(record, Date.now()));
        await this.#process(record);
        const { topic, partition, offset } = record;
        await this.consumer.commit([{ topic, partition, offset: offset + 1 }]);
      }
    }
  }

  async #process(record: RawRecord): Promise<void> {
    for (let attempts = this.#policy.attemptsBefore(record) + 1; ; attempts += 1) {
      try {
        return await this.#handler(record);
      } catch (error) {
        const decision = this.#policy.decide(record, attempts, error);
        if (decision.kind === 'stop') throw error;
        if (decision.kind === 'setAside') return await this.#policy.setAside(record, attempts, error);
        await pause(decision.delayMs);
      }
    }
  }
}

/** A broker in memory, and clients that produce to it and subscribe. */
import { onTestFinished } from 'vitest';
import { type BrokerOptions, startBroker } from '../../../broker/index.ts';
import { type Client, connect, type DeadLetter, isBurrowError, stringSerializer } from '../../../client/index.ts';
import type { FailureDecision, FailurePolicy, RawRecord } from '../../../client/subscriber/failure-policy.ts';

export const text = { keyDeserializer: stringSerializer, valueDeserializer: stringSerializer };

/** A group that finds out quickly. */
export const quick = { heartbeatIntervalMs: 30, sessionTimeoutMs: 6000, autoCommitIntervalMs: 20 };

export async function startBed(options: Partial<BrokerOptions> = {}) {
  const broker = await startBroker({ storage: 'memory', groupInitialRebalanceDelayMs: 0, ...options });
  onTestFinished(() => broker.close());
  const address = broker.addresses.native!;
  const client = await connectTo(address);
  const producer = client.producer({ keySerializer: stringSerializer, valueSerializer: stringSerializer });
  const produce = (topic: string, records: ReadonlyArray<{ key?: string; value: string; partition?: number }>) =>
    producer.sendMany(records.map((record) => ({ topic, ...record })));
  return { broker, client, produce, address };
}

export async function connectTo(address: string): Promise<Client> {
  const client = await connect(address, { reconnectBackoff: { initialMs: 5, maxMs: 50 } });
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  return client;
}

/** Offsets that the group has committed, by topic and partition. */
export async function committed(client: Client, group: string): Promise<Array<number | undefined>> {
  const { partitions } = await client.admin().describeGroup(group);
  return partitions.map(({ committedOffset }) => committedOffset);
}

/** Records with numbers as values, for partition 0. */
export const numbered = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => ({ value: `${from + index}`, partition: 0 }));

/** The dead letters of a topic; none if it does not exist. */
export async function deadLettersOf(client: Client, topic: string): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = [];
  try {
    for await (const letter of client.deadLetters().read(topic)) letters.push(letter);
  } catch (error) {
    if (!isBurrowError(error, 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
  }
  return letters;
}

/** Waits, for at most fifteen seconds. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`never came true: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Resolves when the test lets it. */
export class Gate {
  open!: () => void;
  readonly opened: Promise<void> = new Promise((resolve) => {
    this.open = resolve;
  });
}

/** A policy whose decisions a test makes; sets aside into a list. */
export class TestPolicy implements FailurePolicy {
  readonly asides: Array<{ readonly record: RawRecord; readonly attempts: number; readonly error: unknown }> = [];
  readonly retryTopics: readonly string[] = [];
  onDecide: (record: RawRecord, attempts: number, error: unknown) => FailureDecision;
  onSetAside: (record: RawRecord) => Promise<void> = () => Promise.resolve();

  constructor(onDecide: TestPolicy['onDecide'], retryTopics: readonly string[] = []) {
    this.onDecide = onDecide;
    this.retryTopics = retryTopics;
  }

  decide(record: RawRecord, attempts: number, error: unknown): FailureDecision {
    return this.onDecide(record, attempts, error);
  }

  async setAside(record: RawRecord, attempts: number, error: unknown): Promise<void> {
    await this.onSetAside(record);
    this.asides.push({ record, attempts, error });
  }

  /** The header `due` tells when. */
  waitMs(record: RawRecord, nowMs: number): number {
    const due = record.headers.find(({ key }) => key === 'due')?.value;
    return due == null ? 0 : Math.max(0, Number(new TextDecoder().decode(due)) - nowMs);
  }

  attemptsBefore(record: RawRecord): number {
    return record.headers.filter(({ key }) => key === 'attempt').length;
  }

  checkTopic(): void {}

  addTopics(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

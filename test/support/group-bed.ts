/** A broker with one topic and one group of members of any client, and what they have seen; to be looked at from outside. */
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, vi } from 'vitest';
import { BrokerProcess } from '../../bench/support/broker-process.ts';
import { startBroker } from '../../broker/index.ts';
import { type AssignorName, type Client, type Consumer, connect } from '../../client/index.ts';
import { type ForeignMemberKind, startForeignMember } from './foreign-members.ts';

export const PARTITIONS = 6;
export const GROUP = 'g';
export const TOPIC = 't';
/** Short, but a busy machine must not miss it. */
export const SESSION_TIMEOUT_MS = 1500;
const HEARTBEAT_INTERVAL_MS = 100;
const COMMIT_INTERVAL_MS = 100;
const WAIT = { timeout: 30_000, interval: 20 };

export interface Addresses {
  readonly native: string;
  readonly kafka: string;
}

export class GroupBed {
  readonly #addresses: Addresses;
  readonly #client: Client;
  /** By `partition/offset`: how often. */
  readonly seen = new Map<string, number>();
  #produced = 0;

  private constructor(addresses: Addresses, client: Client) {
    this.#addresses = addresses;
    this.#client = client;
  }

  static async start(addresses: Addresses): Promise<GroupBed> {
    const client = await connect(addresses.native, { reconnectBackoff: { initialMs: 10, maxMs: 100 } });
    onTestFinished(() => client.close({ timeoutMs: 1000 }));
    await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
    return new GroupBed(addresses, client);
  }

  readonly #onRecord = (place: string): void => {
    this.seen.set(place, (this.seen.get(place) ?? 0) + 1);
  };

  startForeign(kind: ForeignMemberKind, assignor: AssignorName): ChildProcess {
    const { kafka: address, native: nativeUrl } = this.#addresses;
    const options = { address, nativeUrl, group: GROUP, topic: TOPIC, assignor, sessionTimeoutMs: SESSION_TIMEOUT_MS };
    return startForeignMember(kind, options, this.#onRecord);
  }

  startNative(assignor: AssignorName): Consumer {
    const consumer = this.#client.consumer({
      group: GROUP,
      topics: [TOPIC],
      assignors: [assignor],
      from: 'earliest',
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
      autoCommitIntervalMs: COMMIT_INTERVAL_MS,
    });
    void (async () => {
      for await (const { partition, offset } of consumer) this.#onRecord(`${partition}/${offset}`);
    })();
    return consumer;
  }

  /** Evenly to all partitions. */
  async produce(count: number): Promise<void> {
    const producer = this.#client.producer();
    const value = new Uint8Array(3);
    const records = Array.from({ length: count }, (_, index) => ({
      topic: TOPIC,
      partition: index % PARTITIONS,
      value,
    }));
    await producer.sendMany(records);
    await producer.close();
    this.#produced += count;
  }

  /** Resolves when every record that was produced has been seen. */
  async allSeen(): Promise<void> {
    await vi.waitFor(() => expect(this.seen.size).toBe(this.#produced), WAIT);
  }

  /** Resolves when that is known to the group too. */
  async allCommitted(): Promise<void> {
    const expected = Array.from({ length: PARTITIONS }, () => this.#produced / PARTITIONS);
    await vi.waitFor(async () => expect(await this.#committed()).toEqual(expected), WAIT);
  }

  /** Resolves when these are the committed offsets, in the order of their size. */
  async committedAre(expected: readonly number[]): Promise<void> {
    const sorted = async () => (await this.#committed()).sort((a = -1, b = -1) => a - b);
    await vi.waitFor(async () => expect(await sorted()).toEqual(expected), WAIT);
  }

  async #committed(): Promise<Array<number | undefined>> {
    const { partitions } = await this.#client.admin().describeGroup(GROUP);
    return [...partitions].sort((a, b) => a.partition - b.partition).map(({ committedOffset }) => committedOffset);
  }

  /** Resolves when the group has settled on this: by client id, how many partitions each of its members has. */
  async shares(expected: Readonly<Record<string, readonly number[]>>): Promise<void> {
    await vi.waitFor(async () => expect(await this.#shares()).toEqual(expected), WAIT);
  }

  async #shares(): Promise<Record<string, number[]>> {
    const { state, members } = await this.#client.admin().describeGroup(GROUP);
    const shares: Record<string, number[]> = {};
    if (state !== 'Stable') return shares;
    for (const { clientId, assignment } of members) {
      shares[clientId] ??= [];
      shares[clientId].push(assignment.length);
    }
    return shares;
  }
}

/** In memory, in this process. */
export async function startGroupBed(): Promise<GroupBed> {
  const broker = await startBroker({
    storage: 'memory',
    groupInitialRebalanceDelayMs: 0,
    groupMinSessionTimeoutMs: SESSION_TIMEOUT_MS,
  });
  onTestFinished(() => broker.close());
  return GroupBed.start({ native: broker.addresses.native!, kafka: broker.addresses.kafka! });
}

/** With a broker process that can be killed and started again at the same addresses. Needs the built code. */
export async function startBedToKill(): Promise<{ bed: GroupBed; kill(): Promise<void>; startAgain(): Promise<void> }> {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-groups-'));
  const flags = ['--group-min-session-timeout-ms', String(SESSION_TIMEOUT_MS), '--log-level', 'error'];
  const start = (port: number, kafkaPort: number) => BrokerProcess.start({ dataDir, port, kafkaPort, flags });
  let broker = await start(0, 0);
  onTestFinished(async () => {
    await broker.kill();
    fs.rmSync(dataDir, { recursive: true, force: true });
  });
  const { nativeUrl, kafkaAddress } = broker;
  const portOf = (address: string): number => Number(address.split(':').at(-1));
  return {
    bed: await GroupBed.start({ native: nativeUrl, kafka: kafkaAddress! }),
    kill: () => broker.kill(),
    async startAgain() {
      broker = await start(portOf(nativeUrl), portOf(kafkaAddress!));
    },
  };
}

/** What producers and consumers ask of the cluster, as requests to the right node. */

import { BurrowError } from '../src/errors/burrow-error.ts';
import type { Backoff } from './backoff.ts';
import type { ClientClock } from './clock.ts';
import type { Cluster } from './cluster.ts';
import type { Connection } from './connection.ts';
import type { ConsumerHost } from './consumer/consumer.ts';
import type { Credit } from './consumer/credit-state.ts';
import type { Isolation } from './consumer/cursor-feed.ts';
import type { FetchCall, FetchLimits, FetchTarget } from './consumer/fetcher.ts';
import type { StartPoint } from './consumer/partition-cursor.ts';
import type { PushCall, PushHandlers, PushTarget, PushTransport } from './consumer/push-receiver.ts';
import type {
  CommittedOffset,
  GroupHost,
  JoinAnswer,
  JoinRequest,
  MemberIdentity,
  OffsetToCommit,
} from './groups/group-host.ts';
import {
  commitOffsetsRequest,
  fetchOffsetsRequest,
  findCoordinatorRequest,
  heartbeatRequest,
  joinGroupRequest,
  leaveGroupRequest,
  syncGroupRequest,
} from './groups/group-requests.ts';
import { withProbes } from './groups/liveness-probe.ts';
import type { TopicMetadata } from './metadata.ts';
import type { ProducerIdentity } from './producer/idempotence-state.ts';
import type { ProducerHost } from './producer/producer.ts';
import type { ProducerBatch } from './producer/producer-batch.ts';
import type { Acks, ProduceResult } from './producer/sender.ts';
import {
  changePushRequest,
  EARLIEST_TIMESTAMP,
  fetchRequest,
  initProducerIdRequest,
  LATEST_TIMESTAMP,
  listOffsetRequest,
  metadataRequest,
  openPushRequest,
  produceRequest,
} from './requests.ts';
import type { TopicPartition } from './topic-partition.ts';

const ACKS_TIMEOUT_SLACK_MS = 5000;

/** What both need. */
class Transport {
  protected readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  get clock(): ClientClock {
    return this.cluster.clock;
  }

  get backoff(): Backoff {
    return this.cluster.backoff;
  }

  get requestTimeoutMs(): number {
    return this.cluster.options.requestTimeoutMs;
  }

  leaderOf(topic: string, partition: number): number | undefined {
    return this.cluster.leaderOf(topic, partition);
  }

  async refreshMetadata(topic: string): Promise<void> {
    await this.cluster.metadata.refresh(topic);
  }
}

export class ProducerTransport extends Transport implements ProducerHost {
  readonly #acksTimeoutMs: number;

  constructor(cluster: Cluster, acksTimeoutMs: number) {
    super(cluster);
    this.#acksTimeoutMs = acksTimeoutMs;
  }

  get frameBytesMax(): number {
    return this.cluster.frameBytesMax;
  }

  get batchBytesMax(): number {
    return this.cluster.batchBytesMax;
  }

  topic(name: string, timeoutMs: number): Promise<TopicMetadata> {
    return this.cluster.topic(name, timeoutMs, { autoCreate: true });
  }

  cachedTopic(name: string): TopicMetadata | undefined {
    return this.cluster.metadata.topic(name);
  }

  initProducerId(): Promise<ProducerIdentity> {
    return initProducerIdRequest(this.cluster.any(), this.requestTimeoutMs);
  }

  produce(nodeId: number, acks: Acks, batches: readonly ProducerBatch[]): Promise<readonly ProduceResult[]> {
    const acksTimeoutMs = this.#acksTimeoutMs;
    // The broker may take acksTimeoutMs on its own account; its answer that it did should still come through.
    const timeoutMs = Math.max(this.requestTimeoutMs, acksTimeoutMs + ACKS_TIMEOUT_SLACK_MS);
    return produceRequest(this.cluster.node(nodeId), { acks, acksTimeoutMs, batches }, timeoutMs);
  }
}

export class ConsumerTransport extends Transport implements ConsumerHost, PushTransport {
  readonly groups: GroupHost;

  constructor(cluster: Cluster) {
    super(cluster);
    this.groups = new GroupTransport(cluster);
  }

  topic(name: string, timeoutMs: number): Promise<TopicMetadata> {
    return this.cluster.topic(name, timeoutMs);
  }

  fetch(nodeId: number, targets: readonly FetchTarget[], limits: FetchLimits): FetchCall {
    const withEpochs = targets.map((target) => this.#withEpoch(target));
    return fetchRequest(this.cluster.node(nodeId), withEpochs, limits, this.requestTimeoutMs + limits.waitMs);
  }

  openPush(
    nodeId: number,
    targets: readonly PushTarget[],
    options: { readonly credit: Credit; readonly isolation: Isolation },
    handlers: PushHandlers,
  ): PushCall {
    const channel = openPushRequest(
      this.cluster.node(nodeId),
      { ...options, targets: targets.map((target) => this.#withEpoch(target)) },
      handlers,
      { clock: this.clock, timeoutMs: this.requestTimeoutMs },
    );
    return {
      change: (remove, add) => {
        const targets = add.map((target) => this.#withEpoch(target));
        changePushRequest(channel, remove, targets);
      },
      addCredit: ({ records, bytes }) => channel.addCredit(records, bytes),
      close: () => channel.close(),
    };
  }

  async listOffset(
    nodeId: number,
    topic: string,
    partition: number,
    startPoint: StartPoint,
    isolation: Isolation,
  ): Promise<number> {
    const currentLeaderEpoch = this.#leaderEpoch(topic, partition);
    const offsetAt = async (timestampMs: number) => {
      const asked = { topic, partition, timestampMs, currentLeaderEpoch };
      const found = await listOffsetRequest(this.cluster.node(nodeId), asked, isolation, this.requestTimeoutMs);
      return found.offset;
    };
    const offset = await offsetAt(timestampOf(startPoint));
    // No record is that young: what comes next will be.
    return offset >= 0 ? offset : offsetAt(LATEST_TIMESTAMP);
  }

  #withEpoch<T extends TopicPartition>(target: T): T & { readonly currentLeaderEpoch: number } {
    return { ...target, currentLeaderEpoch: this.#leaderEpoch(target.topic, target.partition) };
  }

  #leaderEpoch(topic: string, partition: number): number {
    return this.cluster.metadata.partition(topic, partition)?.leaderEpoch ?? -1;
  }
}

/** The coordinator may take this much longer than the members' own limit, before the connection is taken for dead. */
const REBALANCE_SLACK_MS = 5000;

export class GroupTransport extends Transport implements GroupHost {
  async findCoordinator(groupId: string): Promise<number> {
    const nodeId = await findCoordinatorRequest(this.cluster.any(), groupId, this.requestTimeoutMs);
    // Its address must be known to reach it.
    if (this.cluster.metadata.broker(nodeId) === undefined) await this.partitionCounts([]);
    return nodeId;
  }

  join(nodeId: number, request: JoinRequest): Promise<JoinAnswer> {
    const timeoutMs = Math.max(this.requestTimeoutMs, request.rebalanceTimeoutMs + REBALANCE_SLACK_MS);
    const connection = this.cluster.node(nodeId);
    return this.#whileAlive(connection, request.groupId, joinGroupRequest(connection, request, timeoutMs));
  }

  sync(
    nodeId: number,
    member: MemberIdentity,
    protocolName: string,
    assignments: ReadonlyArray<{ readonly memberId: string; readonly assignment: Uint8Array }>,
    rebalanceTimeoutMs: number,
  ): Promise<Uint8Array> {
    const timeoutMs = Math.max(this.requestTimeoutMs, rebalanceTimeoutMs + REBALANCE_SLACK_MS);
    const connection = this.cluster.node(nodeId);
    const answer = syncGroupRequest(connection, member, protocolName, assignments, timeoutMs);
    return this.#whileAlive(connection, member.groupId, answer);
  }

  /** A dead connection is noticed within twice `requestTimeoutMs`: what is not answered in time ends it, and `waiting` with it. */
  #whileAlive<T>(connection: Connection, groupId: string, waiting: Promise<T>): Promise<T> {
    const { clock, requestTimeoutMs } = this;
    const ask = () => findCoordinatorRequest(connection, groupId, requestTimeoutMs);
    return withProbes(waiting, { clock, intervalMs: requestTimeoutMs, ask });
  }

  heartbeat(nodeId: number, member: MemberIdentity): Promise<void> {
    return heartbeatRequest(this.cluster.node(nodeId), member, this.requestTimeoutMs);
  }

  leave(nodeId: number, member: MemberIdentity, reason: string): Promise<void> {
    return leaveGroupRequest(this.cluster.node(nodeId), member, reason, this.requestTimeoutMs);
  }

  commitOffsets(
    nodeId: number,
    member: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ): Promise<ReadonlyArray<BurrowError | undefined>> {
    return commitOffsetsRequest(this.cluster.node(nodeId), member, offsets, this.requestTimeoutMs);
  }

  fetchOffsets(
    nodeId: number,
    groupId: string,
    partitions: readonly TopicPartition[],
  ): Promise<readonly CommittedOffset[]> {
    return fetchOffsetsRequest(this.cluster.node(nodeId), groupId, partitions, this.requestTimeoutMs);
  }

  async partitionCounts(topics: readonly string[] | undefined): Promise<ReadonlyMap<string, number>> {
    const metadata = await metadataRequest(this.cluster.any(), { topics, autoCreate: false }, this.requestTimeoutMs);
    this.cluster.metadata.learn(metadata);
    const counts = new Map<string, number>();
    for (const [name, topic] of metadata.topics) {
      if (topic instanceof BurrowError || (topics === undefined && topic.internal)) continue;
      counts.set(name, topic.partitions.length);
    }
    return counts;
  }
}

function timestampOf(startPoint: StartPoint): number {
  if (startPoint === 'earliest') return EARLIEST_TIMESTAMP;
  if (startPoint === 'latest') return LATEST_TIMESTAMP;
  return startPoint.timestampMs;
}

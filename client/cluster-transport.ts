/** What producers and consumers ask of the cluster, as requests to the right node. */
import type { Backoff } from './backoff.ts';
import type { ClientClock } from './clock.ts';
import type { Cluster } from './cluster.ts';
import type { ConsumerHost } from './consumer/consumer.ts';
import type { FetchCall, FetchLimits, FetchTarget, Isolation } from './consumer/fetcher.ts';
import type { StartPoint } from './consumer/partition-cursor.ts';
import type { TopicMetadata } from './metadata.ts';
import type { ProducerIdentity } from './producer/idempotence-state.ts';
import type { ProducerHost } from './producer/producer.ts';
import type { ProducerBatch } from './producer/producer-batch.ts';
import type { Acks, ProduceResult } from './producer/sender.ts';
import {
  EARLIEST_TIMESTAMP,
  fetchRequest,
  initProducerIdRequest,
  LATEST_TIMESTAMP,
  listOffsetRequest,
  produceRequest,
} from './requests.ts';

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
    // The broker may take acksTimeoutMs on its own account.
    const timeoutMs = this.requestTimeoutMs + acksTimeoutMs;
    return produceRequest(this.cluster.node(nodeId), { acks, acksTimeoutMs, batches }, timeoutMs);
  }
}

export class ConsumerTransport extends Transport implements ConsumerHost {
  topic(name: string, timeoutMs: number): Promise<TopicMetadata> {
    return this.cluster.topic(name, timeoutMs);
  }

  fetch(nodeId: number, targets: readonly FetchTarget[], limits: FetchLimits): FetchCall {
    const withEpochs = targets.map((target) => ({
      ...target,
      currentLeaderEpoch: this.#leaderEpoch(target.topic, target.partition),
    }));
    return fetchRequest(this.cluster.node(nodeId), withEpochs, limits, this.requestTimeoutMs + limits.waitMs);
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

  #leaderEpoch(topic: string, partition: number): number {
    return this.cluster.metadata.partition(topic, partition)?.leaderEpoch ?? -1;
  }
}

function timestampOf(startPoint: StartPoint): number {
  if (startPoint === 'earliest') return EARLIEST_TIMESTAMP;
  if (startPoint === 'latest') return LATEST_TIMESTAMP;
  return startPoint.timestampMs;
}

/** The services of one node on the in-memory disk, with a clock that tests move: everything but listeners. */
import { onTestFinished } from 'vitest';
import type { Coordinator } from '../../broker/coordinator/coordinator.ts';
import { MemoryCoordinator } from '../../broker/coordinator/memory.ts';
import { ProducerIdAllocator } from '../../broker/definitions/producer-ids.ts';
import type { LogManager } from '../../broker/log/log-manager.ts';
import type { BrokerOptions, BrokerSettings } from '../../broker/options.ts';
import { topicConfigDefaults } from '../../broker/partitions/broker-configs.ts';
import type { FetchedPartition, FetchPartition, FetchRequest } from '../../broker/partitions/broker-service.ts';
import { DiskSpace } from '../../broker/partitions/disk-space.ts';
import { NodeService } from '../../broker/partitions/node-service.ts';
import { Topics } from '../../broker/partitions/topics.ts';
import { WaitingFetches } from '../../broker/partitions/waiting-fetches.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { embeddedSettings } from '../../broker/resolve-options.ts';
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { decodeTestBatches } from './batches.ts';
import { openManager } from './log-environment.ts';

export interface TestNode {
  readonly disk: MemoryDisk;
  readonly clock: ManualClock;
  readonly coordinator: Coordinator;
  readonly logs: LogManager;
  readonly waiting: WaitingFetches;
  readonly diskSpace: DiskSpace;
  readonly settings: BrokerSettings;
  readonly topics: Topics;
  readonly service: NodeService;
  readonly failures: readonly BurrowError[];
  stop(): Promise<void>;
}

export interface TestNodeOptions {
  readonly settings?: Partial<BrokerOptions>;
  /** To go on where another node stopped or crashed. */
  readonly disk?: MemoryDisk;
  readonly clock?: ManualClock;
  readonly coordinator?: Coordinator;
  readonly random?: SeededRandom;
  /** Told of deleted topics. */
  readonly onRemoved?: (name: string) => Promise<void>;
}

export async function startTestNode(options: TestNodeOptions = {}): Promise<TestNode> {
  const settings = embeddedSettings({ storage: 'memory', ...options.settings });
  const disk = options.disk ?? new MemoryDisk();
  const clock = options.clock ?? new ManualClock();
  const random = options.random ?? new SeededRandom(1);
  const coordinator = options.coordinator ?? new MemoryCoordinator();
  const directory = '/data';
  const { journalBytes, unwrittenBytesMax } = settings;
  const logs = await openManager({ disk, directory, clock, random, journalBytes, unwrittenBytesMax });
  const diskSpace = await DiskSpace.open({
    disk,
    directory,
    clock,
    logger: silentLogger,
    freeBytesMin: settings.diskFreeBytesMin,
  });
  const waiting = new WaitingFetches(clock);
  const failures: BurrowError[] = [];
  const topics = await Topics.open({
    coordinator,
    logs,
    clock,
    random,
    logger: silentLogger,
    nodeId: settings.nodeId,
    configDefaults: topicConfigDefaults(settings),
    defaultPartitions: settings.defaultPartitions,
    defaultReplicationFactor: settings.defaultReplicationFactor,
    partitionsMax: settings.partitionsMax,
    batchBytesCeiling: Math.floor(journalBytes / 2) - 1024,
    onAdvance: (partition) => waiting.onAdvance(partition),
    onRemoved: async (name) => options.onRemoved?.(name),
    onFailure: (error) => failures.push(error),
  });
  const producerIds = new ProducerIdAllocator(coordinator);
  const service = new NodeService({ clusterId: 'test', settings, topics, waiting, diskSpace, producerIds, clock });
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      await service.close();
      await logs.close();
    })();
    return stopping;
  };
  // A halted disk never answers.
  onTestFinished(() => (disk.halted ? undefined : stop().catch(() => {})));
  return { disk, clock, coordinator, logs, waiting, diskSpace, settings, topics, service, failures, stop };
}

export async function createTopic(
  node: TestNode,
  name: string,
  partitions = 1,
  configs: Readonly<Record<string, string>> = {},
): Promise<void> {
  await node.service.createTopic(
    { name, partitions, replicationFactor: -1, configs: new Map(Object.entries(configs)) },
    { validateOnly: false },
  );
}

export function produceBatch(node: TestNode, topic: string, records: Buffer, partition = 0, acks: 0 | 1 | -1 = -1) {
  return node.service.produce({ topic, partition, records, acks });
}

export function fetchFrom(topic: string, offset = 0, partition: Partial<FetchPartition> = {}): FetchPartition {
  return { topic, partition: 0, offset, bytesMax: 1024 * 1024, currentLeaderEpoch: -1, ...partition };
}

export function fetchRequest(partitions: readonly FetchPartition[], request: Partial<FetchRequest> = {}): FetchRequest {
  return { partitions, bytesMin: 1, bytesMax: 1024 * 1024, waitMs: 0, isolation: 'read_uncommitted', ...request };
}

/** What a fetch of one partition from `offset` finds at once. */
export async function readValues(node: TestNode, topic: string, offset = 0, partition = 0): Promise<string[]> {
  const [fetched] = await node.service.fetch(fetchRequest([fetchFrom(topic, offset, { partition })])).done;
  if (fetched?.error !== undefined) throw fetched.error;
  return valuesOf(fetched);
}

export function valuesOf(fetched: FetchedPartition | undefined): string[] {
  return decodeTestBatches(Buffer.concat(fetched?.records ?? [])).flatMap(({ values }) => values);
}

/** Lets everything happen that needs no time to pass. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** `burrowmq/broker`: a broker in this process. The only place that puts its parts together. */
import { dirname, join, resolve } from 'node:path';
import type { BurrowError } from '../src/errors/burrow-error.ts';
import { type Broker, Parts } from './broker.ts';
import type { Coordinator } from './coordinator/coordinator.ts';
import { openCoordinatorAt } from './coordinator/coordinator-address.ts';
import { FileCoordinator } from './coordinator/file.ts';
import { MemoryCoordinator } from './coordinator/memory.ts';
import { openDataFolder } from './data-folder.ts';
import { ProducerIdAllocator } from './definitions/producer-ids.ts';
import { Groups } from './groups/groups.ts';
import { LogManager } from './log/log-manager.ts';
import { openAccess } from './open-access.ts';
import type { BrokerOptions, BrokerSettings } from './options.ts';
import { topicConfigDefaults } from './partitions/broker-configs.ts';
import { DiskSpace } from './partitions/disk-space.ts';
import { NodeService } from './partitions/node-service.ts';
import { Topics } from './partitions/topics.ts';
import { WaitingFetches } from './partitions/waiting-fetches.ts';
import type { Disk } from './ports/disk.ts';
import { type Logger, silentLogger } from './ports/logger.ts';
import { MemoryDisk } from './ports/memory-disk.ts';
import { storageError } from './ports/storage-error.ts';
import { systemClock } from './ports/system-clock.ts';
import { systemRandom } from './ports/system-random.ts';
import { Queues } from './queues/queues.ts';
import { embeddedSettings } from './resolve-options.ts';
import { startListeners } from './start-listeners.ts';

export { BurrowError } from '../src/errors/burrow-error.ts';
export type { Broker } from './broker.ts';
export type { BrokerOptions } from './options.ts';
export type { BrokerService } from './partitions/broker-service.ts';
export type { Logger } from './ports/logger.ts';
export type { UserService } from './security/user-service.ts';

const MEMORY = 'memory';

/**
 * Starts a broker and resolves when clients can connect.
 *
 * @param options - `storage` is `'memory'` or the path of a data folder; everything else has a default
 * (docs/configuration.md), except that listeners take free ports. Several brokers may run in one process.
 * @throws BurrowError INVALID_CONFIG, DATA_FOLDER_LOCKED, DATA_FOLDER_VERSION, STORAGE_CORRUPT, STORAGE_ERROR, STORAGE_FULL.
 * Then nothing is left running.
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const settings = embeddedSettings(options);
  const logger = options.logger ?? silentLogger;
  const parts = new Parts(systemClock, logger);
  try {
    return await startParts(settings, logger, parts);
  } catch (error) {
    await parts.stop().catch(() => {});
    throw storageError(`The broker cannot start on ${settings.dataDir}`, error);
  }
}

async function startParts(settings: BrokerSettings, logger: Logger, parts: Parts): Promise<Broker> {
  const clock = systemClock;
  const random = systemRandom;
  let stopReason: BurrowError | undefined;
  let onStopped!: () => void;
  const stopped = new Promise<BurrowError | undefined>((resolved) => {
    onStopped = () => resolved(stopReason);
  });
  const close = (): Promise<void> => parts.stop().finally(onStopped);
  /** The broker cannot go on: who embeds it learns through `stopped`. */
  const stopBecause = (reason: BurrowError): void => {
    if (stopReason !== undefined) return;
    stopReason = reason;
    logger.error({ code: reason.code, error: reason.message }, 'the broker stops');
    close().catch(() => {});
  };

  const { disk, directory, clusterId } = await openStorage(settings, logger, parts, stopBecause);
  const coordinator = await openCoordinator(settings, disk, directory, logger);
  parts.add('coordinator', () => coordinator.close());

  const logs = await LogManager.open({
    disk,
    directory,
    clock,
    random,
    logger,
    // Nothing survives the process anyway; a journal would only double the work.
    flush: settings.dataDir === MEMORY ? 'none' : settings.flush,
    flushIntervalMs: settings.flushIntervalMs,
    journalBytes: settings.journalBytes,
    tailCacheBytes: settings.tailCacheBytes,
    unwrittenBytesMax: settings.unwrittenBytesMax,
    salvage: settings.salvage,
    maintenance: { maintenanceIntervalMs: settings.retentionCheckIntervalMs },
  });
  parts.add('logs', () => logs.close());

  const diskSpace = await DiskSpace.open({
    disk,
    directory,
    clock,
    logger,
    freeBytesMin: settings.diskFreeBytesMin,
  });
  parts.add('disk space', () => diskSpace.close());
  const waiting = new WaitingFetches(clock);
  let groups: Groups | undefined;
  let queues: Queues | undefined;
  const topics = await Topics.open({
    coordinator,
    logs,
    clock,
    random,
    logger,
    nodeId: settings.nodeId,
    configDefaults: topicConfigDefaults(settings),
    defaultPartitions: settings.defaultPartitions,
    defaultReplicationFactor: settings.defaultReplicationFactor,
    partitionsMax: settings.partitionsMax,
    batchBytesCeiling: batchBytesCeiling(settings),
    onAdvance: (partition) => waiting.onAdvance(partition),
    onRemoved: async (name) => {
      await Promise.all([groups?.onTopicRemoved(name), queues?.onTopicRemoved(name)]);
    },
    // What is there is served on; the store has logged it, and changes of topics are refused by the coordinator.
    onFailure: () => {},
  });
  const producerIds = new ProducerIdAllocator(coordinator);
  const service = new NodeService({ clusterId, settings, topics, waiting, diskSpace, producerIds, clock });
  parts.add('services', () => service.close());
  groups = new Groups({
    topics,
    diskSpace,
    clock,
    random,
    logger,
    settings,
    batchBytesCeiling: batchBytesCeiling(settings),
  });
  parts.add('groups', () => groups?.close());

  queues = await Queues.open({
    coordinator,
    topics,
    service,
    clock,
    random,
    logger,
    diskSpace,
    settings,
    batchBytesCeiling: batchBytesCeiling(settings),
  });
  parts.add('queues', () => queues?.close());

  const { users, access } = await openAccess({ settings, coordinator, queues, clock, random, logger });
  parts.add('users', () => users.close());

  const { ports, addresses } = await startListeners(
    settings,
    { service, groups, queues, users, access, clusterId, diskSpace },
    logger,
    parts,
  );
  logger.info({ nodeId: settings.nodeId, clusterId, ports, storage: settings.dataDir }, 'broker ready');
  if (stopReason !== undefined) throw stopReason;
  const dataDir = settings.dataDir === MEMORY ? MEMORY : directory;
  return { ports, addresses, dataDir, service, groups, queues, users, stopped, close };
}

interface Storage {
  readonly disk: Disk;
  readonly directory: string;
  readonly clusterId: string;
}

async function openStorage(
  settings: BrokerSettings,
  logger: Logger,
  parts: Parts,
  onLost: (error: BurrowError) => void,
): Promise<Storage> {
  const { dataDir, nodeId } = settings;
  if (dataDir === MEMORY) {
    const disk = new MemoryDisk({ trackDurability: false });
    const directory = '/burrow';
    await disk.makeDirectory(directory);
    return {
      disk,
      directory,
      ...(await openDataFolder({ disk, directory, nodeId, random: systemRandom, ignoredNames: [] })),
    };
  }
  // Loaded only where there is a folder, since a broker in memory should start at once.
  const { openLockedDisk } = await import('./ports/locked-disk.ts');
  const directory = resolve(dataDir);
  const { disk, lock } = await openLockedDisk({ folder: directory, logger, onLost });
  parts.add('data folder', () => lock.release());
  await disk.syncDirectory(dirname(directory));
  const folder = await openDataFolder({ disk, directory, nodeId, random: systemRandom, ignoredNames: lock.names });
  return { disk, directory, ...folder };
}

async function openCoordinator(
  { dataDir, coordinator }: BrokerSettings,
  disk: Disk,
  directory: string,
  logger: Logger,
): Promise<Coordinator> {
  if (coordinator !== undefined) {
    const { NodeDisk } = await import('./ports/node-disk.ts');
    return openCoordinatorAt(coordinator, { disk: new NodeDisk(), clock: systemClock, random: systemRandom, logger });
  }
  if (dataDir === MEMORY) return new MemoryCoordinator({ clock: systemClock });
  const options = { clock: systemClock, random: systemRandom, logger };
  return FileCoordinator.open({ disk, folder: join(directory, 'coordinator'), ...options });
}

/** A batch must fit into half of the journal with room for its frame, and into the memory for what is not written yet. */
function batchBytesCeiling({ journalBytes, unwrittenBytesMax }: BrokerSettings): number {
  return Math.min(Math.floor(journalBytes / 2) - 1024, unwrittenBytesMax);
}

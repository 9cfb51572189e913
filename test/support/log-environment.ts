/** A log manager on an in-memory disk, with small files, for tests of the log engine. */
import { LOG_CONFIG_DEFAULTS, type LogConfig } from '../../broker/log/log-config.ts';
import { LogManager, type LogManagerOptions } from '../../broker/log/log-manager.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { type DecodedTestBatch, decodeTestBatches } from './batches.ts';

export function managerOptions(options: Partial<LogManagerOptions> = {}): LogManagerOptions {
  return {
    disk: new MemoryDisk(),
    directory: '/data',
    clock: new ManualClock(),
    random: new SeededRandom(1),
    logger: silentLogger,
    flush: 'always',
    flushIntervalMs: 1000,
    journalBytes: 64 * 1024,
    tailCacheBytes: 256 * 1024,
    unwrittenBytesMax: 64 * 1024,
    salvage: false,
    ...options,
  };
}

export function openManager(options: Partial<LogManagerOptions> = {}): Promise<LogManager> {
  return LogManager.open(managerOptions(options));
}

export function smallLogConfig(config: Partial<LogConfig> = {}): LogConfig {
  return {
    ...LOG_CONFIG_DEFAULTS,
    segmentBytes: 16 * 1024,
    indexIntervalBytes: 512,
    fileDeleteDelayMs: 1000,
    ...config,
  };
}

export function createLog(
  manager: LogManager,
  topic = 'orders',
  config: Partial<LogConfig> = {},
): Promise<PartitionLog> {
  return manager.create({
    topic,
    topicId: topicIdOf(topic),
    partition: 0,
    config: smallLogConfig(config),
    leaderEpoch: 0,
  });
}

/** A topic id that depends on the name alone. */
export function topicIdOf(topic: string): Buffer {
  return new SeededRandom(topic).bytes(16);
}

/** Reads all batches of a log from `from` (default: its start) to its end. */
export async function readLog(
  log: PartitionLog,
  from = log.logStartOffset,
  bytesMax = 4096,
): Promise<DecodedTestBatch[]> {
  const batches: DecodedTestBatch[] = [];
  let offset = from;
  while (offset < log.logEndOffset) {
    const found = await log.read(offset, { bytesMax, endOffset: log.logEndOffset, wholeFirstBatch: true });
    const decoded = decodeTestBatches(Buffer.concat(found));
    if (decoded.length === 0) throw new Error(`nothing at offset ${offset} below the end ${log.logEndOffset}`);
    batches.push(...decoded);
    offset = decoded.at(-1)!.nextOffset;
  }
  return batches;
}

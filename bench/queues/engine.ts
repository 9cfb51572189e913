/**
 * The queue engine alone, in this process, on a real disk with a sync for every confirm: no protocol, no sockets. After a build:
 *
 *     node dist/bench/queues/engine.js [publish|consume|both|backlog …] [--messages N] [--backlog N] [--folder DIR]
 *
 * - publish: 100-byte messages, 1,000 confirms outstanding
 * - consume: what was published before, by one consumer with prefetch 500 that acknowledges 100 at a time
 * - both: a publisher and a consumer at once; time from publish to delivery
 * - backlog: a queue of `--backlog` messages: memory, time to open it again, time to drain it
 *
 * One line of JSON each. Machine and load decide, so compare within one run only; `node --cpu-prof` tells where time goes.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build, type Histogram } from 'hdr-histogram-js';
import { resolveQueueSettings } from '../../broker/definitions/queue-settings.ts';
import { resolveTopicConfig } from '../../broker/definitions/topic-configs.ts';
import { LogManager } from '../../broker/log/log-manager.ts';
import { DeadlineQueue } from '../../broker/partitions/deadline-queue.ts';
import { DiskSpace } from '../../broker/partitions/disk-space.ts';
import { Partition } from '../../broker/partitions/partition.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { NodeDisk } from '../../broker/ports/node-disk.ts';
import { systemClock } from '../../broker/ports/system-clock.ts';
import { systemRandom } from '../../broker/ports/system-random.ts';
import { PartitionBatchLog } from '../../broker/queues/batch-log.ts';
import type { MessageView } from '../../broker/queues/message-batch.ts';
import type { StoredTarget } from '../../broker/queues/message-log.ts';
import { Queue } from '../../broker/queues/queue.ts';
import { type ChannelSink, QueueChannel } from '../../broker/queues/queue-channel.ts';
import type { QueueConsumer } from '../../broker/queues/queue-consumer.ts';
import { embeddedSettings } from '../../broker/resolve-options.ts';

const OUTSTANDING_MAX = 1_000;
const PREFETCH = 500;
const ACKNOWLEDGE_EVERY = 100;
const BODY_BYTES = 100;
const MIB = 1024 * 1024;
/** AMQP content properties: delivery mode 2. */
const PERSISTENT = Buffer.from([0x10, 0x00, 2]);

interface Engine {
  readonly queue: Queue;
  readonly logs: LogManager;
  close(): Promise<void>;
}

async function openEngine(
  directory: string,
): Promise<Engine & { readonly openLogsMs: number; readonly openQueueMs: number }> {
  const disk = new NodeDisk();
  const clock = systemClock;
  const logger = silentLogger;
  const { journalBytes, tailCacheBytes, unwrittenBytesMax, flush, flushIntervalMs } = embeddedSettings({
    storage: directory,
  });
  const startedMs = performance.now();
  const logs = await LogManager.open({
    disk,
    directory,
    clock,
    random: systemRandom,
    logger,
    flush,
    flushIntervalMs,
    journalBytes,
    tailCacheBytes,
    unwrittenBytesMax,
    salvage: false,
  });
  const openLogsMs = performance.now() - startedMs;
  const diskSpace = await DiskSpace.open({ disk, directory, clock, logger, freeBytesMin: 0 });
  const deadlines = new DeadlineQueue(clock);
  const config = resolveTopicConfig(new Map([['retention.ms', '-1']]), new Map());
  const openLog = async (partition: number): Promise<PartitionBatchLog> => {
    const topicId = Buffer.alloc(16, 1);
    const log = await logs.create({ topic: 'queue', topicId, partition, config, leaderEpoch: 0 });
    const assignment = { replicas: [1], leader: 1, leaderEpoch: 0 };
    return new PartitionBatchLog({
      partition: new Partition({ log, nodeId: 1, assignment, config }),
      clock,
      diskSpace,
      needsRoom: false,
      onUnstored: () => {},
      onTrimFailed: (error) => {
        throw error;
      },
    });
  };
  const queueStartedMs = performance.now();
  const queue = await Queue.open({
    name: 'queue',
    settings: resolveQueueSettings(new Map()),
    messages: await openLog(0),
    settlements: await openLog(1),
    clock,
    deadlines,
    logger,
    readAheadBytes: MIB,
    deadLetter: (_queue, _view, _reason, onDone) => onDone(true),
    onUnused: () => {},
  });
  return {
    queue,
    logs,
    openLogsMs,
    openQueueMs: performance.now() - queueStartedMs,
    close: async () => {
      await queue.settled();
      deadlines.close();
      diskSpace.close();
      await logs.close();
    },
  };
}

/** Publishes, with so many confirms outstanding; resolves when all are confirmed. */
function publish(queue: Queue, count: number, outstandingMax = OUTSTANDING_MAX): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = 0;
    let confirmed = 0;
    let scheduled = false;
    const target: StoredTarget = {
      onStored: (first, last) => {
        confirmed += last - first + 1;
        if (confirmed === count) resolve();
        else if (!scheduled) {
          scheduled = true;
          setImmediate(fill);
        }
      },
      onNotStored: (_first, _last, error) => reject(error),
    };
    const fill = (): void => {
      scheduled = false;
      for (; next < count && next - confirmed < outstandingMax; next++) {
        const body = Buffer.allocUnsafe(BODY_BYTES);
        body.writeDoubleBE(performance.now(), 0);
        queue.publish({ exchange: '', routingKey: 'queue', properties: PERSISTENT, body: [body] }, target, next);
      }
    };
    fill();
  });
}

class Consumer implements ChannelSink {
  readonly isWritable = true;
  readonly done: Promise<void>;
  readonly latency: Histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 100_000_000 });
  readonly #channel = new QueueChannel(this, systemClock);
  readonly #count: number;
  readonly #measures: boolean;
  #delivered = 0;
  #lastTag = 0;
  #acknowledged = 0;
  #scheduled = false;
  #resolve!: () => void;

  constructor(queue: Queue, count: number, measures: boolean) {
    this.#count = count;
    this.#measures = measures;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#channel.setPrefetch(PREFETCH, { global: false });
    this.#channel.consume(queue, { tag: 'c', noAck: false, exclusive: false, priority: 0 });
  }

  deliver(_consumer: QueueConsumer, deliveryTag: number, _returns: number, view: MessageView): void {
    this.#lastTag = deliveryTag;
    this.#delivered++;
    if (this.#measures) {
      const sentMs = view.bytes.readDoubleBE(view.bodyPosition);
      this.latency.recordValue(Math.max(1, Math.round((performance.now() - sentMs) * 1000)));
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    // As if the acknowledgments came over a socket.
    setImmediate(() => {
      this.#scheduled = false;
      this.#acknowledge();
    });
  }

  #acknowledge(): void {
    const last = this.#lastTag;
    for (let tag = this.#acknowledged + ACKNOWLEDGE_EVERY; tag <= last; tag += ACKNOWLEDGE_EVERY) {
      this.#channel.acknowledge(tag, true);
      this.#acknowledged = tag;
    }
    if (this.#delivered < this.#count) return;
    if (this.#acknowledged < this.#lastTag) this.#channel.acknowledge(this.#lastTag, true);
    this.#acknowledged = this.#lastTag;
    this.#channel.close();
    this.#resolve();
  }

  onCancelled(): void {}
}

function perSecond(count: number, startedMs: number): number {
  return Math.round((count / (performance.now() - startedMs)) * 1000);
}

function rssMib(): number {
  return Math.round(process.memoryUsage.rss() / MIB);
}

function report(scenario: string, facts: Record<string, number>): void {
  process.stdout.write(`${JSON.stringify({ scenario, ...facts, rssMib: rssMib() })}\n`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { messages: { type: 'string' }, backlog: { type: 'string' }, folder: { type: 'string' } },
});
const messages = Number(values.messages ?? 1_000_000);
const backlog = Number(values.backlog ?? 10_000_000);
const scenarios = new Set(positionals.length > 0 ? positionals : ['publish', 'consume', 'both', 'backlog']);
const folder = fs.mkdtempSync(path.join(values.folder ?? os.tmpdir(), 'burrow-queue-bench-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));

let engine = await openEngine(folder);
let startedMs = performance.now();
if (scenarios.has('publish') || scenarios.has('consume')) {
  await publish(engine.queue, messages);
  report('publish', { messages, perSecond: perSecond(messages, startedMs) });
}
if (scenarios.has('consume')) {
  startedMs = performance.now();
  await new Consumer(engine.queue, messages, false).done;
  await engine.queue.settlementsSynced();
  report('consume', { messages, perSecond: perSecond(messages, startedMs) });
} else if (scenarios.has('publish')) await engine.queue.purge();
if (scenarios.has('both')) {
  startedMs = performance.now();
  const consumer = new Consumer(engine.queue, messages, true);
  await Promise.all([publish(engine.queue, messages), consumer.done]);
  const [p50, p99] = [50, 99].map((percentile) => consumer.latency.getValueAtPercentile(percentile) / 1000);
  report('both', { messages, perSecond: perSecond(messages, startedMs), p50Ms: p50!, p99Ms: p99! });
}
if (scenarios.has('backlog')) {
  startedMs = performance.now();
  await publish(engine.queue, backlog, 10_000);
  report('backlog', { messages: backlog, perSecond: perSecond(backlog, startedMs) });
  await engine.close();
  engine = await openEngine(folder);
  report('backlog opened', { openLogsMs: Math.round(engine.openLogsMs), openQueueMs: Math.round(engine.openQueueMs) });
  startedMs = performance.now();
  await new Consumer(engine.queue, backlog, false).done;
  await engine.queue.settlementsSynced();
  report('backlog drained', { messages: backlog, perSecond: perSecond(backlog, startedMs) });
}
await engine.close();

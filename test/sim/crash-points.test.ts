/**
 * One scripted life of a node, from an empty folder to a clean close, halted after every single operation on the disk,
 * for each kind of crash. Each time the next start must bring back what was acknowledged.
 */
import { describe, expect, it } from 'vitest';
import type { LogManager } from '../../broker/log/log-manager.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import type { Random } from '../../broker/ports/random.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { keyedBatch } from '../support/keyed-batches.ts';
import { createLog, openManager } from '../support/log-environment.ts';
import { KeyedLogModel } from './keyed-log-model.ts';

const DELETE_RETENTION_MS = 1000;
const CRASHES = ['kill', 'lost', 'kept', 'prefix', 'reordered'] as const;

/** One life. It goes on as far as the disk lets it; what the model has acknowledged until then is a promise. */
async function live(disk: MemoryDisk, clock: ManualClock, models: Map<string, KeyedLogModel>): Promise<void> {
  const options = {
    disk,
    clock,
    journalBytes: 2048,
    tailCacheBytes: 512,
    unwrittenBytesMax: 1024,
    maintenance: { closedFilesMax: 1 },
  };
  const manager = await openManager(options);
  const orders = await createCompacted(manager, 'orders');
  const others = await createCompacted(manager, 'others');
  const append = async (log: typeof orders, count: number): Promise<void> => {
    const model = models.get(log.topic)!;
    for (let i = 0; i < count; i++) {
      const number = model.nextSequence;
      const value = number % 7 === 3 ? null : `${number} ${'v'.repeat(80)}`;
      const records = [{ key: `key ${number % 4}`, value, timestampMs: clock.now() }];
      const codec = i % 3 === 0 ? ('lz4' as const) : ('none' as const);
      const batch = await keyedBatch(records, { codec, producerId: 1, baseSequence: number });
      await model.append(log, batch, records, clock.now(), () => {});
    }
  };
  await append(orders, 10);
  await append(others, 2);
  orders.roll();
  await append(orders, 6);
  const model = models.get('orders')!;
  await orders.deleteRecordsBefore(3);
  model.logStartOffset = 3;
  await manager.checkpoint();
  await manager.maintain();
  await append(orders, 6);
  orders.roll();
  await append(others, 6);
  clock.advance(DELETE_RETENTION_MS);
  // Small neighbours become one, and tombstones go.
  await manager.maintain();
  await orders.deleteRecordsBefore(12);
  model.logStartOffset = 12;
  await append(orders, 3);
  await manager.close();
}

function createCompacted(manager: LogManager, topic: string) {
  return createLog(manager, topic, {
    segmentBytes: 600,
    cleanupPolicy: 'compact',
    minCleanableDirtyRatio: 0,
    deleteRetentionMs: DELETE_RETENTION_MS,
    fileDeleteDelayMs: 500,
  });
}

function newModels(): Map<string, KeyedLogModel> {
  return new Map(['orders', 'others'].map((topic) => [topic, new KeyedLogModel(DELETE_RETENTION_MS)]));
}

/** Halts the disk after operation number `last`, or in the midst of it. */
function haltingDisk(last: number, inTheMidst: boolean): MemoryDisk {
  const halt = (_: unknown, index: number): void => {
    if (index >= last) disk.halt();
  };
  const disk: MemoryDisk = new MemoryDisk(inTheMidst ? { beforeOperation: halt } : { onOperation: halt });
  return disk;
}

function crashed(disk: MemoryDisk, how: (typeof CRASHES)[number], random: Random): MemoryDisk {
  return how === 'kill' ? disk.kill(random, {}) : disk.crash(random, how, {});
}

async function checkCrash(last: number, inTheMidst: boolean, how: (typeof CRASHES)[number]): Promise<void> {
  const clock = new ManualClock();
  const disk = haltingDisk(last, inTheMidst);
  const models = newModels();
  await live(disk, clock, models).catch((error: unknown) => {
    if (!disk.halted) throw error;
  });
  const random = new SeededRandom(`${last} ${how} ${inTheMidst}`);
  const survivor = crashed(disk, how, random);
  const manager = await openManager({ disk: survivor, clock: new ManualClock(clock.now()) });
  for (const [topic, model] of models) {
    const log = manager.logs().get(`${topic}-0`);
    if (log !== undefined) await model.verify(log, clock.now());
    else if (model.batches.some(({ acknowledged }) => acknowledged)) throw new Error(`${topic} is gone`);
  }
  await manager.close();
}

describe('a node whose disk stops', () => {
  it('after any operation, in any way, has everything acknowledged at its next start', {
    timeout: 300_000,
  }, async () => {
    const renamed: string[] = [];
    const whole = new MemoryDisk({
      onOperation: ({ kind, to }) => {
        if (kind === 'rename') renamed.push(to!);
      },
    });
    const models = newModels();
    await live(whole, new ManualClock(), models);
    const operations = whole.operations;
    // The script does what it says.
    expect([...models.values()].every(({ batches }) => batches.every(({ acknowledged }) => acknowledged))).toBe(true);
    expect(operations).toBeGreaterThan(200);
    expect(renamed.filter((path) => path.endsWith('.swap')).length).toBeGreaterThan(2);
    expect(renamed.filter((path) => path.endsWith('.deleted')).length).toBeGreaterThan(5);
    expect(renamed.filter((path) => path.endsWith('checkpoint.json')).length).toBeGreaterThan(3);
    const failures: string[] = [];
    let points = 0;
    for (let last = 0; last < operations; last++) {
      for (const how of CRASHES) {
        for (const inTheMidst of [false, true]) {
          points++;
          await checkCrash(last, inTheMidst, how).catch((error: Error) => {
            failures.push(`operation ${last}${inTheMidst ? ', in its midst' : ''}, ${how}: ${error.message}`);
          });
        }
      }
    }
    console.log(`${operations} operations, ${points} crash points`);
    expect(failures).toEqual([]);
  });
});

/** Records may be deleted before they have reached a segment; what their producers sent must not be forgotten with them. */
import { describe, expect, it } from 'vitest';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { testBatch } from '../support/batches.ts';
import { createLog, openManager } from '../support/log-environment.ts';

const OPTIONS = { leaderEpoch: 0, appendTimeMs: 1_000 };

function send(log: PartitionLog, baseSequence: number) {
  return log.append(testBatch(['x'], { producerId: 7, producerEpoch: 0, baseSequence }), OPTIONS);
}

async function sendAll(log: PartitionLog, from: number, to: number): Promise<void> {
  for (let sequence = from; sequence < to; sequence++) await send(log, sequence).synced;
  log.advanceHighWatermark(log.logEndOffset);
}

/** Deaths of a node after which the state of producers must be the same. */
const DEATHS: ReadonlyArray<readonly [string, (disk: MemoryDisk) => MemoryDisk]> = [
  ['kill -9', (disk) => disk.kill(new SeededRandom(1))],
  ['power loss', (disk) => disk.crash(new SeededRandom(1), 'lost')],
];

describe.each(DEATHS)('a producer whose records were deleted before %s', (_, die) => {
  it.each<[string, (log: PartitionLog, checkpoint: () => Promise<void>) => Promise<void>]>([
    ['all of them only in the journal', (log) => sendAll(log, 0, 10)],
    [
      'some of them behind the snapshot of a roll',
      async (log, checkpoint) => {
        await sendAll(log, 0, 3);
        log.roll();
        await checkpoint();
        await sendAll(log, 3, 10);
      },
    ],
    [
      'some of them synced in the active segment',
      async (log, checkpoint) => {
        await sendAll(log, 0, 3);
        log.roll();
        await sendAll(log, 3, 7);
        await checkpoint();
        await sendAll(log, 7, 10);
      },
    ],
    [
      'all of them synced in the active segment',
      async (log, checkpoint) => {
        await sendAll(log, 0, 10);
        await checkpoint();
      },
    ],
    [
      'all of them in segments that are removed',
      async (log, checkpoint) => {
        await sendAll(log, 0, 3);
        log.roll();
        await sendAll(log, 3, 10);
        log.roll();
        await checkpoint();
      },
    ],
  ])('goes on, and is not believed twice: %s', async (_case, produce) => {
    let disk = new MemoryDisk();
    const manager = await openManager({ disk });
    const log = await createLog(manager);
    await produce(log, () => manager.checkpoint());
    await log.deleteRecordsBefore(10);
    // The second death comes when only the start has written anything.
    for (let deaths = 1; deaths <= 2; deaths++) {
      disk = die(disk);
      const reopened = (await openManager({ disk })).logs().get('orders-0')!;
      expect([reopened.logStartOffset, reopened.logEndOffset]).toEqual([10, 10]);
      expect(send(reopened, 9)).toMatchObject({ duplicate: true, baseOffset: 9 });
      expect(() => send(reopened, 11)).toThrow('sent sequence 11, but 10 is next');
      if (deaths === 2) expect(send(reopened, 10)).toMatchObject({ duplicate: false, baseOffset: 10 });
    }
  });
});

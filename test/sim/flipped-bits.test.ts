import { describe, expect, it } from 'vitest';
import { LogManager } from '../../broker/log/log-manager.ts';
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import { type DecodedTestBatch, decodeTestBatches, testBatch } from '../support/batches.ts';
import { createLog, managerOptions } from '../support/log-environment.ts';

const SEEDS = 2000;

/** Everything that can be read, and the first typed error that stopped it. */
async function readUntilDamage(log: PartitionLog): Promise<{ batches: DecodedTestBatch[]; error: unknown }> {
  const batches: DecodedTestBatch[] = [];
  let offset = log.logStartOffset;
  try {
    while (offset < log.logEndOffset) {
      const found = decodeTestBatches(
        Buffer.concat(await log.read(offset, { bytesMax: 2000, endOffset: log.logEndOffset, wholeFirstBatch: true })),
      );
      if (found.length === 0) throw new Error(`nothing at ${offset} below ${log.logEndOffset}`);
      batches.push(...found);
      offset = found.at(-1)!.nextOffset;
    }
    return { batches, error: undefined };
  } catch (error) {
    return { batches, error };
  }
}

describe('a flipped bit', () => {
  it(`in any stored file is noticed, mended or harmless, over ${SEEDS} seeds`, { timeout: 120_000 }, async () => {
    const outcomes = { refused: 0, noticed: 0, whole: 0, tornRound: 0 };
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new SeededRandom(seed);
      const disk = new MemoryDisk({ random: random.fork('disk') });
      const options = managerOptions({ disk, journalBytes: 16_384, tailCacheBytes: 1024, unwrittenBytesMax: 4096 });
      const manager = await LogManager.open(options);
      const log = await createLog(manager, 'orders', { segmentBytes: random.pick([1024, 8192]) });
      const values: string[] = [];
      for (let i = random.between(5, 40); i > 0; i--) {
        values.push(`${values.length} ${'.'.repeat(random.below(400))}`);
        await log.append(testBatch([values.at(-1)!]), { leaderEpoch: 0, appendTimeMs: 1 }).synced;
      }
      if (random.chance(0.3)) await manager.checkpoint();
      const clean = random.chance(0.5);
      if (clean) await manager.close();
      const after = disk.kill(random.fork('kill'));
      const files = (
        await Promise.all(
          ['/data', '/data/journal', '/data/topics/orders-0'].map(async (folder) =>
            (await after.list(folder)).map((name) => `${folder}/${name}`),
          ),
        )
      ).flat();
      const path = random.pick(files.filter((name) => /\.|journal-/.test(name)));
      const file = await after.open(path);
      const size = await file.size();
      await file.close();
      if (size > 0) after.flipBit(path, random.below(size), random.below(8));

      let reopened: LogManager;
      try {
        reopened = await LogManager.open({ ...options, disk: after });
      } catch (error) {
        if (!isBurrowError(error)) throw new Error(`seed ${seed}, ${path}`, { cause: error });
        outcomes.refused++;
        continue;
      }
      const found = reopened.logs().has('orders-0') ? await createLog(reopened, 'orders') : undefined;
      const { batches, error } = found === undefined ? { batches: [], error: 'gone' } : await readUntilDamage(found);
      const intact = batches.filter((batch) => batch.intact);
      const misplaced = intact.filter(({ baseOffset, values: read }) => read[0] !== values[baseOffset]);
      if (misplaced.length > 0) throw new Error(`seed ${seed}, ${path}, clean ${clean}: offsets have other values`);
      if (error !== undefined && !isBurrowError(error)) throw new Error(`seed ${seed}, ${path}`, { cause: error });
      if (error !== undefined || intact.length < batches.length) outcomes.noticed++;
      else if (intact.length === values.length) outcomes.whole++;
      // The last round of a journal that was not closed cannot be told from one that was torn.
      else if (path.includes('/journal/') && !clean && intact.length === values.length - 1) outcomes.tornRound++;
      else
        throw new Error(
          `seed ${seed}, ${path}, clean ${clean}: ${values.length - intact.length} batches are gone without a word`,
        );
    }
    console.log(JSON.stringify(outcomes));
    expect(outcomes.refused).toBeGreaterThan(0);
    expect(outcomes.noticed).toBeGreaterThan(0);
    expect(outcomes.whole).toBeGreaterThan(0);
  });
});

import { expect, test } from 'vitest';
import { Journal } from '../../broker/log/journal.ts';
import { recoverJournal } from '../../broker/log/journal-recovery.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';

const FOLDER = '/node/journal';
const JOURNAL_ID = Buffer.alloc(16, 7);
const TOPIC_ID = Buffer.alloc(16, 1);
const MIB = 1024 * 1024;

test('zeros are written ahead a little at a time, never over a round, and never beyond the size of a file', async () => {
  const disk = new MemoryDisk();
  await disk.makeDirectory(FOLDER);
  const fileBytes = 3 * MIB;
  const shared = { disk, folder: FOLDER, journalId: JOURNAL_ID };
  const journal = await Journal.open({ ...shared, fileBytes, nextRound: 1, reuseFiles: false, onRetired: () => {} });
  const path = `${FOLDER}/journal-0000`;
  const sizeNow = async () => (await disk.open(path)).size();
  // Smaller and larger than the scratch copies, the pieces of zeros, and what is zeroed at once.
  const sizes = [10, 5000, 64 * 1024, 200_000, 700_000, 1.5 * MIB, 300_000];
  const grown: number[] = [];
  for (const [round, bytes] of sizes.entries()) {
    const records = Buffer.alloc(bytes, round + 1);
    await journal.commit([{ topicId: TOPIC_ID, partition: 0, baseOffset: round, records }]);
    grown.push(await sizeNow());
  }
  expect(grown.slice(0, 4)).toEqual([MIB, MIB, MIB, MIB]);
  expect(grown[4]).toBe(MIB);
  // A round that is larger than what is zeroed at once brings its own zeros.
  expect(grown[5]).toBeLessThan(2.5 * MIB);
  expect(grown[6]).toBe(fileBytes);
  await journal.close();

  const found: Array<readonly [number, number, number]> = [];
  const lastRound = await recoverJournal({
    ...shared,
    firstRound: 1,
    pinned: [],
    salvage: false,
    onDamage: (damage) => {
      throw damage;
    },
    onEntry: async ({ records }, { round }) => {
      found.push([round, records.length, records.equals(Buffer.alloc(records.length, round)) ? round : -1]);
    },
  });
  expect(lastRound).toBe(sizes.length);
  expect(found).toEqual(sizes.map((bytes, index) => [index + 1, bytes, index + 1]));
});

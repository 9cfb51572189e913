import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { OffsetIndex } from '../../broker/log/offset-index.ts';
import { describeReports } from '../../src/cli/log.ts';
import { listSegments, verifyPartition } from '../../src/cli/verify-log.ts';
import { testBatch } from '../support/batches.ts';

function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-verify-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function batchAt(offset: number, values: readonly string[]): Buffer {
  const batch = testBatch(values);
  batch.writeBigInt64BE(BigInt(offset), 0);
  return batch;
}

function segmentName(base: number, suffix = '.log'): string {
  return `${String(base).padStart(20, '0')}${suffix}`;
}

/** Two segments: offsets 0 to 2 in two batches, and 3 to 4 in one. */
function writePartition(): { folder: string; first: string; second: string; batches: Buffer[] } {
  const folder = temporaryFolder();
  const batches = [batchAt(0, ['a', 'b']), batchAt(2, ['c']), batchAt(3, ['d', 'e'])];
  const first = path.join(folder, segmentName(0));
  const second = path.join(folder, segmentName(3));
  fs.writeFileSync(first, Buffer.concat(batches.slice(0, 2)));
  fs.writeFileSync(second, batches[2]!);
  return { folder, first, second, batches };
}

test('an intact partition is reported with its segments, offsets and counts', async () => {
  const { folder, batches } = writePartition();
  const reports = await verifyPartition(folder);
  expect(
    reports.map(({ firstOffset, nextOffset, batches: count, records }) => [firstOffset, nextOffset, count, records]),
  ).toEqual([
    [0, 3, 2, 3],
    [3, 5, 1, 2],
  ]);
  const bytes = batches[0]!.length + batches[1]!.length;
  expect(describeReports(reports)).toBe(
    `${segmentName(0)}  offsets 0 to 2, 2 batches, 3 records, ${bytes} bytes\n` +
      `${segmentName(3)}  offsets 3 to 4, 1 batch, 2 records, ${batches[2]!.length} bytes\n` +
      'ok: 2 segments without damage\n',
  );
});

test('every flipped bit behind the leader epoch is found, with file and position', async () => {
  const { folder, first, batches } = writePartition();
  const bytes = fs.readFileSync(first);
  const begin = batches[0]!.length;
  for (let position = begin + 16; position < bytes.length; position++) {
    bytes[position]! ^= 0x10;
    fs.writeFileSync(first, bytes);
    const [report] = await verifyPartition(folder);
    expect(report!.damage, `byte ${position}`).toMatchObject([{ file: first, position: begin }]);
    bytes[position]! ^= 0x10;
  }
});

test('a torn end is found, wherever it is torn', async () => {
  const { folder, second, batches } = writePartition();
  for (let bytes = 1; bytes < batches[2]!.length; bytes++) {
    fs.writeFileSync(second, batches[2]!.subarray(0, bytes));
    const report = (await verifyPartition(folder))[1]!;
    expect(report.damage, `${bytes} bytes`).toEqual([
      { file: second, position: 0, problem: 'the file ends inside a batch' },
    ]);
  }
});

test('offsets that go back are damage, offsets that are left out are not', async () => {
  const { folder, second } = writePartition();
  fs.writeFileSync(second, batchAt(2, ['x']));
  expect((await verifyPartition(folder))[1]!.damage[0]!.problem).toBe('offset 2 where at least 3 was due');
  fs.writeFileSync(second, batchAt(7, ['x']));
  const report = (await verifyPartition(folder))[1]!;
  expect(report.damage).toEqual([]);
  expect(report.notes).toEqual(['offsets 3 to 6 are absent, as compaction leaves them']);
});

test('a log that retention shortened begins where its first segment does', async () => {
  const { folder, first } = writePartition();
  fs.rmSync(first);
  expect(await verifyPartition(folder)).toMatchObject([{ firstOffset: 3, damage: [], notes: [] }]);
});

test('an index that sends readers astray is damage; an outdated one is a note', async () => {
  const { folder, first, batches } = writePartition();
  const bytes = batches[0]!.length + batches[1]!.length;
  const index = new OffsetIndex();
  index.append(2, batches[0]!.length);
  const file = first.replace('.log', '.index');
  fs.writeFileSync(file, index.encode(bytes));
  expect((await verifyPartition(folder))[0]).toMatchObject({ damage: [], notes: [] });

  fs.writeFileSync(file, index.encode(bytes + 1));
  expect((await verifyPartition(folder))[0]!.notes[0]).toContain('does not belong to this state of the segment');

  const astray = new OffsetIndex();
  astray.append(2, batches[0]!.length + 1);
  fs.writeFileSync(file, astray.encode(bytes));
  expect((await verifyPartition(folder))[0]!.damage).toMatchObject([{ file }]);
});

test('a batch larger than the reading window is checked like any other', async () => {
  const folder = temporaryFolder();
  const file = path.join(folder, segmentName(0));
  const large = batchAt(1, ['x'.repeat(3 * 1024 * 1024)]);
  const small = batchAt(0, ['y']);
  fs.writeFileSync(file, Buffer.concat([small, large, batchAt(2, ['z'])]));
  expect(await verifyPartition(folder)).toMatchObject([{ batches: 3, damage: [] }]);
  large[large.length - 1]! ^= 1;
  fs.writeFileSync(file, Buffer.concat([small, large, batchAt(2, ['z'])]));
  expect(await verifyPartition(folder)).toMatchObject([{ batches: 1, damage: [{ position: small.length }] }]);
});

test('a folder without segments is refused with an example of what is meant', async () => {
  await expect(listSegments(temporaryFolder())).rejects.toThrow('Name the folder of a partition, such as');
  await expect(listSegments('/nonexistent')).rejects.toThrow('Folder /nonexistent cannot be read');
});

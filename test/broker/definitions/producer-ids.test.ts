import { expect, test } from 'vitest';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import { ProducerIdAllocator } from '../../../broker/definitions/producer-ids.ts';
import { MemoryDisk } from '../../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

test('ids are consecutive within a block, and a block is reserved once per thousand', async () => {
  const coordinator = new MemoryCoordinator();
  const allocator = new ProducerIdAllocator(coordinator);
  const ids = await Promise.all(Array.from({ length: 2500 }, () => allocator.allocate()));
  expect(new Set(ids).size).toBe(2500);
  expect(Math.max(...ids)).toBe(2499);
  expect((await coordinator.get('producer-ids')).entry).toMatchObject({ value: '{"next":3000}', modRevision: 3 });
});

test('several brokers on one coordinator never give the same id', async () => {
  const coordinator = new MemoryCoordinator();
  const allocators = Array.from({ length: 4 }, () => new ProducerIdAllocator(coordinator));
  const ids = await Promise.all(Array.from({ length: 8000 }, (_, i) => allocators[i % 4]!.allocate()));
  expect(new Set(ids).size).toBe(8000);
});

test('no id is given twice across power losses at any moment', async () => {
  const given = new Set<number>();
  let disk = new MemoryDisk();
  await disk.makeDirectory('/data');
  await disk.syncDirectory('/');
  let count = 0;
  for (let seed = 0; seed < 200; seed++) {
    const random = new SeededRandom(seed);
    try {
      const allocator = new ProducerIdAllocator(await FileCoordinator.open({ disk, folder: '/data/c' }));
      const wanted = random.pick([1, 10, 1500]);
      const stopAt = disk.operations + random.between(1, 6);
      for (let i = 0; i < wanted && disk.operations < stopAt; i++) {
        given.add(await allocator.allocate());
        count++;
      }
    } catch (error) {
      if (!isBurrowError(error)) throw error;
    }
    disk = disk.crash(random, random.pick(['lost', 'kept', 'prefix', 'reordered']));
  }
  expect(given.size).toBe(count);
  expect(count).toBeGreaterThan(5000);
});

test('an error is told to all who wait, and the next call tries again', async () => {
  const disk = new MemoryDisk();
  const coordinator = await FileCoordinator.open({ disk, folder: '/c' });
  const allocator = new ProducerIdAllocator(coordinator);
  const full = disk.inject({ on: 'write', code: 'ENOSPC' });
  const outcomes = await Promise.allSettled([allocator.allocate(), allocator.allocate()]);
  for (const outcome of outcomes) {
    expect(outcome.status === 'rejected' && isBurrowError(outcome.reason, 'STORAGE_FULL')).toBe(true);
  }
  full.remove();
  expect(await allocator.allocate()).toBe(0);
});

test('a stored value that is none, or the end of all ids, is an error and not an id', async () => {
  for (const [value, expected] of [
    ['garbage', 'STORAGE_CORRUPT'],
    ['{"next":-1}', 'STORAGE_CORRUPT'],
    ['{"next":1.5}', 'STORAGE_CORRUPT'],
    ['{}', 'STORAGE_CORRUPT'],
    [`{"next":${Number.MAX_SAFE_INTEGER - 5}}`, 'INTERNAL_ERROR'],
  ] as const) {
    const coordinator = new MemoryCoordinator();
    await coordinator.transaction({ set: [{ key: 'producer-ids', value }] });
    const error: unknown = await new ProducerIdAllocator(coordinator).allocate().catch((reason: unknown) => reason);
    expect(isBurrowError(error, expected), value).toBe(true);
  }
});

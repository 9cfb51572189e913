/** The coordinator in a folder under real processes that are stopped and killed at random, as the machine does it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { CoordinatorEntry } from '../../../broker/coordinator/coordinator.ts';
import { FileCoordinator } from '../../../broker/coordinator/file.ts';
import { NodeDisk } from '../../../broker/ports/node-disk.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { checkLinearizable, type HistoryItem, mergeHistory } from '../../support/coordinator-history.ts';
import { machineMicros, WORKER_LEASE_MS, type WorkerLine } from '../../support/coordinator-worker.ts';

const WORKER = fileURLToPath(new URL('../../../dist/test/support/coordinator-worker.js', import.meta.url));

interface Worker {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
}

test('what stops and kills leave is linearizable, and no lease is gone before its deadline', async () => {
  if (!fs.existsSync(WORKER)) throw new Error(`${WORKER} is missing: run npm test, which builds first`);
  const root = await mkdtemp(path.join(tmpdir(), 'burrow-coordinator-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const folder = path.join(root, 'c');
  const random = new SeededRandom('processes');
  const records: HistoryItem[] = [];
  const deadlines = new Map<string, number>();
  const told = new Map<number, { set: readonly CoordinatorEntry[]; removed: readonly string[] }>();
  const goneAt = new Map<string, number>();
  let missed = 0;
  let errors = '';

  const observer = await FileCoordinator.open({ disk: new NodeDisk(), folder, shared: true });
  observer.watch('', 1, (event) => {
    if (event.kind !== 'changed') {
      missed++;
      return;
    }
    told.set(event.revision, event);
    for (const key of event.removed) goneAt.set(key, machineMicros());
  });

  let started = 0;
  const workers = new Set<Worker>();
  const start = (): void => {
    const name = `w${started++}`;
    const child = spawn(process.execPath, [WORKER, folder, name, name], { stdio: ['ignore', 'pipe', 'pipe'] });
    const lines = createInterface({ input: child.stdout! });
    lines.on('line', (line) => {
      let read: WorkerLine;
      try {
        read = JSON.parse(line) as WorkerLine;
      } catch {
        // Killed while it wrote.
        return;
      }
      if ('item' in read) records.push(read.item);
      else deadlines.set(read.key, Math.max(deadlines.get(read.key) ?? 0, read.deadline));
    });
    child.stderr!.on('data', (data) => {
      errors += String(data);
    });
    const worker = { process: child, ended: Promise.all([once(child, 'exit'), once(lines, 'close')]) };
    workers.add(worker);
    onTestFinished(() => void child.kill('SIGKILL'));
  };
  for (let i = 0; i < 3; i++) start();

  let stops = 0;
  let kills = 0;
  for (let round = 0; round < 30; round++) {
    await delay(random.between(20, 250));
    const worker = random.pick([...workers]);
    if (random.chance(0.6)) {
      worker.process.kill('SIGSTOP');
      await delay(random.pick([5, 50, 2 * WORKER_LEASE_MS]));
      worker.process.kill('SIGCONT');
      stops++;
    } else {
      worker.process.kill('SIGKILL');
      await worker.ended;
      workers.delete(worker);
      kills++;
      start();
    }
  }
  for (const { process: child } of workers) child.kill('SIGTERM');
  await Promise.all(Array.from(workers, ({ ended }) => ended));
  const { entries, revision } = await observer.list('');
  const compactions = fs.readdirSync(folder).filter((name) => name.endsWith('.snapshot'));
  await observer.close();

  expect(errors).toBe('');
  expect(missed).toBe(0);
  expect([...told.keys()].at(-1)).toBe(revision);
  const history = mergeHistory(records);
  expect(checkLinearizable(history, told)).toBeUndefined();
  for (const [key, at] of goneAt) {
    if (key.startsWith('member/')) expect(at, key).toBeGreaterThanOrEqual(deadlines.get(key) ?? 0);
  }
  // Something happened.
  expect(stops).toBeGreaterThan(5);
  expect(kills).toBeGreaterThan(5);
  expect(history.length).toBeGreaterThan(300);
  expect([...goneAt.keys()].filter((key) => key.startsWith('member/')).length).toBeGreaterThan(3);
  expect(compactions.length).toBeGreaterThan(0);

  // And whoever comes later finds the same.
  const later = await FileCoordinator.open({ disk: new NodeDisk(), folder });
  expect((await later.list('k')).entries).toEqual(entries.filter(({ key }) => key.startsWith('k')));
  await later.close();
}, 120_000);

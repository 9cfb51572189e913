/** The lock of a data folder: one owner at a time, the dead are not waited for, the living not robbed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FolderLock } from '../../../broker/ports/folder-lock.ts';
import { silentLogger } from '../../../broker/ports/logger.ts';
import type { BurrowError } from '../../../src/errors/burrow-error.ts';
import { temporaryFolder } from '../../support/cli.ts';

const BUILT = new URL('../../../dist/broker/ports/folder-lock.js', import.meta.url);

async function acquire(folder: string, onLost: (error: BurrowError) => void = () => {}): Promise<FolderLock> {
  const lock = await FolderLock.acquire({ folder, logger: silentLogger, onLost });
  onTestFinished(() => lock.release());
  return lock;
}

/** Another process that takes the lock and keeps it. */
async function startOwner(folder: string): Promise<ChildProcess> {
  if (!fs.existsSync(BUILT)) throw new Error(`${fileURLToPath(BUILT)} is missing: run npm test, which builds first`);
  const program = `
    import { FolderLock } from ${JSON.stringify(BUILT.href)};
    const logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => logger };
    await FolderLock.acquire({ folder: process.argv[1], logger, onLost() {} });
    console.log('locked');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
  await once(child.stdout!, 'data');
  return child;
}

function ownerFile(folder: string): string {
  return path.join(folder, 'broker.lock-owner.json');
}

function readOwner(folder: string): Record<string, unknown> {
  return JSON.parse(fs.readFileSync(ownerFile(folder), 'utf8')) as Record<string, unknown>;
}

describe('a second owner', () => {
  test('of the same process is refused, until the first gives the folder back', async () => {
    const folder = temporaryFolder();
    const first = await acquire(folder);
    await expect(acquire(folder)).rejects.toMatchObject({
      code: 'DATA_FOLDER_LOCKED',
      message: expect.stringContaining(`${folder} is in use by the broker with pid ${process.pid}`),
      fields: { folder, pid: process.pid },
    });
    await first.release();
    expect(fs.readdirSync(folder)).toEqual([]);
    await acquire(folder);
  });

  test('of several at once only one gets it', async () => {
    const folder = temporaryFolder();
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => acquire(folder)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('of another process is refused at once, also while that one stands still', async () => {
    const folder = temporaryFolder();
    const owner = await startOwner(folder);
    owner.kill('SIGSTOP');
    // As if it had stood still for an hour.
    const hourAgo = new Date(Date.now() - 3_600_000);
    fs.utimesSync(path.join(folder, 'broker.lock'), hourAgo, hourAgo);
    const begun = performance.now();
    await expect(acquire(folder)).rejects.toMatchObject({ code: 'DATA_FOLDER_LOCKED', fields: { pid: owner.pid } });
    expect(performance.now() - begun).toBeLessThan(2_000);
    owner.kill('SIGCONT');
  });
});

describe('a lock that was left behind', () => {
  test('by a process that was killed is taken over without waiting', async () => {
    const folder = temporaryFolder();
    const owner = await startOwner(folder);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    expect(fs.existsSync(path.join(folder, 'broker.lock'))).toBe(true);
    const begun = performance.now();
    await acquire(folder);
    expect(performance.now() - begun).toBeLessThan(2_000);
    expect(readOwner(folder)['pid']).toBe(process.pid);
  });

  test('is fought over by several, and one gets it', async () => {
    const folder = temporaryFolder();
    const owner = await startOwner(folder);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => acquire(folder)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('by a process whose number another has now is taken over', async () => {
    const folder = temporaryFolder();
    const first = await acquire(folder);
    const owner = readOwner(folder);
    await first.release();
    fs.mkdirSync(path.join(folder, 'broker.lock'));
    fs.writeFileSync(ownerFile(folder), JSON.stringify({ ...owner, started: '1', token: 'of an earlier process' }));
    const begun = performance.now();
    await acquire(folder);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  test.each([
    ['on another machine', { host: 'elsewhere', token: 't', pid: 1 }],
    ['before this boot or in another container', { scope: 'another', token: 't' }],
  ])('%s is taken over if nobody touches it, and not if somebody does', async (_, changes) => {
    const folder = temporaryFolder();
    const first = await acquire(folder);
    const owner = { ...readOwner(folder), ...changes };
    await first.release();
    fs.mkdirSync(path.join(folder, 'broker.lock'));
    fs.writeFileSync(ownerFile(folder), JSON.stringify(owner));
    const touch = setInterval(() => {
      const now = new Date();
      fs.utimesSync(path.join(folder, 'broker.lock'), now, now);
    }, 300);
    await expect(acquire(folder)).rejects.toMatchObject({ code: 'DATA_FOLDER_LOCKED' });
    clearInterval(touch);
    const longAgo = new Date(Date.now() - 60_000);
    fs.utimesSync(path.join(folder, 'broker.lock'), longAgo, longAgo);
    await acquire(folder);
  });

  test.each(['', '{"pid":', 'null', '{"pid":"x"}'])(
    'with the owner file %j is taken over once it is old',
    async (text) => {
      const folder = temporaryFolder();
      fs.mkdirSync(path.join(folder, 'broker.lock'));
      fs.writeFileSync(ownerFile(folder), text);
      const longAgo = new Date(Date.now() - 60_000);
      fs.utimesSync(path.join(folder, 'broker.lock'), longAgo, longAgo);
      await acquire(folder);
    },
  );
});

describe('a lock that is disturbed', () => {
  test('but taken by nobody is put back, and its owner goes on', async () => {
    const folder = temporaryFolder();
    let lost: BurrowError | undefined;
    const lock = await acquire(folder, (error) => {
      lost = error;
    });
    fs.rmdirSync(path.join(folder, 'broker.lock'));
    await expect.poll(() => fs.existsSync(path.join(folder, 'broker.lock')), { timeout: 10_000 }).toBe(true);
    expect(lost).toBeUndefined();
    await expect(acquire(folder)).rejects.toMatchObject({ code: 'DATA_FOLDER_LOCKED' });
    await lock.release();
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  test('and taken by another is lost: its owner is told, and leaves what is the other’s', async () => {
    const folder = temporaryFolder();
    let lost: BurrowError | undefined;
    const lock = await acquire(folder, (error) => {
      lost = error;
    });
    fs.writeFileSync(
      ownerFile(folder),
      JSON.stringify({ ...readOwner(folder), token: 'of another', host: 'elsewhere' }),
    );
    const now = new Date(Date.now() + 5_000);
    fs.utimesSync(path.join(folder, 'broker.lock'), now, now);
    await expect.poll(() => lost?.code, { timeout: 10_000 }).toBe('DATA_FOLDER_LOCKED');
    await lock.release();
    expect(fs.existsSync(path.join(folder, 'broker.lock'))).toBe(true);
    expect(readOwner(folder)['token']).toBe('of another');
  });
});

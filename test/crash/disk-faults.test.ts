/**
 * Real brokers on disks that really run full, and in folders that are taken away from them. What tests on the in-memory
 * disk show of the log engine, these show of the process: it goes on or ends with a reason, and keeps what it acknowledged.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Client, connect, isBurrowError, type Producer } from '../../client/index.ts';
import { type RunningBroker, runCommand, startBrokerProcess, temporaryFolder } from '../support/cli.ts';
import { pause } from './kill-load.ts';
import { readPartition } from './read-partition.ts';

const MIB = 1024 * 1024;
const VALUE_BYTES = 50_000;
const SMALL = [
  '--max-message-bytes',
  '200KiB',
  '--journal-bytes',
  '4MiB',
  '--unwritten-bytes-max',
  '1MiB',
  '--tail-cache-bytes',
  '1MiB',
];

/** A disk of its own in memory, or why there can be none. */
class SmallDisk {
  readonly folder = temporaryFolder();

  /** Mounts it; a string says why that is not possible here. */
  static mount(mebibytes: number): SmallDisk | string {
    const disk = new SmallDisk();
    try {
      disk.#mount(`size=${mebibytes}m`, ['-t', 'tmpfs', 'tmpfs']);
    } catch (error) {
      return `no disk can be mounted here, which needs root on Linux (${String(error).split('\n')[0]})`;
    }
    onTestFinished(() => void execFileSync('umount', ['-l', disk.folder]));
    return disk;
  }

  grow(mebibytes: number): void {
    this.#mount(`remount,size=${mebibytes}m`, []);
  }

  #mount(options: string, words: string[]): void {
    execFileSync('mount', [...words, this.folder, '-o', options], { stdio: 'pipe' });
  }
}

async function connectTo({ url }: RunningBroker): Promise<Client> {
  const client = await connect(url, { reconnectBackoff: { initialMs: 20, maxMs: 200 } });
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  return client;
}

/** What was acknowledged of one partition, by offset; values are all different. */
class Acknowledged {
  readonly topic: string;
  readonly values = new Map<number, string>();
  #sent = 0;

  constructor(topic: string) {
    this.topic = topic;
  }

  async send(producer: Producer): Promise<void> {
    const value = `${this.topic} ${this.#sent++} `.padEnd(VALUE_BYTES, '.');
    const { offset } = await producer.send({ topic: this.topic, partition: 0, value: Buffer.from(value) });
    expect(this.values.has(offset), `offset ${offset} is given once`).toBe(false);
    this.values.set(offset, value);
  }

  /** Sends until that fails, and resolves with why. Several at a time, as producers do. */
  async sendUntilRefused(producer: Producer): Promise<unknown> {
    let refusal: unknown;
    const lane = async (): Promise<void> => {
      while (refusal === undefined) await this.send(producer).catch((error: unknown) => (refusal ??= error));
    };
    await Promise.all([lane(), lane(), lane()]);
    return refusal;
  }

  /** Every record is where it was acknowledged, and none is there twice. */
  async check(client: Client): Promise<void> {
    const status = (await client.admin().partitionStatus(this.topic))[0]!;
    const found = new Map<number, string>();
    await readPartition(
      client,
      { topic: this.topic, partition: 0, from: status.logStartOffset, to: status.highWatermark },
      ({ offset, valueBytes }) => void found.set(offset, Buffer.from(valueBytes!).toString()),
    );
    const lost = [...this.values].filter(([offset, value]) => found.get(offset) !== value).map(([offset]) => offset);
    expect(lost, 'acknowledged offsets that are lost').toEqual([]);
    expect(new Set(found.values()).size, 'records that are there twice').toBe(found.size);
  }
}

/** The error that counts: a producer that retried until its time was over tells the last one as the cause. */
function lastCause(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error && isBurrowError(error, 'DELIVERY_TIMEOUT')
    ? lastCause(error.cause)
    : error;
}

function isRunning({ process }: RunningBroker): boolean {
  return process.child.exitCode === null && process.child.signalCode === null;
}

describe('a disk that runs full', () => {
  test('below the fence: producers hear of it, consumers go on, and removing a topic is enough to go on', {
    timeout: 60_000,
  }, async ({ skip }) => {
    const disk = SmallDisk.mount(64);
    if (typeof disk === 'string') return skip(disk);
    const dataDir = path.join(disk.folder, 'data');
    const broker = await startBrokerProcess([...SMALL, '--disk-free-bytes-min', '20MiB'], dataDir);
    const client = await connectTo(broker);
    const admin = client.admin();
    await admin.createTopic({ name: 'kept', partitions: 1 });
    await admin.createTopic({ name: 'heap', partitions: 1 });
    const producer = client.producer({ deliveryTimeoutMs: 2500 });
    const [kept, heap] = [new Acknowledged('kept'), new Acknowledged('heap')];
    await kept.send(producer);

    expect(lastCause(await heap.sendUntilRefused(producer))).toMatchObject({ code: 'STORAGE_FULL' });
    await expect(admin.createTopic({ name: 'more' })).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    await heap.check(client);
    expect(heap.values.size * VALUE_BYTES).toBeGreaterThan(8 * MIB);
    // Refused by the fence, not stopped by the disk.
    for (const topic of ['kept', 'heap']) expect((await admin.partitionStatus(topic))[0]!.failure).toBeUndefined();

    await admin.deleteTopic('heap');
    const patient = client.producer();
    await kept.send(patient);
    await kept.check(client);
    expect(isRunning(broker)).toBe(true);
  });

  test.for(['SIGTERM', 'SIGKILL'] as const)(
    'to the last byte: the broker says so and goes on reading, and after %s and a larger disk all is there',
    { timeout: 60_000 },
    async (signal, { skip }) => {
      const disk = SmallDisk.mount(48);
      if (typeof disk === 'string') return skip(disk);
      const dataDir = path.join(disk.folder, 'data');
      const words = [...SMALL, '--disk-free-bytes-min', '0'];
      const first = await startBrokerProcess(words, dataDir);
      const client = await connectTo(first);
      const admin = client.admin();
      const [full, other] = [new Acknowledged('full'), new Acknowledged('other')];
      for (const { topic } of [full, other]) await admin.createTopic({ name: topic, partitions: 1 });
      const producer = client.producer({ deliveryTimeoutMs: 2500 });
      for (let i = 0; i < 20; i++) await other.send(producer);

      expect(lastCause(await full.sendUntilRefused(producer))).toMatchObject({ code: 'STORAGE_FULL' });
      expect(full.values.size * VALUE_BYTES).toBeGreaterThan(10 * MIB);
      const status = (await admin.partitionStatus('full'))[0]!;
      expect(status.failure).toMatchObject({ code: 'STORAGE_FULL' });
      expect(first.process.stderr).toMatch(/ENOSPC/);
      await full.check(client);
      await other.check(client);
      expect(isRunning(first)).toBe(true);

      first.process.child.kill(signal);
      await first.process.finished;
      disk.grow(128);
      const second = await startBrokerProcess(words, dataDir);
      const again = await connectTo(second);
      for (const one of [full, other]) {
        await one.check(again);
        await one.send(again.producer());
        await one.check(again);
      }
    },
  );
});

describe('a data folder', () => {
  test('that is moved away stops its broker with a reason; moved back, it has everything', {
    timeout: 60_000,
  }, async () => {
    const parent = temporaryFolder();
    const [dataDir, elsewhere] = [path.join(parent, 'data'), path.join(parent, 'elsewhere')];
    const first = await startBrokerProcess(SMALL, dataDir);
    const client = await connectTo(first);
    await client.admin().createTopic({ name: 'kept', partitions: 1, configs: { 'segment.bytes': 200_000 } });
    const kept = new Acknowledged('kept');
    const producer = client.producer({ deliveryTimeoutMs: 1500 });
    for (let i = 0; i < 10; i++) await kept.send(producer);
    fs.renameSync(dataDir, elsewhere);
    const refusal = kept.sendUntilRefused(producer);
    const { code, stderr } = await first.process.finished;
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^burrow: .*\[(?:DATA_FOLDER_LOCKED|STORAGE_ERROR)\]$/m)]);
    expect(isBurrowError(await refusal)).toBe(true);
    // Not made anew in its place, and nothing else either.
    expect(fs.existsSync(dataDir)).toBe(false);

    fs.renameSync(elsewhere, dataDir);
    await kept.check(await connectTo(await startBrokerProcess(SMALL, dataDir)));
  });

  test('that is removed stops its broker with a reason', { timeout: 60_000 }, async () => {
    const dataDir = path.join(temporaryFolder(), 'data');
    const broker = await startBrokerProcess(SMALL, dataDir);
    const client = await connectTo(broker);
    await client.admin().createTopic({ name: 'gone', partitions: 1 });
    fs.rmSync(dataDir, { recursive: true });
    const removedMs = performance.now();
    const { code, stderr } = await broker.process.finished;
    // The next look at its lock is enough; until then it writes to files that have no name any more.
    expect(performance.now() - removedMs).toBeLessThan(8_000);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^burrow: .*\[(?:DATA_FOLDER_LOCKED|STORAGE_ERROR)\]$/m)]);
  });

  test('that cannot be written to is refused at the start, in one line', { timeout: 60_000 }, async () => {
    const file = path.join(temporaryFolder(), 'file');
    fs.writeFileSync(file, '');
    const words = ['--port', '0', '--kafka-port', 'off', '--amqp-port', 'off', '--log-level', 'silent'];
    for (const dataDir of [file, path.join(file, 'data'), '/proc/burrow']) {
      const { code, stderr } = await runCommand(['start', '--data-dir', dataDir, ...words]);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/^burrow: .*\[STORAGE_ERROR\]\n$/)]);
    }
  });

  test('of a frozen broker stays its own, however long it stands still', { timeout: 60_000 }, async () => {
    const first = await startBrokerProcess(SMALL);
    const client = await connectTo(first);
    await client.admin().createTopic({ name: 'kept', partitions: 1 });
    const kept = new Acknowledged('kept');
    const producer = client.producer();
    await kept.send(producer);
    first.process.child.kill('SIGSTOP');
    // Its lock looks left behind after ten seconds.
    const old = new Date(Date.now() - 60_000);
    fs.utimesSync(path.join(first.dataDir, 'broker.lock'), old, old);
    const words = [
      '--port',
      '0',
      '--kafka-port',
      'off',
      '--amqp-port',
      'off',
      '--log-level',
      'silent',
      '--data-dir',
      first.dataDir,
    ];
    const second = await runCommand(['start', ...words]);
    expect([second.code, second.stderr]).toEqual([1, expect.stringMatching(/\[DATA_FOLDER_LOCKED\]\n$/)]);
    first.process.child.kill('SIGCONT');
    await kept.send(producer);
    await kept.check(client);
    // Past the next looks at its lock.
    await pause(4000);
    await kept.send(producer);
    expect(isRunning(first)).toBe(true);
  });

  test('that another took while its broker was frozen is left to the other', { timeout: 60_000 }, async () => {
    const broker = await startBrokerProcess(SMALL);
    const client = await connectTo(broker);
    await client.admin().createTopic({ name: 'kept', partitions: 1 });
    broker.process.child.kill('SIGSTOP');
    const ownerFile = path.join(broker.dataDir, 'broker.lock-owner.json');
    // As one on another machine would, which cannot see whether this process lives.
    const owner = { pid: 1, host: 'elsewhere', token: 'another' };
    fs.writeFileSync(ownerFile, JSON.stringify(owner));
    fs.rmSync(path.join(broker.dataDir, 'broker.lock'), { recursive: true });
    fs.mkdirSync(path.join(broker.dataDir, 'broker.lock'));
    broker.process.child.kill('SIGCONT');
    const { code, stderr } = await broker.process.finished;
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^burrow: .*\[DATA_FOLDER_LOCKED\]$/m)]);
    expect(JSON.parse(fs.readFileSync(ownerFile, 'utf8'))).toEqual(owner);
    expect(fs.existsSync(path.join(broker.dataDir, 'broker.lock'))).toBe(true);
    expect(fs.existsSync(path.join(broker.dataDir, 'clean-shutdown.json'))).toBe(false);
  });
});

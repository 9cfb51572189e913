import { execFile } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startBroker } from '../../broker/index.ts';
import { SocketBudget } from '../../broker/listeners/socket-budget.ts';
import { openFilesMax } from '../../broker/ports/open-files.ts';
import { connect } from '../../client/index.ts';
import { type LogLine, recordingLogger } from '../support/recording-logger.ts';
import { RawClient } from './amqp/raw-client.ts';

test('sockets have three quarters of the files, or what the user says', () => {
  expect(SocketBudget.of(0, 1000).socketsMax).toBe(750);
  expect(SocketBudget.of(0, undefined).socketsMax).toBe(Number.POSITIVE_INFINITY);
  expect(SocketBudget.of(5, 1000).socketsMax).toBe(5);
  const budget = new SocketBudget(2);
  expect([budget.tryTake(), budget.tryTake(), budget.tryTake()]).toEqual([true, true, false]);
  budget.release();
  expect([budget.tryTake(), budget.tryTake()]).toEqual([true, false]);
});

test('socketsMax holds for all listeners together, is told, and places come back', async () => {
  const lines: LogLine[] = [];
  const broker = await startBroker({ storage: 'memory', socketsMax: 2, logger: recordingLogger(lines) });
  onTestFinished(() => broker.close());
  const client = await connect(broker.addresses.native!);
  onTestFinished(() => client.close());
  const raw = await RawClient.open(broker.ports.amqp!);
  onTestFinished(() => void raw.socket.destroy());
  for (const port of [broker.ports.native!, broker.ports.kafka!, broker.ports.amqp!]) {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {});
    await new Promise((resolve) => socket.once('close', resolve));
  }
  const told = (): number =>
    lines.filter(({ text, fields }) => /raise ulimit -n/.test(text) && fields['socketsMax'] === 2).length;
  await expect.poll(told, { timeout: 5000 }).toBe(3);
  raw.socket.destroy();
  await expect
    .poll(() =>
      RawClient.open(broker.ports.amqp!).then(
        (again) => again.socket.destroy() !== undefined,
        () => false,
      ),
    )
    .toBe(true);
});

// The reason for all this: what a process without files left does with clients.
test.runIf(openFilesMax() !== undefined)(
  'a broker with few files refuses connections aloud, and goes on writing',
  { timeout: 60_000 },
  async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-files-'));
    const main = new URL('../../dist/src/cli/main.js', import.meta.url).pathname;
    const command = `ulimit -n 160; exec "$0" "$1" start --json --data-dir "$2" --port 0 --kafka-port off --amqp-port 0`;
    const child = execFile('sh', ['-c', command, process.execPath, main, folder]);
    onTestFinished(async () => {
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await closed;
      fs.rmSync(folder, { recursive: true, force: true });
    });
    let output = '';
    let errors = '';
    child.stdout!.on('data', (text: string) => (output += text));
    child.stderr!.on('data', (text: string) => (errors += text));
    await expect.poll(() => output, { timeout: 20_000 }).toContain('"ready":true');
    const { ports } = JSON.parse(output) as { ports: { native: number; amqp: number } };
    const client = await connect(`ws://127.0.0.1:${ports.native}`);
    onTestFinished(() => client.close({ timeoutMs: 0 }));
    const sockets = Array.from({ length: 200 }, () => net.connect(ports.amqp, '127.0.0.1').on('error', () => {}));
    onTestFinished(() => sockets.forEach((socket) => void socket.destroy()));
    await expect.poll(() => errors, { timeout: 10_000 }).toContain('too many open files; raise ulimit -n');
    // New topics need new files.
    const producer = client.producer();
    for (const topic of ['a', 'b', 'c']) await producer.send({ topic, value: Buffer.from('x') });
  },
);

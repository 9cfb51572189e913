/** `burrow start` as a real process: ready, stopping, and what keeps it from starting. */
import fs from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { expect, test } from 'vitest';
import { runCommand, startBrokerProcess, startCommand, temporaryFolder } from '../support/cli.ts';

test('says that it is ready in one line of JSON, and stops cleanly on SIGTERM', async () => {
  const broker = await startBrokerProcess();
  const ready = JSON.parse(broker.process.stdout) as { pid: number };
  expect(ready.pid).toBe(broker.process.child.pid);
  for (const port of [broker.ports.native, broker.ports.kafka]) {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(void socket.destroy()));
      socket.on('error', reject);
    });
  }
  const began = performance.now();
  broker.process.child.kill('SIGTERM');
  const { code, signal, stdout } = await broker.process.finished;
  expect([code, signal]).toEqual([0, null]);
  expect(performance.now() - began).toBeLessThan(5_000);
  expect(stdout.toString().trim().split('\n')).toHaveLength(1);
});

test('stops on SIGTERM although clients are connected and silent', async () => {
  const broker = await startBrokerProcess();
  const sockets = [broker.ports.native, broker.ports.kafka].map((port) => connect(port, '127.0.0.1'));
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
  broker.process.child.kill('SIGTERM');
  expect((await broker.process.finished).code).toBe(0);
  for (const socket of sockets) socket.destroy();
});

test('without --json prints a banner with addresses and a command that works', async () => {
  const folder = temporaryFolder();
  const broker = startCommand([
    'start',
    '--data-dir',
    folder,
    '--port',
    '0',
    '--kafka-port',
    '0',
    '--amqp-port',
    '0',
    '--disk-free-bytes-min',
    '0',
  ]);
  const line = await broker.printed(/produce greetings/);
  expect(broker.stdout).toMatch(/^BurrowMQ \d+\.\d+\.\d+ is ready\. An acknowledgment means: synced to disk\./);
  expect(broker.stdout).toContain(`  data     ${folder}\n`);
  const url = /--server (\S+)/.exec(line)?.[1] ?? '';
  const produced = await runCommand(['produce', 'greetings', '--server', url], { input: 'hello\n' });
  expect([produced.code, produced.stderr]).toEqual([0, expect.stringMatching(/^1 record, 5 B in /)]);
  const consumed = await runCommand(['consume', 'greetings', '--server', url]);
  expect(consumed.stdout.toString()).toBe('hello\n');
});

test('a second broker on the same folder is refused in one line; after kill -9 the folder is free again', async () => {
  const first = await startBrokerProcess();
  const ports = ['--port', '0', '--kafka-port', '0', '--amqp-port', '0', '--log-level', 'silent'];
  const second = await runCommand(['start', '--data-dir', first.dataDir, ...ports]);
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(/^burrow: .* \[DATA_FOLDER_LOCKED\]\n$/);
  first.process.child.kill('SIGKILL');
  await first.process.finished;
  const third = await startBrokerProcess([], first.dataDir);
  expect(third.ports.native).toBeGreaterThan(0);
});

test('a port that is taken is refused in one line that names it', async () => {
  const first = await startBrokerProcess();
  const words = [
    '--port',
    String(first.ports.native),
    '--kafka-port',
    'off',
    '--amqp-port',
    'off',
    '--log-level',
    'silent',
  ];
  const second = await runCommand(['start', '--data-dir', temporaryFolder(), ...words]);
  expect(second.code).not.toBe(0);
  expect(second.stderr.split('\n')).toHaveLength(2);
  expect(second.stderr).toContain(String(first.ports.native));
});

test('a listener that is off is not there', async () => {
  const broker = await startBrokerProcess(['--kafka-port', 'off', '--amqp-port', 'off']);
  expect(Object.keys(broker.ports)).toEqual(['native']);
});

test('options from the config file reach the broker', async () => {
  const folder = temporaryFolder();
  const file = path.join(folder, 'burrow.json');
  fs.writeFileSync(file, JSON.stringify({ 'default-partitions': 3, 'log-level': 'error' }));
  const broker = await startBrokerProcess(['--config', file]);
  const created = await runCommand(['topic', 'create', 't', '--json', '--server', broker.url]);
  expect(JSON.parse(created.stdout.toString())).toEqual({ topic: 't', partitions: 3, created: true });
  expect(broker.process.stderr).toBe('');
});

/**
 * Many AMQP connections that do nothing but keep their heartbeats, against one broker in a process of its own; and many channels on one
 * connection. None may be lost, all must be usable at the end, and the broker's memory is measured.
 *
 * Needs the built code (`npm test` and `npm run soak` build). Each connection is a file descriptor at both ends: a process needs a hard
 * limit (`ulimit -Hn`) beyond the number of connections.
 */
import { type ChildProcess, fork } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BrokerProcess } from '../../bench/support/broker-process.ts';
import { RawClient } from '../listeners/amqp/raw-client.ts';
import type { HolderCommand, HolderReport } from './connection-holder.ts';

export interface IdleConnectionsOptions {
  readonly connections: number;
  readonly channels: number;
  readonly durationMs: number;
  readonly heartbeatSeconds: number;
  /** Of clients. Default 4. */
  readonly processes?: number;
  /** Further flags of the broker. */
  readonly flags?: readonly string[];
  /** Told how it goes. */
  readonly onProgress?: (text: string) => void;
}

export interface IdleConnectionsResult {
  readonly connections: number;
  readonly heartbeatSeconds: number;
  readonly heartbeatsReceived: number;
  readonly heartbeatsSent: number;
  readonly openedSeconds: number;
  readonly channels: number;
  readonly residentBytesBefore: number;
  readonly residentBytesOpen: number;
  readonly residentBytesPeak: number;
  readonly bytesPerConnection: number;
  readonly bytesPerChannel: number;
  /** Of the broker, while the connections were held: of one core. */
  readonly cpuPercent: number;
}

const HOLDER = fileURLToPath(
  new URL(
    import.meta.url.includes('/dist/') ? './connection-holder.js' : '../../dist/test/soak/connection-holder.js',
    import.meta.url,
  ),
);
const LOOK_MS = 5_000;

class Holder {
  readonly #child: ChildProcess = fork(HOLDER, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });

  ask<K extends HolderReport['kind']>(command: HolderCommand, kind: K): Promise<Extract<HolderReport, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null): void => reject(new Error(`a client process ended with code ${code}`));
      this.#child.once('exit', onExit);
      this.#child.once('message', (report: HolderReport) => {
        this.#child.off('exit', onExit);
        if (report.kind === kind) resolve(report as Extract<HolderReport, { kind: K }>);
        else reject(new Error(`a client process says ${report.kind}`));
      });
      this.#child.send(command);
    });
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

export async function holdConnections(options: IdleConnectionsOptions): Promise<IdleConnectionsResult> {
  const { connections, channels, durationMs, heartbeatSeconds, processes = 4, onProgress = () => {} } = options;
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-connections-'));
  const limits = ['--connections-max', '1000000', '--connections-per-ip-max', '1000000'];
  const flags = ['--log-level', 'warn', ...limits, ...(options.flags ?? [])];
  const broker = await BrokerProcess.start({ dataDir, amqpPort: 0, flags });
  const holders: Holder[] = [];
  try {
    const port = Number(broker.amqpAddress!.split(':')[1]);
    // What the first connection brings along (code, caches) is not the price of one more.
    await openChannels(port, 1);
    const before = usage(broker).residentBytes;
    const startedMs = performance.now();
    for (let index = 0; index < processes; index++) holders.push(new Holder());
    const share = (index: number): number =>
      Math.floor(connections / processes) + (index < connections % processes ? 1 : 0);
    await Promise.all(
      holders.map((holder, index) =>
        holder.ask({ kind: 'open', port, connections: share(index), heartbeatSeconds }, 'opened'),
      ),
    );
    const openedSeconds = (performance.now() - startedMs) / 1000;
    const opened = usage(broker);
    onProgress(`${connections} connections, ${mebibytes(opened.residentBytes)} MiB`);
    const heldMs = performance.now();
    while (performance.now() - heldMs < durationMs) {
      await pause(Math.min(LOOK_MS, durationMs));
      onProgress(`${Math.round((performance.now() - heldMs) / 1000)} s, ${mebibytes(usage(broker).residentBytes)} MiB`);
    }
    const held = usage(broker);
    const cpuPercent = ((held.cpuSeconds - opened.cpuSeconds) / ((performance.now() - heldMs) / 1000)) * 100;
    const checked = await Promise.all(holders.map((holder) => holder.ask({ kind: 'check' }, 'checked')));
    const sum = (of: (report: (typeof checked)[number]) => number): number =>
      checked.reduce((total, report) => total + of(report), 0);
    const alive = sum((report) => report.alive);
    if (alive !== connections) {
      const reasons = checked.flatMap(({ lost }) => lost);
      throw new Error(`${connections - alive} of ${connections} connections were lost: ${reasons.join('; ')}`);
    }
    const beforeChannels = usage(broker).residentBytes;
    const client = await openChannels(port, channels);
    const { residentBytes: withChannels, peakBytes } = usage(broker);
    client.socket.destroy();
    return {
      connections,
      heartbeatSeconds,
      heartbeatsReceived: sum((report) => report.heartbeatsReceived),
      heartbeatsSent: sum((report) => report.heartbeatsSent),
      openedSeconds: Math.round(openedSeconds * 10) / 10,
      channels,
      residentBytesBefore: before,
      residentBytesOpen: held.residentBytes,
      residentBytesPeak: peakBytes,
      bytesPerConnection: Math.round((held.residentBytes - before) / connections),
      bytesPerChannel: Math.round((withChannels - beforeChannels) / channels),
      cpuPercent: Math.round(cpuPercent * 10) / 10,
    };
  } finally {
    for (const holder of holders) holder.stop();
    await broker.kill();
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Of the broker; zeros where the system does not tell. */
function usage(broker: BrokerProcess): { residentBytes: number; peakBytes: number; cpuSeconds: number } {
  return { ...(broker.memory() ?? { residentBytes: 0, peakBytes: 0 }), cpuSeconds: broker.cpuSeconds() ?? 0 };
}

/** A connection with so many channels, each of which has answered twice: when it was opened, and once all were. */
async function openChannels(port: number, channels: number): Promise<RawClient> {
  const client = await RawClient.open(port);
  for (let number = 1; number <= channels; number++) client.method(number, 'channel.open', {});
  for (let number = 1; number <= channels; number++) await client.expect('channel.open-ok', number);
  for (let number = 1; number <= channels; number++) client.method(number, 'confirm.select', { noWait: false });
  for (let number = 1; number <= channels; number++) await client.expect('confirm.select-ok', number);
  return client;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

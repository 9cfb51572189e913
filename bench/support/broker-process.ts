/** A real broker as a child process: start, look at it, stop or kill it. For benchmarks and crash tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { built } from './built.ts';

const MAIN = built('src/cli/main.js');

export interface BrokerProcessOptions {
  readonly dataDir: string;
  /** 0 picks a free port. */
  readonly port?: number;
  readonly kafkaPort?: number | 'off';
  readonly amqpPort?: number | 'off';
  /** Further flags of `burrow start`. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class BrokerProcess {
  readonly child: ChildProcess;
  readonly nativeUrl: string;
  readonly kafkaAddress: string | undefined;
  readonly amqpAddress: string | undefined;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #errorOutput: string[];
  static readonly #starting = new Set<ChildProcess>();

  private constructor(
    child: ChildProcess,
    ports: { native: number; kafka?: number; amqp?: number },
    errorOutput: string[],
  ) {
    this.child = child;
    this.nativeUrl = `ws://127.0.0.1:${ports.native}`;
    this.kafkaAddress = ports.kafka === undefined ? undefined : `127.0.0.1:${ports.kafka}`;
    this.amqpAddress = ports.amqp === undefined ? undefined : `127.0.0.1:${ports.amqp}`;
    this.#errorOutput = errorOutput;
    this.exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  }

  /** Resolves when the broker says that it is ready; rejects with what it printed if it ends before. */
  static async start(options: BrokerProcessOptions): Promise<BrokerProcess> {
    const { dataDir, port = 0, kafkaPort = 'off', amqpPort = 'off', flags = [], env = {} } = options;
    const child = spawn(
      process.execPath,
      [
        MAIN,
        'start',
        '--json',
        '--data-dir',
        dataDir,
        '--port',
        String(port),
        '--kafka-port',
        String(kafkaPort),
        '--amqp-port',
        String(amqpPort),
        ...flags,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
    );
    BrokerProcess.#starting.add(child);
    child.once('exit', () => BrokerProcess.#starting.delete(child));
    const errorOutput: string[] = [];
    child.stderr.on('data', (chunk: Buffer) => {
      errorOutput.push(chunk.toString());
      if (errorOutput.length > 200) errorOutput.shift();
    });
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) {
      const message = JSON.parse(line) as {
        ready?: boolean;
        ports?: { native: number; kafka?: number; amqp?: number };
      };
      if (message.ready && message.ports !== undefined) {
        BrokerProcess.#starting.delete(child);
        child.stdout.resume();
        return new BrokerProcess(child, message.ports, errorOutput);
      }
    }
    throw new Error(`the broker did not start:\n${errorOutput.join('')}`);
  }

  /** Kills those that have not said yet that they are ready. */
  static killAllStarting(): void {
    for (const child of BrokerProcess.#starting) child.kill('SIGKILL');
  }

  get errorOutput(): string {
    return this.#errorOutput.join('');
  }

  /** Resident memory now and at its highest, in bytes; undefined where /proc does not tell. */
  memory(): { residentBytes: number; peakBytes: number } | undefined {
    try {
      const status = fs.readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
      const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
      return { residentBytes: kilobytes('VmRSS') * 1024, peakBytes: kilobytes('VmHWM') * 1024 };
    } catch {
      return undefined;
    }
  }

  /** CPU seconds used so far, user and system together; undefined where /proc does not tell. */
  cpuSeconds(): number | undefined {
    try {
      const fields = fs.readFileSync(`/proc/${this.child.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
      return (Number(fields[11]) + Number(fields[12])) / 100;
    } catch {
      return undefined;
    }
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
    await this.exited;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

/**
 * The built `burrow` command as a child process. `npm test` builds before it runs the tests; who calls vitest by hand
 * runs `node src/cli/bootstrap.mjs node --version` (or any npm script) after a change.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const READY_TIMEOUT_MS = 20_000;

/** The environment without what would configure the command behind a test's back. */
function cleanEnvironment(extra: Record<string, string> = {}): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('BURROW_'));
  return { ...Object.fromEntries(inherited), NO_COLOR: '1', ...extra };
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
}

export class BurrowProcess {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  #stdout: Buffer[] = [];
  #stderr: Buffer[] = [];

  constructor(words: readonly string[], options: RunOptions) {
    if (!fs.existsSync(MAIN)) throw new Error(`${MAIN} is missing: run npm test, which builds first`);
    this.child = spawn(process.execPath, [MAIN, ...words], {
      env: cleanEnvironment(options.env),
      cwd: options.cwd,
      stdio: 'pipe',
    });
    this.child.stdout?.on('data', (chunk: Buffer) => this.#stdout.push(chunk));
    this.child.stderr?.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    // A command that does not read its input closes it; that is no failure of the test.
    this.child.stdin?.on('error', () => {});
    this.finished = once(this.child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout: Buffer.concat(this.#stdout),
      stderr: this.stderr,
    }));
    onTestFinished(async () => {
      this.child.kill('SIGKILL');
      await this.finished;
    });
  }

  get stdout(): string {
    return Buffer.concat(this.#stdout).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** Resolves once standard output has a line that matches; rejects with all output if the process ends first. */
  async printed(pattern: RegExp): Promise<string> {
    const deadline = AbortSignal.timeout(READY_TIMEOUT_MS);
    for (;;) {
      const line = this.stdout.split('\n').find((each) => pattern.test(each));
      if (line !== undefined) return line;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`burrow ended before it printed ${pattern}: ${this.stdout}${this.stderr}`);
      }
      await Promise.race([
        once(this.child.stdout!, 'data', { signal: deadline }),
        once(this.child, 'close', { signal: deadline }),
      ]);
    }
  }
}

/** Starts a command and leaves it running; it is killed when the test ends. */
export function startCommand(words: readonly string[], options: RunOptions = {}): BurrowProcess {
  return new BurrowProcess(words, options);
}

/** Runs a command to its end. */
export async function runCommand(words: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const running = new BurrowProcess(words, options);
  running.child.stdin?.end(options.input ?? '');
  return running.finished;
}

export interface RunningBroker {
  readonly process: BurrowProcess;
  readonly ports: { readonly native: number; readonly kafka: number; readonly amqp: number };
  /** For --server. */
  readonly url: string;
  readonly dataDir: string;
}

/** A broker process on free ports and, unless one is given, a folder of its own. */
export async function startBrokerProcess(
  words: readonly string[] = [],
  dataDir = temporaryFolder(),
): Promise<RunningBroker> {
  const ports = ['--port', '0', '--kafka-port', '0', '--amqp-port', '0', '--disk-free-bytes-min', '0'];
  const running = startCommand(['start', '--json', '--data-dir', dataDir, ...ports, ...words]);
  const ready = JSON.parse(await running.printed(/"ready":true/)) as { ports: RunningBroker['ports'] };
  return { process: running, ports: ready.ports, url: `ws://127.0.0.1:${ready.ports.native}`, dataDir };
}

/** Removed when the test ends. */
export function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-test-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

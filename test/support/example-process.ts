/** An example as a user runs it: the built program behind `npm run example`, as a child process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from './cli.ts';
import type { CrashPoint } from './crash-at-commit.ts';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

export interface ExampleOptions {
  readonly crashPoints?: readonly CrashPoint[];
  /** Switches off what keeps a message from being handled twice. */
  readonly forgetsInbox?: boolean;
}

export interface FinishedExample {
  readonly code: number | null;
  readonly output: string;
  /** Of the crash points, those that have struck. */
  readonly struck: readonly CrashPoint[];
}

export class ExampleProcess {
  readonly child: ChildProcess;
  readonly finished: Promise<FinishedExample>;
  #output = '';

  /** It is killed when the test ends; then its own processes end by themselves. */
  constructor(words: readonly string[], { crashPoints = [], forgetsInbox = false }: ExampleOptions = {}) {
    const folder = temporaryFolder();
    const preloads = [
      ...(crashPoints.length > 0 ? ['crash-at-commit'] : []),
      ...(forgetsInbox ? ['forgetful-inbox'] : []),
    ];
    const imports = preloads.map((name) => `--import=${pathToFileURL(`${DIST}test/support/${name}.js`).href}`);
    this.child = spawn(process.execPath, [`${DIST}examples/run.js`, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        NODE_OPTIONS: imports.join(' '),
        CRASH_PLAN: JSON.stringify(crashPoints),
        CRASH_FOLDER: folder,
      },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString();
      });
    }
    this.finished = once(this.child, 'close').then(([code]) => ({
      code: code as number | null,
      output: this.#output,
      struck: crashPoints.filter((_, index) => fs.existsSync(`${folder}/${index}`)),
    }));
    onTestFinished(async () => {
      this.child.kill('SIGKILL');
      await this.finished;
    });
  }

  get output(): string {
    return this.#output;
  }

  /** Resolves with the first match in the output. */
  async printed(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = this.#output.match(pattern);
      if (match !== null) return match;
      if (this.child.exitCode !== null)
        throw new Error(`the example ended before it printed ${pattern}: ${this.#output}`);
      await Promise.race([once(this.child.stdout!, 'data'), once(this.child, 'close')]);
    }
  }
}

export function runExample(words: readonly string[], options: ExampleOptions = {}): Promise<FinishedExample> {
  return new ExampleProcess(words, options).finished;
}

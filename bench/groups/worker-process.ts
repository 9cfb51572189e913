/** A worker of the groups benchmark, as its parent sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { GroupCommand, GroupReport, GroupTask } from './worker.ts';

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));

export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #reports: GroupReport[] = [];
  #wake: (() => void) | undefined;

  constructor(task: GroupTask) {
    this.#child = fork(WORKER, [JSON.stringify(task)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#exited = once(this.#child, 'exit');
    this.#child.on('message', (report) => {
      this.#reports.push(report as GroupReport);
      this.#wake?.();
    });
    this.#child.on('exit', () => this.#wake?.());
  }

  send(command: GroupCommand): void {
    this.#child.send(command);
  }

  /** The next report, which must be of this kind. Rejects if the worker ends before. */
  async report<K extends GroupReport['kind']>(kind: K): Promise<GroupReport & { kind: K }> {
    while (this.#reports.length === 0) {
      if (this.#child.exitCode !== null) throw new Error(`a worker ended before it was ${kind}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const report = this.#reports.shift()!;
    if (report.kind !== kind) throw new Error(`a worker said ${report.kind} instead of ${kind}`);
    return report as GroupReport & { kind: K };
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

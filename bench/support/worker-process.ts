/** A client process of a benchmark, as its parent sees it. Clients are processes of their own, as in life. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** `Command`: what it is sent; `Report`: what it sends, told apart by `kind`. */
export class WorkerProcess<Command extends string, Report extends { readonly kind: string }> {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #reports: Report[] = [];
  #wake: (() => void) | undefined;

  /** @param task - given to the script as JSON in argv */
  constructor(script: string, task: object) {
    this.#child = fork(script, [JSON.stringify(task)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#exited = once(this.#child, 'exit');
    this.#child.on('message', (report) => {
      this.#reports.push(report as Report);
      this.#wake?.();
    });
    this.#child.on('exit', () => this.#wake?.());
  }

  send(command: Command): void {
    this.#child.send(command);
  }

  /** The next report, which must be of this kind. Rejects if the worker ends before. */
  async report<K extends Report['kind']>(kind: K): Promise<Extract<Report, { readonly kind: K }>> {
    while (this.#reports.length === 0) {
      if (this.#child.exitCode !== null) throw new Error(`a worker ended before it was ${kind}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const report = this.#reports.shift()!;
    if (report.kind !== kind) throw new Error(`a worker said ${report.kind} instead of ${kind}`);
    return report as Extract<Report, { readonly kind: K }>;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

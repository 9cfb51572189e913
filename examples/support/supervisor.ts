/**
 * Starts the broker and the services of an example as processes, starts again what dies, and kills what it is told to. In production
 * systemd, Kubernetes or pm2 do this.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

interface Part {
  readonly name: string;
  readonly program: string;
  readonly words: readonly string[];
  child: ChildProcess;
  /** Resolves when it has said something: from then on it can be asked to stop. */
  ready: Promise<unknown>;
  startedMs: number;
  /** Deaths in a row soon after the start. */
  failedStarts: number;
  isStopping: boolean;
}

const FAILED_STARTS_MAX = 5;
const SOON_MS = 2000;
const STOP_TIMEOUT_MS = 30_000;

export class Supervisor {
  readonly folder: string;
  /** Rejects when a part cannot be kept running. */
  readonly failed: Promise<never>;
  readonly #tell: (line: string) => void;
  readonly #parts = new Map<string, Part>();
  #fail!: (error: Error) => void;
  #url: string | undefined;
  #isClosing = false;

  /** `tell` is given one line for each start and each death. */
  constructor(folder: string, tell: (line: string) => void) {
    this.folder = folder;
    this.#tell = tell;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
  }

  /** Of the broker. */
  get url(): string {
    if (this.#url === undefined) throw new Error('there is no broker yet');
    return this.#url;
  }

  get hasBroker(): boolean {
    return this.#parts.has('broker');
  }

  /** Uses the broker at `url`, or starts one. */
  async openBroker(url: string | undefined): Promise<void> {
    if (url !== undefined) {
      this.#url = url;
      return;
    }
    const program = new URL('./broker.js', import.meta.url);
    const words = ['--folder', path.join(this.folder, 'broker')];
    const { ready } = this.#start('broker', fileURLToPath(program), words);
    const [message] = (await Promise.race([ready, this.failed])) as [{ port: number } | number | null];
    if (typeof message !== 'object' || message === null) throw new Error('the broker did not start');
    const { port } = message;
    this.#url = `ws://127.0.0.1:${port}`;
    // It must come back where its clients look for it.
    this.#parts.set('broker', { ...this.#parts.get('broker')!, words: [...words, '--port', String(port)] });
  }

  /** Runs a service's program (as it was built, `.js`), which is told where the broker is and where its data goes. */
  startService(name: string, program: URL, folder = this.folder): void {
    this.#start(name, fileURLToPath(program), ['--url', this.url, '--folder', folder]);
  }

  /** kill -9. It is started again at once. */
  async kill(name: string): Promise<void> {
    const { child } = this.#part(name);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  /** Asks parts to finish what they do; resolves when they have. One that dies over it is started and asked again. */
  async stop(...names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#stop(name)));
  }

  /** Ends everything that is left, services at once. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const { name, child } of this.#parts.values()) if (name !== 'broker') child.kill('SIGKILL');
    await this.stop('broker');
  }

  #part(name: string): Part {
    const part = this.#parts.get(name);
    if (part === undefined) throw new Error(`there is no part called ${name}`);
    return part;
  }

  #start(name: string, program: string, words: readonly string[], failedStarts = 0): Part {
    const child = spawn(process.execPath, [program, ...words], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const ready = Promise.race([once(child, 'message'), once(child, 'exit')]);
    const part = { name, program, words, child, ready, startedMs: performance.now(), failedStarts, isStopping: false };
    this.#parts.set(name, part);
    this.#tell(`${name} runs (process ${child.pid})`);
    child.on('error', (error) => this.#fail(error));
    child.once('exit', (code, signal) => this.#onExit(name, code, signal));
    return part;
  }

  #onExit(name: string, code: number | null, signal: string | null): void {
    const { program, words, startedMs, failedStarts, isStopping } = this.#part(name);
    if (isStopping || this.#isClosing) {
      this.#parts.delete(name);
      return;
    }
    const how = signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
    const isEarly = signal !== 'SIGKILL' && performance.now() - startedMs < SOON_MS;
    if (isEarly && failedStarts + 1 >= FAILED_STARTS_MAX) {
      this.#fail(new Error(`${name} ${how}, ${FAILED_STARTS_MAX} times in a row`));
      return;
    }
    this.#tell(`${name} ${how}`);
    this.#start(name, program, words, isEarly ? failedStarts + 1 : 0);
  }

  async #stop(name: string): Promise<void> {
    const part = this.#parts.get(name);
    if (part === undefined) return;
    const { child, ready } = part;
    await ready;
    if (this.#parts.get(name) !== part) return this.#stop(name);
    part.isStopping = true;
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number | null];
    clearTimeout(timer);
    if (code === 0 || this.#isClosing) return;
    this.#tell(`${name} died before it was done`);
    this.#start(name, part.program, part.words);
    await this.#stop(name);
  }
}

/** Finds the coordinator of a group, remembers it while it answers, and repeats what may pass. */
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { backoffDelayMs } from '../backoff.ts';
import { sleep } from '../clock.ts';
import type { GroupHost } from './group-host.ts';

/** After these it is to be looked for anew. */
const COORDINATOR_GONE: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'NOT_COORDINATOR',
  'COORDINATOR_NOT_AVAILABLE',
  'CONNECTION_LOST',
  'CONNECTION_FAILED',
  'REQUEST_TIMED_OUT',
  'SHUTTING_DOWN',
]);

export class CoordinatorLink {
  readonly #host: Pick<GroupHost, 'clock' | 'backoff' | 'findCoordinator'>;
  readonly #groupId: string;
  #found: Promise<number> | undefined;

  constructor(host: Pick<GroupHost, 'clock' | 'backoff' | 'findCoordinator'>, groupId: string) {
    this.#host = host;
    this.#groupId = groupId;
  }

  find(): Promise<number> {
    if (this.#found === undefined) {
      const finding = this.#host.findCoordinator(this.#groupId);
      this.#found = finding;
      finding.catch(() => {
        if (this.#found === finding) this.#found = undefined;
      });
    }
    return this.#found;
  }

  onFailed(error: BurrowError): void {
    if (COORDINATOR_GONE.has(error.code)) this.#found = undefined;
  }

  /** Repeats `attempt` at the coordinator while it fails with what may pass, until `timeoutMs` is over. */
  async retrying<T>(
    timeoutMs: number,
    attempt: (nodeId: number) => Promise<T>,
    mayRepeat: (error: BurrowError) => boolean = (error) => error.retriable,
  ): Promise<T> {
    const { clock, backoff } = this.#host;
    const giveUpAtMs = clock.monotonic() + timeoutMs;
    for (let failures = 0; ; failures += 1) {
      try {
        return await attempt(await this.find());
      } catch (thrown) {
        const error = toBurrowError(thrown);
        this.onFailed(error);
        const delayMs = backoffDelayMs(backoff, failures, clock.random());
        if (!mayRepeat(error) || clock.monotonic() + delayMs >= giveUpAtMs) throw error;
        await sleep(clock, delayMs);
      }
    }
  }
}

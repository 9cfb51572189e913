/**
 * Heartbeats of one member in one generation: sends them in their interval, sooner again after a failure that may pass, and
 * tells what the coordinator said. A member that heard nothing for its session timeout takes itself for out: others may
 * have its partitions by then.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { type Backoff, backoffDelayMs } from '../backoff.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';

export interface HeartbeatOptions {
  readonly clock: ClientClock;
  readonly backoff: Backoff;
  readonly intervalMs: number;
  readonly sessionTimeoutMs: number;
  send(): Promise<void>;
  /** A failure that repeating does not mend, or the end of the session: ILLEGAL_GENERATION. */
  onRefused(error: BurrowError): void;
  /** A failure that may pass; the next attempt follows. */
  onFailure(error: BurrowError): void;
}

export class Heartbeats {
  readonly #options: HeartbeatOptions;
  #timer: ClientTimer | undefined;
  #sessionTimer: ClientTimer | undefined;
  #failures = 0;
  #stopped: boolean = false;

  /** Begins at once: whoever makes it has just heard of the coordinator. */
  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#onHeard(options.clock.monotonic());
    this.#schedule(options.intervalMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#sessionTimer?.cancel();
  }

  #schedule(delayMs: number): void {
    this.#timer = this.#options.clock.schedule(delayMs, () => void this.#send());
  }

  #onHeard(sentMs: number): void {
    const { clock, sessionTimeoutMs, onRefused } = this.#options;
    this.#sessionTimer?.cancel();
    this.#sessionTimer = clock.schedule(sentMs + sessionTimeoutMs - clock.monotonic(), () => {
      this.stop();
      onRefused(new BurrowError('ILLEGAL_GENERATION', `The coordinator was not reached for ${sessionTimeoutMs} ms.`));
    });
  }

  async #send(): Promise<void> {
    const { clock, backoff, intervalMs, send, onRefused, onFailure } = this.#options;
    const sentMs = clock.monotonic();
    try {
      await send();
      if (this.#stopped) return;
      this.#failures = 0;
      this.#onHeard(sentMs);
      this.#schedule(intervalMs);
    } catch (thrown) {
      if (this.#stopped) return;
      const error = toBurrowError(thrown);
      // The coordinator knows the member, and has counted this as a sign of life.
      if (error.code === 'REBALANCE_IN_PROGRESS') {
        this.#onHeard(sentMs);
        this.#schedule(intervalMs);
        onRefused(error);
      } else if (error.retriable) {
        const delayMs = backoffDelayMs(backoff, this.#failures, clock.random());
        this.#failures += 1;
        onFailure(error);
        this.#schedule(Math.min(intervalMs, delayMs));
      } else {
        this.stop();
        onRefused(error);
      }
    }
  }
}

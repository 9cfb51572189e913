/**
 * How calls on the in-memory disk are numbered, delayed, made to fail and cut off by a crash.
 * Knows nothing of files: what a call does is a function it is given.
 */
import { DiskFault, type DiskFaultRule, type DiskOperation, diskError, isChange } from './disk-faults.ts';
import type { Random } from './random.ts';
import { randomChance } from './random-choices.ts';

export interface DiskCallOptions {
  /**
   * Called for each call with the function that makes it take effect and resolve. Default: in a microtask;
   * without durability tracking, at once.
   */
  readonly schedule?: (complete: () => void) => void;
  /** Before a numbered change takes effect. May halt the disk, and then it is in flight at the crash. */
  readonly beforeOperation?: (operation: DiskOperation, index: number) => void;
  /** After a numbered change took effect. May halt the disk, and then its caller never learns of it. */
  readonly onOperation?: (operation: DiskOperation, index: number) => void;
  /** What callers of a halted disk see: an error with code EHALTED (default), or silence as in a dead process. */
  readonly whenHalted?: 'reject' | 'hang';
}

/** What a call does. */
export interface DiskEffects<T> {
  /** The whole of it. */
  readonly all: () => T;
  /** What a kill in the middle may leave. Default: all of it. */
  readonly some?: (random: Random) => void;
  /** What an injected error leaves. Default: as `some` if given, else nothing. */
  readonly failed?: () => void;
}

export class DiskCalls {
  readonly #options: DiskCallOptions;
  /** Calls take effect before they return: nothing to delay, nothing in flight. */
  readonly #immediate: boolean;
  readonly #random: Random;
  /** Calls that were made and have not taken effect, in order. */
  readonly #inFlight = new Set<DiskEffects<unknown>>();
  #faults: DiskFault[] = [];
  #operations = 0;
  #halted: boolean = false;

  constructor(options: DiskCallOptions, track: boolean, random: Random) {
    this.#options = options;
    this.#immediate = !track && options.schedule === undefined;
    this.#random = random;
  }

  get operations(): number {
    return this.#operations;
  }

  get halted(): boolean {
    return this.#halted;
  }

  halt(): void {
    this.#halted = true;
  }

  inject(rule: DiskFaultRule): DiskFault {
    const fault = new DiskFault(rule);
    this.#faults.push(fault);
    return fault;
  }

  clearFaults(): void {
    this.#faults = [];
  }

  call<T>(operation: DiskOperation, effects: DiskEffects<T>): Promise<T> {
    if (this.#halted) return this.#haltedAnswer(operation);
    if (this.#immediate) {
      try {
        return Promise.resolve(this.#perform(operation, effects));
      } catch (error) {
        return Promise.reject(error);
      }
    }
    const { schedule } = this.#options;
    return new Promise((resolve, reject) => {
      this.#inFlight.add(effects);
      const complete = (): void => {
        let settle: () => void;
        try {
          const result = this.#perform(operation, effects);
          settle = () => resolve(result);
        } catch (error) {
          settle = () => reject(error);
        }
        if (this.#halted) this.#haltedAnswer(operation).catch(reject);
        else settle();
      };
      if (schedule === undefined) queueMicrotask(complete);
      else schedule(complete);
    });
  }

  /** Halts for good. Each call in flight takes effect, or some of it does, or nothing. */
  stop(random: Random): void {
    this.#halted = true;
    for (const { all, some } of this.#inFlight) {
      if (randomChance(random, 0.4)) continue;
      try {
        if (some === undefined) all();
        else some(random);
      } catch {
        // It would have failed, and what it changed before that is changed.
      }
    }
    this.#inFlight.clear();
  }

  #perform<T>(operation: DiskOperation, effects: DiskEffects<T>): T {
    if (this.#halted) throw diskError('EHALTED', operation);
    const index = isChange(operation) ? this.#operations++ : -1;
    if (index >= 0) this.#options.beforeOperation?.(operation, index);
    if (this.halted) throw diskError('EHALTED', operation);
    this.#inFlight.delete(effects);
    for (const fault of this.#faults) {
      const code = fault.strike(operation, this.#random);
      if (code === undefined) continue;
      if (effects.failed !== undefined) effects.failed();
      else effects.some?.(this.#random);
      throw diskError(code, operation);
    }
    const result = effects.all();
    if (index >= 0) this.#options.onOperation?.(operation, index);
    return result;
  }

  #haltedAnswer(operation: DiskOperation): Promise<never> {
    if (this.#options.whenHalted === 'hang') return new Promise(() => {});
    return Promise.reject(diskError('EHALTED', operation));
  }
}

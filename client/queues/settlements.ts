/** Deliveries that were settled and not told to the broker yet, as few ranges as possible. Per message: no objects. */
import type { RequestOf } from '../../src/protocol/messages.ts';

export type Outcome = typeof ACKNOWLEDGE | typeof REQUEUE | typeof REJECT;
export const ACKNOWLEDGE = 0;
export const REQUEUE = 1;
export const REJECT = 2;

type SettledRange = RequestOf<'settle'>['settlements'][number];

export class Settlements {
  // The run that grows: mostly messages are settled in the order of their tags, all in one way.
  #start = 0;
  #end = 0;
  #outcome: Outcome = ACKNOWLEDGE;
  /** Runs that ended. */
  #ranges: SettledRange[] = [];

  get isEmpty(): boolean {
    return this.#start === this.#end;
  }

  add(deliveryTag: number, outcome: Outcome): void {
    if (deliveryTag === this.#end && outcome === this.#outcome && !this.isEmpty) {
      this.#end++;
      return;
    }
    this.#endRun();
    this.#start = deliveryTag;
    this.#end = deliveryTag + 1;
    this.#outcome = outcome;
  }

  /** All of them, ascending; nothing is left. */
  take(): SettledRange[] {
    this.#endRun();
    const ranges = this.#ranges;
    this.#ranges = [];
    this.#start = 0;
    this.#end = 0;
    if (ranges.length < 2) return ranges;
    // Handlers that run at the same time end in any order.
    ranges.sort((a, b) => a.start - b.start);
    const merged: Array<{ start: number; end: number; outcome: number }> = [];
    for (const range of ranges) {
      const last = merged.at(-1);
      if (last?.end === range.start && last.outcome === range.outcome) last.end = range.end;
      else merged.push({ ...range });
    }
    return merged;
  }

  #endRun(): void {
    if (!this.isEmpty) this.#ranges.push({ start: this.#start, end: this.#end, outcome: this.#outcome });
  }
}

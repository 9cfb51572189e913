/**
 * How much a broker may still push, and when to let it push more. Pure.
 *
 *     given = remaining (the broker has it) + unfinished (pushed, in work) + pending (finished, not given back yet)
 *
 * Given back is in portions, so that it costs little: once what is pending is at least what remains, and enough for the broker to
 * send something. So nothing is held back for long while most of the credit is stuck in work.
 */
export interface Credit {
  readonly records: number;
  readonly bytes: number;
}

export class CreditState {
  /** At the broker; below 0 if its last batch was larger than what remained. */
  #remainingRecords: number;
  #remainingBytes: number;
  #pendingRecords = 0;
  #pendingBytes = 0;

  constructor(given: Credit) {
    this.#remainingRecords = given.records;
    this.#remainingBytes = given.bytes;
  }

  onReceived(records: number, bytes: number): void {
    this.#remainingRecords -= records;
    this.#remainingBytes -= bytes;
  }

  /** They are done with. Per record; true if something is to be given back. */
  onReleased(records: number, bytes: number): boolean {
    this.#pendingRecords += records;
    this.#pendingBytes += bytes;
    return (
      (this.#pendingRecords >= this.#remainingRecords || this.#pendingBytes >= this.#remainingBytes) &&
      this.#pendingRecords + this.#remainingRecords > 0 &&
      this.#pendingBytes + this.#remainingBytes > 0 &&
      this.#pendingRecords + this.#pendingBytes > 0
    );
  }

  /** What is given back now. */
  take(): Credit {
    const credit = { records: this.#pendingRecords, bytes: this.#pendingBytes };
    this.#remainingRecords += credit.records;
    this.#remainingBytes += credit.bytes;
    this.#pendingRecords = 0;
    this.#pendingBytes = 0;
    return credit;
  }
}

/**
 * How many sockets all listeners of a broker may hold together. When a process is out of file descriptors, libuv accepts and closes
 * connections without a word, and logs cannot open their files any more: a flood of clients would be a failure of storage. So
 * connections end before that, are refused aloud, and leave files their share.
 */

/** Of the files that a process may open; the rest is for logs. */
const SHARE = 3 / 4;

export class SocketBudget {
  readonly socketsMax: number;
  #taken = 0;

  constructor(socketsMax: number) {
    this.socketsMax = socketsMax;
  }

  /**
   * @param socketsMax - as the user wants it; 0: what the system allows
   * @param openFilesMax - see `open-files.ts`
   */
  static of(socketsMax: number, openFilesMax: number | undefined): SocketBudget {
    if (socketsMax > 0) return new SocketBudget(socketsMax);
    return new SocketBudget(
      openFilesMax === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(openFilesMax * SHARE)),
    );
  }

  /** False: there are as many as there may be. */
  tryTake(): boolean {
    if (this.#taken >= this.socketsMax) return false;
    this.#taken++;
    return true;
  }

  release(): void {
    this.#taken--;
  }
}

/** Whether a peer is still there: does it send, does it take what it is sent. Only watches; the connection acts. */
import type { Socket } from 'node:net';
import type { NativeLimits } from './native-limits.ts';

export type LivenessFinding =
  | 'alive'
  /** Time for a ping. Found once for each silence. */
  | 'quiet'
  /** Not a byte for too long. */
  | 'silent'
  /** Bytes, but no whole message for too long. */
  | 'slow'
  /** It takes nothing of what waits for it. */
  | 'stalled';

export class Liveness {
  readonly #socket: Socket;
  readonly #limits: NativeLimits;
  #pinged: boolean = false;
  /** When the last whole message, ping or pong arrived. */
  #heardMs: number;
  /** When bytes arrived last, and how many had arrived by then. */
  #receivedMs: number;
  #receivedBytes = 0;
  /** When the peer last took bytes, or had nothing to take, and how many it had taken by then. */
  #takenMs: number;
  #takenBytes = 0;

  constructor(socket: Socket, limits: NativeLimits, nowMs: number) {
    this.#socket = socket;
    this.#limits = limits;
    this.#heardMs = nowMs;
    this.#receivedMs = nowMs;
    this.#takenMs = nowMs;
  }

  /** A whole message, ping or pong arrived, or the socket is read again after a pause. */
  onHeard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#pinged = false;
  }

  /** To be called regularly. */
  check(nowMs: number, { isReading, owesNothing }: { isReading: boolean; owesNothing: boolean }): LivenessFinding {
    const { idleTimeoutMs, requestArrivalTimeoutMs, writeStallTimeoutMs } = this.#limits;
    const takenBytes = bytesTaken(this.#socket);
    if (takenBytes !== this.#takenBytes || owesNothing) {
      this.#takenBytes = takenBytes;
      this.#takenMs = nowMs;
    }
    if (nowMs - this.#takenMs >= writeStallTimeoutMs) return 'stalled';
    const { bytesRead } = this.#socket;
    // While its socket is not read, a peer cannot be heard.
    if (bytesRead !== this.#receivedBytes || !isReading) {
      this.#receivedBytes = bytesRead;
      this.#receivedMs = nowMs;
    }
    if (!isReading) return 'alive';
    const quietMs = nowMs - this.#heardMs;
    if (nowMs - this.#receivedMs >= idleTimeoutMs) return 'silent';
    if (quietMs >= requestArrivalTimeoutMs) return 'slow';
    if (quietMs < idleTimeoutMs / 2 || this.#pinged) return 'alive';
    this.#pinged = true;
    return 'quiet';
  }
}

/**
 * What the peer's side has taken. A write of megabytes counts as it goes, which only the handle knows; Node's own socket
 * timeouts look there, too.
 */
function bytesTaken(socket: Socket): number {
  const { _handle: handle } = socket as { _handle?: { bytesWritten?: number; writeQueueSize?: number } | null };
  if (handle?.bytesWritten !== undefined && handle.writeQueueSize !== undefined) {
    return handle.bytesWritten - handle.writeQueueSize;
  }
  return socket.bytesWritten - socket.writableLength;
}

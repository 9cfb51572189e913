/**
 * Sends frames to a socket: all that a turn of the event loop brought with one gathering write, without copying. Hands the
 * socket a bounded amount at a time, so that a slow reader shows: what it has not taken stays counted here.
 */
import type { Socket } from 'node:net';

/** Handed to the socket at a time. Small enough that a slow but living reader shows progress before the stall timeout. */
const WRITE_BYTES = 1024 * 1024;

export class Outgoing {
  readonly #socket: Socket;
  readonly #onProgress: () => void;
  #buffers: Buffer[] = [];
  /** First buffer that is not handed over. */
  #next = 0;
  #bytes = 0;
  #scheduled = false;
  #writing = false;

  /** `onProgress` is called each time the socket has taken what it was handed. */
  constructor(socket: Socket, onProgress: () => void) {
    this.#socket = socket;
    this.#onProgress = onProgress;
  }

  /** Bytes that the socket has not taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Sends what was pushed now, and not at the end of the turn: for who has gathered a turn's frames already. */
  pushNow(frame: readonly Buffer[]): void {
    this.#add(frame);
    if (!this.#writing) this.#write();
  }

  #add(frame: readonly Buffer[]): void {
    for (const buffer of frame) {
      this.#buffers.push(buffer);
      this.#bytes += buffer.length;
    }
  }

  push(frame: readonly Buffer[]): void {
    this.#add(frame);
    if (this.#scheduled || this.#writing) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#write();
    });
  }

  #write(): void {
    const socket = this.#socket;
    if (this.#next === this.#buffers.length || !socket.writable) return;
    this.#writing = true;
    let handed = 0;
    socket.cork();
    while (handed < WRITE_BYTES && this.#next < this.#buffers.length) {
      const buffer = this.#buffers[this.#next]!;
      const part = buffer.length > WRITE_BYTES ? buffer.subarray(0, WRITE_BYTES) : buffer;
      if (part === buffer) this.#next++;
      else this.#buffers[this.#next] = buffer.subarray(WRITE_BYTES);
      handed += part.length;
      const last = handed >= WRITE_BYTES || this.#next === this.#buffers.length;
      const bytes = handed;
      if (last) socket.write(part, (error) => this.#onWritten(bytes, error));
      else socket.write(part);
    }
    socket.uncork();
    if (this.#next === this.#buffers.length) {
      this.#buffers = [];
      this.#next = 0;
    }
  }

  #onWritten(bytes: number, error: Error | null | undefined): void {
    this.#writing = false;
    // A failed write closes the socket, which the connection sees.
    if (error) return;
    this.#bytes -= bytes;
    this.#write();
    this.#onProgress();
  }
}

/**
 * Messages on their way to one peer. They are written past `ws`, which takes none in parts: records go to the socket as
 * the log holds them, without a copy. `ws` itself writes only pings, pongs and the close frame, each in one go, so nothing
 * gets in between. All messages of one turn leave in one write. Per message.
 */
import type { Socket } from 'node:net';

export class Outgoing {
  readonly #socket: Socket;
  #corked: boolean = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** One binary message, which must not change any more. `onTaken` is called when it has left for the network, or cannot. */
  write(parts: readonly Uint8Array[], onTaken: () => void): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    this.#socket.write(binaryMessageHead(bytes));
    for (let i = 0; i < parts.length - 1; i++) this.#socket.write(parts[i]!);
    this.#socket.write(parts.at(-1)!, onTaken);
  }
}

/** The head of a WebSocket frame that is a whole binary message from a server: FIN, opcode 2, no mask (RFC 6455 section 5.2). */
export function binaryMessageHead(payloadBytes: number): Buffer {
  if (payloadBytes < 126) return Buffer.from([0x82, payloadBytes]);
  if (payloadBytes <= 0xffff) return Buffer.from([0x82, 126, payloadBytes >>> 8, payloadBytes & 0xff]);
  const head = Buffer.alloc(10);
  head[0] = 0x82;
  head[1] = 127;
  head.writeUIntBE(payloadBytes, 4, 6);
  return head;
}

/**
 * The client's door to the network. Node: `socket.ts` (the `ws` package). Browsers: `socket.browser.ts`
 * (the platform's WebSocket), which package.json's "browser" field puts in its place.
 */
export interface SocketHandlers {
  onOpen(): void;
  /** One whole message. The bytes belong to the receiver. */
  onMessage(bytes: Uint8Array): void;
  /** Called once, whether the socket was open or never opened. `reason` is a short text for people. */
  onClose(reason: string): void;
}

export interface SocketOptions {
  /** A larger message from the broker closes the socket. */
  frameBytesMax: number;
}

export interface Socket {
  /**
   * Hands the bytes to the socket. The caller must not change them afterwards: they may be written later.
   * `onWritten` is called when they have left this process's memory; not if the socket closes before.
   */
  send(bytes: Uint8Array, onWritten: (() => void) | undefined): void;
  /** Closes with a goodbye; without an answer within a second, as {@link Socket.destroy}. `onClose` follows. */
  close(): void;
  /** Closes without waiting for the peer. `onClose` follows. */
  destroy(): void;
}

export type OpenSocket = (url: string, options: SocketOptions, handlers: SocketHandlers) => Socket;

/** How long a peer may take to answer a goodbye, in milliseconds. */
export const GOODBYE_MS = 1000;

/** The client's socket where the platform brings WebSocket: browsers, workers. Node's is `socket.ts`. */
import { SUBPROTOCOL } from '../src/protocol/version.ts';
import { GOODBYE_MS, type OpenSocket } from './socket-types.ts';

/** What is used of the platform's WebSocket; the DOM's types are not loaded here. */
interface PlatformWebSocket {
  binaryType: string;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: (() => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(bytes: Uint8Array): void;
  close(): void;
}

const OPEN = 1;

export const openSocket: OpenSocket = (url, options, handlers) => {
  const Platform = (globalThis as unknown as { WebSocket: new (url: string, protocol: string) => PlatformWebSocket })
    .WebSocket;
  const socket = new Platform(url, SUBPROTOCOL);
  let closed = false;
  const finish = (reason: string) => {
    if (closed) return;
    closed = true;
    handlers.onClose(reason);
  };
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    if (!closed) handlers.onOpen();
  };
  socket.onmessage = (event) => {
    if (closed) return;
    if (!(event.data instanceof ArrayBuffer) || event.data.byteLength > options.frameBytesMax) {
      socket.close();
      finish('the server sent a message that is not binary or too large');
      return;
    }
    handlers.onMessage(new Uint8Array(event.data));
  };
  // Browsers hide why a connection failed; 'close' follows.
  socket.onerror = () => {};
  socket.onclose = (event) => finish(event.reason || `closed with code ${event.code}`);
  return {
    send(bytes, onWritten) {
      if (socket.readyState !== OPEN) return;
      socket.send(bytes);
      if (onWritten !== undefined) whenTaken(socket, onWritten);
    },
    close() {
      socket.close();
      setTimeout(() => finish('closed by the client'), GOODBYE_MS);
    },
    destroy() {
      socket.close();
      // The closing handshake of a dead peer can take a minute; nobody waits for it here.
      queueMicrotask(() => finish('closed by the client'));
    },
  };
};

/** Browsers do not tell when bytes have left; they only tell how many have not. */
const BUFFERED_LOW_BYTES = 256 * 1024;
const BUFFERED_CHECK_MS = 10;

function whenTaken(socket: PlatformWebSocket, onWritten: () => void): void {
  if (socket.readyState !== OPEN) return;
  if (socket.bufferedAmount <= BUFFERED_LOW_BYTES) queueMicrotask(onWritten);
  else setTimeout(() => whenTaken(socket, onWritten), BUFFERED_CHECK_MS);
}

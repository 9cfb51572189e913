/** The client's socket in Node, through the `ws` package. The browser's is `socket.browser.ts`. */
import { WebSocket } from 'ws';
import { SUBPROTOCOL } from '../src/protocol/version.ts';
import { GOODBYE_MS, type OpenSocket } from './socket-types.ts';

// A WebSocket client must mask (RFC 6455, 5.3). With a mask of zeros `ws` skips the work on both ends; masking protects
// browsers behind careless proxies, which Node processes are not.
function zeroMask(mask: Buffer): void {
  mask.fill(0);
}

export const openSocket: OpenSocket = (url, options, handlers) => {
  let closed = false;
  let failure: string | undefined;
  const socket = new WebSocket(url, SUBPROTOCOL, {
    perMessageDeflate: false,
    generateMask: zeroMask,
    maxPayload: options.frameBytesMax,
    // The connection's own deadline covers connect and handshake together.
    followRedirects: false,
  });
  socket.binaryType = 'nodebuffer';
  socket.on('open', () => {
    if (!closed) handlers.onOpen();
  });
  socket.on('message', (data: Buffer) => {
    if (!closed) handlers.onMessage(data);
  });
  socket.on('unexpected-response', (_request, response) => {
    failure = `the server answered HTTP ${response.statusCode} instead of a WebSocket upgrade`;
    response.destroy();
    socket.terminate();
  });
  socket.on('error', (error) => {
    failure ??= error.message || (('code' in error && String(error.code)) as string) || 'socket error';
  });
  socket.on('close', (code, reason) => {
    if (closed) return;
    closed = true;
    const text = reason.length > 0 ? reason.toString('utf8') : `closed with code ${code}`;
    handlers.onClose(failure ?? text);
  });
  return {
    send(bytes, onWritten) {
      // An error of the write surfaces as 'close'; without a callback `ws` would throw while not open.
      socket.send(bytes, (error) => {
        if (!error) onWritten?.();
      });
    },
    close() {
      socket.close(1000);
      const timer = setTimeout(() => socket.terminate(), GOODBYE_MS);
      socket.on('close', () => clearTimeout(timer));
    },
    destroy() {
      socket.terminate();
    },
  };
};

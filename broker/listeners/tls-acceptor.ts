/**
 * TLS on sockets that a listener has accepted and counted: makes a secure socket of each, or destroys it. So handshakes count as
 * connections from their first byte on, and end in time.
 */
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { TlsCertificates } from './tls-certificates.ts';

export interface TlsSettings {
  readonly certificates: TlsCertificates;
  /** `none`: not asked for a certificate; `optional`: asked; `required`: refused without one that an authority has signed. */
  readonly clientCertificates: 'none' | 'optional' | 'required';
}

export interface TlsAcceptorOptions extends TlsSettings {
  /** From the connection to the end of the handshake. */
  readonly handshakeTimeoutMs: number;
  readonly onSecure: (socket: TLSSocket) => void;
  /** A handshake failed; the socket is gone. */
  readonly onFailed: (error: Error) => void;
}

interface Handshake {
  readonly socket: Socket;
  readonly sinceMs: number;
}

export class TlsAcceptor {
  readonly #options: TlsAcceptorOptions;
  readonly #server: Server;
  /** By address and port of the peer, which is what both sockets of a connection have in common. */
  readonly #handshakes = new Map<string, Handshake>();

  constructor(options: TlsAcceptorOptions) {
    this.#options = options;
    const { certificates, clientCertificates, onSecure, onFailed } = options;
    this.#server = createServer({
      ...certificates.context,
      requestCert: clientCertificates !== 'none',
      rejectUnauthorized: clientCertificates === 'required',
      // Node would use a timer for each; the listener has one for all.
      handshakeTimeout: 0x7fff_ffff,
    });
    this.#server.on('secureConnection', (socket) => {
      // Gone before the handshake was seen to end, or given up.
      if (this.#handshakes.delete(peerOf(socket))) onSecure(socket);
      else socket.destroy();
    });
    this.#server.on('tlsClientError', (error) => onFailed(error));
    certificates.addUser(this.#server);
  }

  accept(socket: Socket, nowMs: number): void {
    const peer = peerOf(socket);
    this.#handshakes.set(peer, { socket, sinceMs: nowMs });
    socket.once('close', () => {
      if (this.#handshakes.get(peer)?.socket === socket) this.#handshakes.delete(peer);
    });
    this.#server.emit('connection', socket);
  }

  /** Ends handshakes that take too long. */
  checkDeadlines(nowMs: number): void {
    for (const { socket, sinceMs } of this.#handshakes.values()) {
      if (nowMs - sinceMs > this.#options.handshakeTimeoutMs) socket.destroy();
    }
  }

  /** Ends all handshakes. Sockets that are secure are not its business any more. */
  close(): void {
    this.#options.certificates.removeUser(this.#server);
    for (const { socket } of this.#handshakes.values()) socket.destroy();
    this.#handshakes.clear();
  }
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

/** Whom a client's certificate names. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Which part of the certificate is the user's name (RabbitMQ: ssl_cert_login_from). */
export type LoginFrom = 'common-name' | 'distinguished-name';

/** Undefined unless the client has shown a certificate that one of our authorities has signed, and it has such a name. */
export function certificateName(socket: Socket, from: LoginFrom): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  if (from === 'distinguished-name') {
    // Node has the most general part first, each on a line of its own and escaped; RFC 4514 has it last.
    const subject = socket.getPeerX509Certificate()?.subject;
    return subject === undefined || subject === '' ? undefined : subject.split('\n').reverse().join(',');
  }
  // An array where there are several: which one is meant nobody can say.
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

/** Logins: what the SASL mechanisms of AMQP clients send, and who says whether that is right. */
import { decodeFieldTable } from '../../../src/messages/field-table.ts';
import type { Identity } from '../../security/access-control.ts';

export const MECHANISMS = 'PLAIN AMQPLAIN';
/** For clients that have shown a certificate. */
export const MECHANISMS_WITH_CERTIFICATE = `EXTERNAL ${MECHANISMS}`;

/** What a client presents. */
export type Credentials =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  /** The name that its TLS certificate proves. */
  | { readonly kind: 'certificate'; readonly user: string };

/** Undefined: the login is refused. At once or later. */
type Login = Identity | undefined | Promise<Identity | undefined>;

export interface Authenticator {
  withPassword(user: string, password: string, isLoopback: boolean): Login;
  withCertificate(user: string): Login;
}

/**
 * The credentials in the response of start-ok; undefined if the mechanism is not one of those that were offered or the response makes no sense.
 *
 * @param certificateName - what the client's certificate proves, if it has shown one
 */
export function parseCredentials(
  mechanism: string,
  response: Buffer,
  certificateName: string | undefined,
): Credentials | undefined {
  switch (mechanism) {
    case 'PLAIN':
      return parsePlain(response);
    case 'AMQPLAIN':
      return parseAmqPlain(response);
    case 'EXTERNAL':
      // Whom it asks to be (RFC 4422, appendix A) is not looked at, as in RabbitMQ: it is whom the certificate names.
      return certificateName === undefined ? undefined : { kind: 'certificate', user: certificateName };
    default:
      return undefined;
  }
}

/** RFC 4616: authorization identity · NUL · user · NUL · password. Nobody acts as somebody else, as in RabbitMQ. */
function parsePlain(response: Buffer): Credentials | undefined {
  const [identity, user, password, ...rest] = response.toString('utf8').split('\0');
  if (identity !== '' || user === undefined || password === undefined || rest.length > 0) return undefined;
  return { kind: 'password', user, password };
}

/** A field table without its length, with LOGIN and PASSWORD. */
function parseAmqPlain(response: Buffer): Credentials | undefined {
  try {
    const table = decodeFieldTable(response, 0, response.length);
    const user = table.get('LOGIN');
    const password = table.get('PASSWORD');
    return typeof user === 'string' && typeof password === 'string' ? { kind: 'password', user, password } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Logins: what the SASL mechanisms of AMQP clients send, and who is let in. Passwords of this version: only RabbitMQ's default user
 * `guest`, and only from this machine, as RabbitMQ has it (loopback_users).
 */
import { timingSafeEqual } from 'node:crypto';
import { decodeFieldTable } from '../../../src/messages/field-table.ts';

export const MECHANISMS = ['PLAIN', 'AMQPLAIN'] as const;

/** What a client presents. */
export type Credentials =
  | { readonly mechanism: 'password'; readonly user: string; readonly password: string }
  /** The identity that the transport has proved, such as that of a TLS certificate. */
  | { readonly mechanism: 'EXTERNAL'; readonly response: Buffer };

export interface Authenticator {
  /** Mechanisms besides PLAIN and AMQPLAIN that are offered. */
  readonly external: boolean;
  /** The user's name, or undefined if the login is refused. At once or later. */
  authenticate(credentials: Credentials, isLoopback: boolean): string | undefined | Promise<string | undefined>;
}

/** RabbitMQ's default user and nobody else. */
export const guestAuthenticator: Authenticator = {
  external: false,
  authenticate(credentials, isLoopback) {
    if (credentials.mechanism !== 'password' || !isLoopback) return undefined;
    const { user, password } = credentials;
    return user === 'guest' && isEqual(password, 'guest') ? user : undefined;
  },
};

function isEqual(given: string, expected: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}

/** The credentials in the response of start-ok; undefined if the mechanism is not one of ours or the response makes no sense. */
export function parseCredentials(mechanism: string, response: Buffer): Credentials | undefined {
  switch (mechanism) {
    case 'PLAIN':
      return parsePlain(response);
    case 'AMQPLAIN':
      return parseAmqPlain(response);
    case 'EXTERNAL':
      return { mechanism, response };
    default:
      return undefined;
  }
}

/** RFC 4616: authorization identity · NUL · user · NUL · password. Nobody acts as somebody else, as in RabbitMQ. */
function parsePlain(response: Buffer): Credentials | undefined {
  const [identity, user, password, ...rest] = response.toString('utf8').split('\0');
  if (identity !== '' || user === undefined || password === undefined || rest.length > 0) return undefined;
  return { mechanism: 'password', user, password };
}

/** A field table without its length, with LOGIN and PASSWORD. */
function parseAmqPlain(response: Buffer): Credentials | undefined {
  try {
    const table = decodeFieldTable(response, 0, response.length);
    const user = table.get('LOGIN');
    const password = table.get('PASSWORD');
    return typeof user === 'string' && typeof password === 'string'
      ? { mechanism: 'password', user, password }
      : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a peer is on this machine. Dual-stack sockets show IPv4 peers as ::ffff:a.b.c.d. */
export function isLoopbackAddress(address: string | undefined): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address ?? '');
}

import { expect, test } from 'vitest';
import {
  guestAuthenticator,
  isLoopbackAddress,
  parseCredentials,
} from '../../../broker/listeners/amqp/authentication.ts';
import { encodeFieldTable } from '../../../src/messages/field-table.ts';

const password = (user: string, given: string) => ({ mechanism: 'password', user, password: given }) as const;

test('guest is let in from this machine only, with its password only', () => {
  expect(guestAuthenticator.authenticate(password('guest', 'guest'), true)).toBe('guest');
  expect(guestAuthenticator.authenticate(password('guest', 'guest'), false)).toBeUndefined();
  for (const wrong of ['', 'Guest', 'guest ', 'gues', 'guest\0']) {
    expect(guestAuthenticator.authenticate(password('guest', wrong), true), wrong).toBeUndefined();
  }
  expect(guestAuthenticator.authenticate(password('admin', 'guest'), true)).toBeUndefined();
  const external = { mechanism: 'EXTERNAL', response: Buffer.alloc(0) } as const;
  expect(guestAuthenticator.authenticate(external, true)).toBeUndefined();
});

test('addresses of this machine, IPv4 through IPv6 too', () => {
  for (const own of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])
    expect(isLoopbackAddress(own), own).toBe(true);
  for (const other of ['10.0.0.1', '::', '::ffff:10.0.0.1', '128.0.0.1', 'fe80::127.0.0.1', undefined]) {
    expect(isLoopbackAddress(other), other).toBe(false);
  }
});

test('responses of the mechanisms', () => {
  const table = (entries: ReadonlyArray<[string, string | number]>): Buffer =>
    Buffer.from(encodeFieldTable(new Map(entries)));
  expect(parseCredentials('PLAIN', Buffer.from('\0usér\0pass'))).toEqual(password('usér', 'pass'));
  expect(parseCredentials('PLAIN', Buffer.from('\0user\0'))).toEqual(password('user', ''));
  // The first part asks to act as somebody.
  for (const wrong of ['', 'user', 'other\0user\0pass', 'user\0user\0pass', '\0user', '\0user\0pass\0more']) {
    expect(parseCredentials('PLAIN', Buffer.from(wrong)), wrong).toBeUndefined();
  }
  const login: [string, string] = ['LOGIN', 'user'];
  expect(parseCredentials('AMQPLAIN', table([login, ['PASSWORD', 'pass']]))).toEqual(password('user', 'pass'));
  expect(parseCredentials('AMQPLAIN', table([login]))).toBeUndefined();
  expect(parseCredentials('AMQPLAIN', table([login, ['PASSWORD', 1]]))).toBeUndefined();
  expect(parseCredentials('AMQPLAIN', Buffer.from([255]))).toBeUndefined();
  expect(parseCredentials('plain', Buffer.from('\0user\0pass'))).toBeUndefined();
  expect(parseCredentials('__proto__', Buffer.alloc(0))).toBeUndefined();
});

import { expect, test } from 'vitest';
import { parseCredentials } from '../../../broker/listeners/amqp/authentication.ts';
import { isLoopbackAddress } from '../../../broker/listeners/loopback-address.ts';
import { encodeFieldTable } from '../../../src/messages/field-table.ts';

const password = (user: string, given: string) => ({ kind: 'password', user, password: given }) as const;

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
  const parse = (mechanism: string, response: Buffer) => parseCredentials(mechanism, response, undefined);
  expect(parse('PLAIN', Buffer.from('\0usér\0pass'))).toEqual(password('usér', 'pass'));
  expect(parse('PLAIN', Buffer.from('\0user\0'))).toEqual(password('user', ''));
  // The first part asks to act as somebody.
  for (const wrong of ['', 'user', 'other\0user\0pass', 'user\0user\0pass', '\0user', '\0user\0pass\0more']) {
    expect(parse('PLAIN', Buffer.from(wrong)), wrong).toBeUndefined();
  }
  const login: [string, string] = ['LOGIN', 'user'];
  expect(parse('AMQPLAIN', table([login, ['PASSWORD', 'pass']]))).toEqual(password('user', 'pass'));
  expect(parse('AMQPLAIN', table([login]))).toBeUndefined();
  expect(parse('AMQPLAIN', table([login, ['PASSWORD', 1]]))).toBeUndefined();
  expect(parse('AMQPLAIN', Buffer.from([255]))).toBeUndefined();
  expect(parse('plain', Buffer.from('\0user\0pass'))).toBeUndefined();
  expect(parse('__proto__', Buffer.alloc(0))).toBeUndefined();
});

test('a certificate counts, and not whom the response of EXTERNAL names', () => {
  const external = (name: string | undefined) => parseCredentials('EXTERNAL', Buffer.from('root'), name);
  expect(external('me')).toEqual({ kind: 'certificate', user: 'me' });
  expect(external(undefined)).toBeUndefined();
});

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openCoordinatorAt } from '../../../broker/coordinator/coordinator-address.ts';
import { parseEtcdUrl } from '../../../broker/coordinator/etcd-url.ts';
import { silentLogger } from '../../../broker/ports/logger.ts';
import { NodeDisk } from '../../../broker/ports/node-disk.ts';
import { systemClock } from '../../../broker/ports/system-clock.ts';
import { systemRandom } from '../../../broker/ports/system-random.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

const OPTIONS = { disk: new NodeDisk(), clock: systemClock, random: systemRandom, logger: silentLogger };

describe('the address of an etcd', () => {
  test.each([
    ['etcd://one:2379/burrow', { members: ['one:2379'], prefix: 'burrow', tls: false }],
    [
      'etcd://one,10.0.0.2:23,[::1]:9/a/b/',
      { members: ['one:2379', '10.0.0.2:23', '[::1]:9'], prefix: 'a/b', tls: false },
    ],
    [
      'etcd://us%40er:p%3Aw%2F@one/p?tls=true&timeout-ms=700',
      { members: ['one:2379'], prefix: 'p', tls: true, user: 'us@er', password: 'p:w/', timeoutMs: 700 },
    ],
    [
      'etcd://user@one/p?password-file=%2Fsecret%201&ca=/ca&cert=/c&key=/k',
      {
        members: ['one:2379'],
        prefix: 'p',
        tls: true,
        user: 'user',
        passwordFile: '/secret 1',
        caFile: '/ca',
        certFile: '/c',
        keyFile: '/k',
      },
    ],
  ])('%s', (url, expected) => {
    expect(parseEtcdUrl(url)).toEqual(expected);
  });

  test.each([
    ['etcd://', 'is no host:port'],
    ['etcd:one/p', 'must look like'],
    ['etcd://one:2379', 'needs a prefix'],
    ['etcd://one/', 'needs a prefix'],
    ['etcd://one:99999/p', 'is no host:port'],
    ['etcd://one:0/p', 'is no host:port'],
    ['etcd://one,,two/p', 'is no host:port'],
    ['etcd://one/p?unknown=1', 'is none of'],
    ['etcd://one/p?tls', 'has no value'],
    ['etcd://one/p?tls=yes', 'true or false'],
    ['etcd://one/p?tls=true&tls=true', 'given twice'],
    ['etcd://one/p?tls=false&ca=/ca', 'need TLS'],
    ['etcd://one/p?cert=/c', 'go together'],
    ['etcd://one/p?timeout-ms=1', 'timeout-ms is'],
    ['etcd://one/p?timeout-ms=1e3', 'timeout-ms is'],
    ['etcd://user@one/p', 'needs a password'],
    ['etcd://user:secret@one/p?password-file=/f', 'not both'],
    ['etcd://one/p?password-file=/f', 'needs a user'],
    ['etcd://:secret@one/p', 'user is empty'],
    ['etcd://one/%', 'hexadecimal'],
    ['etcd://user:secret@one/p#x', 'must look like'],
  ])('%s is refused', (url, reason) => {
    try {
      parseEtcdUrl(url);
      expect.fail('not refused');
    } catch (error) {
      expect(isBurrowError(error, 'INVALID_CONFIG')).toBe(true);
      expect(String(error)).toContain(reason);
      expect(String(error)).not.toContain('secret');
    }
  });

  test('no text is anything but an address or INVALID_CONFIG', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (login, rest) => {
        for (const url of [login, `etcd://${login}@${rest}`, `etcd://one/${login}?${rest}`]) {
          try {
            expect(parseEtcdUrl(url).members.length).toBeGreaterThan(0);
          } catch (error) {
            expect(isBurrowError(error, 'INVALID_CONFIG'), String(error)).toBe(true);
          }
        }
      }),
    );
  });
});

describe('opening', () => {
  test('file: names a folder that several may use', async () => {
    const root = await mkdtemp(join(tmpdir(), 'burrow-coordinator-'));
    onTestFinished(() => rm(root, { recursive: true, force: true }));
    const one = await openCoordinatorAt(`file:${root}/c`, OPTIONS);
    const other = await openCoordinatorAt(`file:${root}/c`, OPTIONS);
    await one.transaction({ set: [{ key: 'a', value: '1' }] });
    expect((await other.get('a')).entry?.value).toBe('1');
    await Promise.all([one.close(), other.close()]);
  });

  test.each([
    ['file:relative', 'must be absolute'],
    ['zookeeper://one', 'must begin with'],
    ['etcd://one/p?ca=/no/such/file', '/no/such/file'],
    ['etcd://user@one/p?password-file=/no/such/file', 'cannot be read'],
  ])('%s is refused', async (address, reason) => {
    await expect(openCoordinatorAt(address, OPTIONS)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining(reason),
    });
  });
});

import { beforeEach, describe, expect, test } from 'vitest';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import { silentLogger } from '../../../broker/ports/logger.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { type PasswordHasher, systemPasswordHasher } from '../../../broker/ports/password-hasher.ts';
import { systemRandom } from '../../../broker/ports/system-random.ts';
import { AccessControl } from '../../../broker/security/access-control.ts';
import { Users, type UsersOptions } from '../../../broker/security/users.ts';

const EVERYTHING = { configure: '.*', write: '.*', read: '.*' };

let coordinator: MemoryCoordinator;
/** Ids by name. */
let virtualHosts: Map<string, number>;
let derivations: number;

/** The real one, counted. */
const hasher: PasswordHasher = {
  ...systemPasswordHasher,
  derive(...args) {
    derivations++;
    return systemPasswordHasher.derive(...args);
  },
};

function open(options: Partial<UsersOptions> = {}): Promise<Users> {
  return Users.open({
    coordinator,
    hasher,
    random: systemRandom,
    clock: new ManualClock(),
    logger: silentLogger,
    usersMax: 100,
    loginsWaitingMax: 100,
    virtualHostId: (name) => virtualHosts.get(name),
    passwordCost: { n: 16, r: 1, p: 1 },
    ...options,
  });
}

async function openWithAdministrator(options: Partial<UsersOptions> = {}): Promise<Users> {
  const users = await open(options);
  await users.add({ name: 'admin', password: 'secret', tags: ['administrator'] });
  return users;
}

beforeEach(() => {
  coordinator = new MemoryCoordinator();
  virtualHosts = new Map([['/', 1]]);
  derivations = 0;
});

describe('users', () => {
  test('are there again after a start, with their passwords and permissions', async () => {
    const before = await openWithAdministrator();
    await before.add({ name: 'app', password: 'pässword' });
    await before.setPermissions('app', '/', { configure: '', write: '^orders', read: '.*' });
    before.close();
    const users = await open();
    expect(await users.withPassword('app', 'pässword')).toMatchObject({ name: 'app' });
    expect(users.list()).toEqual([
      { name: 'admin', tags: ['administrator'], hasPassword: true, permissions: [] },
      {
        name: 'app',
        tags: [],
        hasPassword: true,
        permissions: [{ virtualHost: '/', virtualHostId: 1, configure: '', write: '^orders', read: '.*' }],
      },
    ]);
  });

  test('are stored without their passwords, each with a salt of its own', async () => {
    const users = await openWithAdministrator();
    await users.add({ name: 'other', password: 'secret' });
    const { entries } = await coordinator.list('security/');
    const stored = entries.map(({ value }) => JSON.parse(value) as { password: { salt: string; hash: string } });
    expect(entries.some(({ value }) => value.includes('secret'))).toBe(false);
    expect(new Set(stored.map(({ password }) => password.salt)).size).toBe(2);
    expect(new Set(stored.map(({ password }) => password.hash)).size).toBe(2);
    expect(JSON.stringify(users.list())).not.toContain(stored[0]!.password.hash);
  });

  test('may have any names, also those that objects have', async () => {
    const users = await openWithAdministrator();
    for (const name of ['__proto__', 'constructor', 'a/b', 'ä€😀', ' ']) {
      expect(await users.withPassword(name, 'x')).toBeUndefined();
      await users.add({ name, password: `of ${name}` });
      expect(await users.withPassword(name, `of ${name}`)).toMatchObject({ name });
      await users.setPermissions(name, '/', EVERYTHING);
      await users.delete(name);
      expect(users.get(name)).toBeUndefined();
    }
    for (const name of ['', 'a\0b', 'a\nb', 'x'.repeat(256), '\ud800']) {
      await expect(users.add({ name, password: 'x' })).rejects.toMatchObject({ code: 'INVALID_NAME' });
    }
  });

  test('have passwords of some length without NUL, which no error shows', async () => {
    const users = await openWithAdministrator();
    for (const password of ['', 'tops\0ecret', 'tops'.repeat(300)]) {
      const failure = users.add({ name: 'app', password });
      await expect(failure).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      await expect(failure).rejects.not.toThrow(/tops/);
    }
  });

  test('begin with an administrator, and end with one', async () => {
    const users = await open();
    for (const first of [
      { name: 'app', password: 'x' },
      { name: 'admin', tags: ['administrator'] },
    ]) {
      await expect(users.add(first)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    await users.add({ name: 'admin', password: 'x', tags: ['administrator'] });
    await users.add({ name: 'app', password: 'x' });
    for (const lockout of [
      () => users.delete('admin'),
      () => users.setTags('admin', []),
      () => users.setPassword('admin', undefined),
    ]) {
      await expect(lockout()).rejects.toThrow(/last administrator/);
    }
    await users.setTags('app', ['administrator']);
    await users.delete('admin');
    await users.delete('app');
    expect(users.isEmpty).toBe(true);
  });

  test('cannot be more than usersMax, nor be there twice, nor be changed where they are not', async () => {
    const users = await openWithAdministrator({ usersMax: 2 });
    await expect(users.add({ name: 'admin', password: 'x' })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    await users.add({ name: 'app', password: 'x' });
    await expect(users.add({ name: 'more', password: 'x' })).rejects.toMatchObject({ code: 'USER_LIMIT' });
    for (const change of [
      () => users.delete('none'),
      () => users.setPassword('none', 'x'),
      () => users.setTags('none', []),
      () => users.setPermissions('none', '/', EVERYTHING),
      () => users.deletePermissions('none', '/'),
    ]) {
      await expect(change()).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    }
  });

  test('have permissions for virtual hosts that exist, and not for their successors', async () => {
    const users = await openWithAdministrator();
    await expect(users.setPermissions('admin', 'none', EVERYTHING)).rejects.toMatchObject({ code: 'VHOST_NOT_FOUND' });
    const broken = { ...EVERYTHING, write: '(' };
    await expect(users.setPermissions('admin', '/', broken)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    virtualHosts.set('team', 7);
    await users.setPermissions('admin', 'team', EVERYTHING);
    expect(users.get('admin')!.accessTo(7)).toBeDefined();
    virtualHosts.set('team', 9);
    expect(users.get('admin')!.accessTo(9)).toBeUndefined();
    expect(users.list()[0]!.permissions).toEqual([]);
  });

  test.each([
    ['{', 'STORAGE_CORRUPT'],
    ['{"format":1}', 'STORAGE_CORRUPT'],
    ['{"format":9}', 'DATA_FOLDER_VERSION'],
    ['{"format":1,"createdAtMs":1,"tags":[],"permissions":[{"virtualHost":"/"}]}', 'STORAGE_CORRUPT'],
    ['{"format":1,"createdAtMs":1,"tags":[],"permissions":[],"password":{"kind":"plain"}}', 'STORAGE_CORRUPT'],
    [
      '{"format":1,"createdAtMs":1,"tags":[],"permissions":[],"password":{"kind":"scrypt","n":1048576,"r":64,"p":9,"salt":"","hash":""}}',
      'STORAGE_CORRUPT',
    ],
  ])('that cannot be read refuse the start: %s', async (value, code) => {
    await coordinator.transaction({ set: [{ key: 'security/users/app', value }] });
    await expect(open()).rejects.toMatchObject({ code });
  });
});

describe('a password', () => {
  test('is right or wrong, and wrong after a change', async () => {
    const users = await openWithAdministrator();
    expect(await users.withPassword('admin', 'secret')).toMatchObject({ name: 'admin' });
    for (const wrong of ['Secret', 'secre', 'secret ', ''])
      expect(await users.withPassword('admin', wrong)).toBeUndefined();
    await users.setPassword('admin', 'another');
    expect(await users.withPassword('admin', 'secret')).toBeUndefined();
    expect(await users.withPassword('admin', 'another')).toMatchObject({ name: 'admin' });
  });

  test('that was right is known at once; nothing else is', async () => {
    const users = await openWithAdministrator();
    derivations = 0;
    await users.withPassword('admin', 'secret');
    expect(users.withPassword('admin', 'secret')).toMatchObject({ name: 'admin' });
    expect(derivations).toBe(1);
    await users.withPassword('admin', 'wrong');
    await users.withPassword('admin', 'wrong');
    expect(derivations).toBe(3);
  });

  test('of nobody takes as long, and is compared as others are', async () => {
    const compared: number[] = [];
    const watching: PasswordHasher = {
      ...hasher,
      isEqual: (one, other) => {
        compared.push(one.length, other.length);
        return systemPasswordHasher.isEqual(one, other);
      },
    };
    const users = await openWithAdministrator({ hasher: watching });
    derivations = 0;
    await users.withPassword('nobody', 'secret');
    await users.withPassword('admin', 'wrong');
    expect(derivations).toBe(2);
    expect(compared).toEqual([32, 32, 32, 32]);
    // Also who has no password at all.
    await users.add({ name: 'by-certificate' });
    expect(await users.withPassword('by-certificate', '')).toBeUndefined();
    expect(derivations).toBe(3);
  });

  test('waits its turn, and beyond loginsWaitingMax is not checked at all', async () => {
    let running = 0;
    let runningMax = 0;
    const slow: PasswordHasher = {
      ...hasher,
      async derive(...args) {
        runningMax = Math.max(runningMax, ++running);
        const key = await hasher.derive(...args);
        running--;
        return key;
      },
    };
    const users = await openWithAdministrator({ hasher: slow, loginsWaitingMax: 3 });
    await users.withPassword('admin', 'secret');
    const logins = ['a', 'b', 'c', 'd'].map(async (password) => users.withPassword('admin', password));
    // Who was right before need not wait.
    expect(users.withPassword('admin', 'secret')).toMatchObject({ name: 'admin' });
    const outcomes = await Promise.allSettled(logins);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
    expect(outcomes[3]).toMatchObject({ reason: { code: 'LOGIN_LIMIT' } });
    expect(runningMax).toBe(1);
  });

  test('of a user that is deleted while it is checked does not count', async () => {
    let release = (): void => {};
    const held: PasswordHasher = {
      ...hasher,
      async derive(...args) {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return hasher.derive(...args);
      },
    };
    const before = await openWithAdministrator();
    await before.add({ name: 'app', password: 'x' });
    const users = await open({ hasher: held });
    const login = users.withPassword('app', 'x');
    await users.delete('app');
    release();
    expect(await login).toBeUndefined();
  });

  test('stays known while something else of the user changes', async () => {
    const users = await openWithAdministrator();
    const login = users.withPassword('admin', 'secret');
    await users.setTags('admin', ['administrator', 'more']);
    expect(await login).toBe(users.get('admin'));
    await users.setTags('admin', ['administrator']);
    expect(users.withPassword('admin', 'secret')).toBe(users.get('admin'));
  });
});

describe('who is let in', () => {
  test('without users: everybody on this machine, as guest, and others only if that is said to be safe', async () => {
    const users = await open();
    for (const [allowInsecure, isLoopback, isLetIn] of [
      [false, true, true],
      [false, false, false],
      [true, false, true],
    ] as const) {
      const access = new AccessControl({ users, allowInsecure });
      expect(access.withoutLogin(isLoopback) !== undefined).toBe(isLetIn);
      const login = access.withPassword('guest', 'guest', isLoopback);
      expect(login).toEqual(isLetIn ? { name: 'guest', incarnation: 0 } : undefined);
      // As RabbitMQ: a program that is configured wrongly should learn it.
      for (const [name, password] of [['app', 'guest'] as const, ['guest', 'wrong'] as const]) {
        expect(access.withPassword(name, password, isLoopback)).toBeUndefined();
      }
    }
  });

  test('with users: only they, guest from this machine only, and by certificate only who exists', async () => {
    const users = await openWithAdministrator();
    await users.add({ name: 'guest', password: 'guest' });
    const access = new AccessControl({ users, allowInsecure: true });
    expect(access.withoutLogin(true)).toBeUndefined();
    expect(await access.withPassword('app', 'x', true)).toBeUndefined();
    expect(await access.withPassword('guest', 'guest', true)).toMatchObject({ name: 'guest' });
    expect(await access.withPassword('guest', 'guest', false)).toBeUndefined();
    expect(await access.withPassword('admin', 'secret', false)).toMatchObject({ name: 'admin' });
    expect(access.withCertificate('admin')).toMatchObject({ name: 'admin' });
    expect(access.withCertificate('nobody')).toBeUndefined();
  });

  test('is out when the user is deleted, also if another of that name comes, or when the first user comes', async () => {
    const users = await open();
    const access = new AccessControl({ users, allowInsecure: false });
    const revoked: string[] = [];
    const watch = (identity: Parameters<typeof access.watch>[0]) =>
      access.watch(identity, (error) => revoked.push(error.message));
    const anybody = access.withoutLogin(true)!;
    watch(anybody);
    await users.add({ name: 'admin', password: 'secret', tags: ['administrator'] });
    expect(revoked).toEqual(['there are users now, and one has to log in']);
    expect(() => access.checkTag(anybody)).toThrow(expect.objectContaining({ code: 'LOGIN_REVOKED' }));
    await users.add({ name: 'app', password: 'x' });
    const app = (await access.withPassword('app', 'x', true))!;
    const unwatch = watch(app);
    watch({ ...app });
    unwatch();
    await users.setPassword('app', 'y');
    expect(revoked).toHaveLength(1);
    await users.delete('app');
    expect(revoked.slice(1)).toEqual(["user 'app' was deleted"]);
    await users.add({ name: 'app', password: 'x' });
    expect(() => access.checkIdentity(app)).toThrow(expect.objectContaining({ code: 'LOGIN_REVOKED' }));
  });

  test('may do what its tags say', async () => {
    const users = await openWithAdministrator();
    await users.add({ name: 'maker', password: 'x', tags: ['policymaker'] });
    const access = new AccessControl({ users, allowInsecure: false });
    const maker = (await access.withPassword('maker', 'x', true))!;
    access.checkTag(maker, 'policymaker');
    expect(() => access.checkTag(maker)).toThrow(expect.objectContaining({ code: 'NOT_AUTHORIZED' }));
    access.checkTag((await access.withPassword('admin', 'secret', true))!, 'policymaker');
  });
});

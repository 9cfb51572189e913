import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runCommand, startBrokerProcess } from '../support/cli.ts';

/** Each command is a process, and machines that test are busy. */
const TIMEOUT_MS = 120_000;

test('users are added, listed, changed and deleted', { timeout: TIMEOUT_MS }, async () => {
  const { url } = await startBrokerProcess();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-password-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'password');
  fs.writeFileSync(file, 'of app\nand more\n');
  let env: Record<string, string> = {};
  const burrow = async (words: readonly string[], input?: string) => {
    const options = { env, ...(input === undefined ? {} : { input }) };
    const { code, stdout, stderr } = await runCommand([...words, '--server', url], options);
    return { code, text: stdout.toString(), stderr };
  };
  expect((await burrow(['user', 'list'])).text).toBe('No users: whoever reaches the broker may do everything.\n');
  expect((await burrow(['user', 'add', 'app'], 'x\n')).stderr).toMatch(/INVALID_ARGUMENT|first user must have/);
  const added = await burrow(['user', 'add', 'admin', '--tags', 'administrator,other'], 'secret\n');
  expect(added).toMatchObject({ code: 0, stderr: '' });
  expect((await burrow(['user', 'list'])).stderr).toMatch(/wants a login/);
  env = { BURROW_USER: 'admin', BURROW_PASSWORD: 'secret' };
  await burrow(['user', 'add', 'app', '--password-file', file]);
  await burrow(['user', 'add', 'device', '--no-password']);
  await burrow(['user', 'permissions', 'app', '--configure', '^app', '--read', '.*']);
  expect((await burrow(['user', 'list'])).text).toBe(
    [
      'USER    TAGS                 PASSWORD  VHOST  CONFIGURE  WRITE  READ',
      'admin   administrator,other  yes',
      'app                          yes       /      ^app              .*',
      'device                       no',
      '',
    ].join('\n'),
  );
  await burrow(['user', 'password', 'admin'], 'another\n');
  expect((await burrow(['user', 'list'])).stderr).toMatch(/user or the password is wrong/);
  env = { BURROW_USER: 'admin', BURROW_PASSWORD: 'another' };
  await burrow(['user', 'tags', 'admin', 'administrator']);
  await burrow(['user', 'permissions', 'app']);
  await burrow(['user', 'delete', 'device']);
  expect(JSON.parse((await burrow(['user', 'list', '--json'])).text)).toEqual([
    { name: 'admin', tags: ['administrator'], hasPassword: true, permissions: [] },
    { name: 'app', tags: [], hasPassword: true, permissions: [] },
  ]);
  env = { BURROW_USER: 'app', BURROW_PASSWORD: 'of app' };
  expect((await burrow(['user', 'list'])).stderr).toMatch(/needs the tag administrator/);
});

test('beyond this machine a broker wants users, or a default one', { timeout: TIMEOUT_MS }, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-default-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }));
  const words = ['start', '--host', '0.0.0.0', '--advertised-host', '127.0.0.1', '--kafka-port', 'off', '--port', '0'];
  const bare = await runCommand([...words, '--amqp-port', 'off', '--data-dir', path.join(folder, 'data')], {});
  expect(bare.code).not.toBe(0);
  expect(bare.stderr).toMatch(/this broker has no users.*burrow user add NAME --tags administrator.*--default-user/s);
  const file = path.join(folder, 'password');
  fs.writeFileSync(file, 'secret\n');
  const { url } = await startBrokerProcess([
    ...['--host', '0.0.0.0', '--advertised-host', '127.0.0.1', '--kafka-port', 'off'],
    ...['--default-user', 'root', '--default-password-file', file],
  ]);
  const env = { BURROW_USER: 'root', BURROW_PASSWORD: 'secret' };
  expect((await runCommand(['queue', 'declare', 'q', '--server', url], { env })).code).toBe(0);
  expect((await runCommand(['queue', 'list', '--server', url], {})).stderr).toMatch(/wants a login/);
});

/** `burrow user list|add|delete|password|tags|permissions`. Passwords come from a file or standard input, never from the command line. */
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { type Command, Option } from 'commander';
import type { UserAdmin } from '../../client/index.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { jsonOption, type ServerFlag, serverOption, withClient } from './client-command.ts';
import { formatTable } from './table.ts';

interface Flags extends ServerFlag {
  readonly json?: boolean;
}

interface PasswordFlags extends Flags {
  readonly passwordFile?: string;
  /** False: `--no-password`. */
  readonly password: boolean;
}

export function addUserCommand(program: Command): void {
  const user = program.command('user').description('List, add and delete users and say what they may do');
  user.command('list').description('List the users with their permissions').action(listUsers);
  withPassword(
    user
      .command('add')
      .description('Add a user; from the first one on, an administrator, everybody must log in')
      .argument('<user>')
      .addOption(tagsOption().default([])),
  ).action(addUser);
  user
    .command('delete')
    .description('Delete users and close their connections')
    .argument('<users...>')
    .action(deleteUsers);
  withPassword(user.command('password').description('Give a user another password').argument('<user>')).action(
    setPassword,
  );
  user
    .command('tags')
    .description('Give a user other tags')
    .argument('<user>')
    .argument('[tags...]', 'Such as administrator, policymaker')
    .action(setTags);
  user
    .command('permissions')
    .description('Say what a user may do in a virtual host; without patterns, nothing any more')
    .argument('<user>')
    .option('--vhost <name>', 'Virtual host', '/')
    .option('--configure <pattern>', 'Names of what it may create and delete')
    .option('--write <pattern>', 'Names of what it may publish to')
    .option('--read <pattern>', 'Names of what it may consume from')
    .action(setPermissions);
  for (const command of user.commands) command.addOption(serverOption()).addOption(jsonOption());
}

function tagsOption(): Option {
  return new Option('--tags <names>', 'Such as administrator,policymaker').argParser((text: string) => text.split(','));
}

function withPassword(command: Command): Command {
  return command
    .option('--password-file <file>', 'File with the password in its first line; default: standard input')
    .option('--no-password', 'No password: it logs in with a certificate');
}

function withUsers(flags: Flags, run: (users: UserAdmin) => Promise<void>): Promise<void> {
  return withClient(flags, (client) => run(client.users()));
}

function report(flags: Flags, text: string, facts: unknown): void {
  process.stdout.write(flags.json ? `${JSON.stringify(facts)}\n` : `${text}\n`);
}

async function listUsers(flags: Flags): Promise<void> {
  await withUsers(flags, async (admin) => {
    const users = (await admin.list()).sort((a, b) => (a.name < b.name ? -1 : 1));
    const rows = users.flatMap(({ name, tags, hasPassword, permissions }) => {
      const facts = [name, tags.join(','), hasPassword ? 'yes' : 'no'];
      if (permissions.length === 0) return [[...facts, '', '', '', '']];
      return permissions.map(({ virtualHost, configure, write, read }) => [
        ...facts,
        virtualHost,
        configure,
        write,
        read,
      ]);
    });
    const table = formatTable(['USER', 'TAGS', 'PASSWORD', 'VHOST', 'CONFIGURE', 'WRITE', 'READ'], rows);
    report(flags, rows.length === 0 ? 'No users: whoever reaches the broker may do everything.' : table, users);
  });
}

async function addUser(name: string, flags: PasswordFlags & { readonly tags: readonly string[] }): Promise<void> {
  const password = await readPassword(flags);
  await withUsers(flags, async (users) => {
    await users.add(name, { tags: flags.tags, ...(password === undefined ? {} : { password }) });
    const hint = `It may enter no virtual host yet: burrow user permissions ${name} --configure … --write … --read …`;
    report(flags, `Added user ${name}. ${hint}`, { added: name });
  });
}

async function deleteUsers(names: readonly string[], flags: Flags): Promise<void> {
  await withUsers(flags, async (users) => {
    for (const name of names) await users.delete(name);
    report(flags, `Deleted ${names.join(', ')}.`, { deleted: names });
  });
}

async function setPassword(name: string, flags: PasswordFlags): Promise<void> {
  const password = await readPassword(flags);
  await withUsers(flags, async (users) => {
    await users.setPassword(name, password);
    report(flags, `Changed the password of ${name}.`, { changed: name });
  });
}

async function setTags(name: string, tags: readonly string[], flags: Flags): Promise<void> {
  await withUsers(flags, async (users) => {
    await users.setTags(name, tags);
    report(flags, `User ${name} has ${tags.length === 0 ? 'no tags' : `the tags ${tags.join(', ')}`}.`, { name, tags });
  });
}

interface PermissionFlags extends Flags {
  readonly vhost: string;
  readonly configure?: string;
  readonly write?: string;
  readonly read?: string;
}

async function setPermissions(name: string, flags: PermissionFlags): Promise<void> {
  const { vhost, configure, write, read } = flags;
  await withUsers(flags, async (users) => {
    if (configure === undefined && write === undefined && read === undefined) {
      await users.deletePermissions(name, vhost);
      report(flags, `User ${name} may not enter vhost ${vhost}.`, { name, vhost });
      return;
    }
    const permissions = { configure: configure ?? '', write: write ?? '', read: read ?? '' };
    await users.setPermissions(name, vhost, permissions);
    report(flags, `Set the permissions of ${name} in vhost ${vhost}.`, { name, vhost, ...permissions });
  });
}

async function readPassword({ password, passwordFile }: PasswordFlags): Promise<string | undefined> {
  if (!password) return undefined;
  if (passwordFile === undefined) return process.stdin.isTTY ? prompt() : firstLine(await readAll());
  try {
    return firstLine(fs.readFileSync(passwordFile, 'utf8'));
  } catch (error) {
    throw new BurrowError('INVALID_ARGUMENT', `File ${passwordFile} cannot be read.`, { cause: error });
  }
}

function firstLine(text: string): string {
  const [first = ''] = text.split(/\r?\n/, 1);
  return first;
}

async function readAll(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Without showing what is typed. */
async function prompt(): Promise<string> {
  process.stderr.write('Password: ');
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  const password = await new Promise<string>((resolve) => lines.question('', resolve));
  lines.close();
  process.stderr.write('\n');
  return password;
}

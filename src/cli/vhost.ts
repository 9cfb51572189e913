/** `burrow vhost list|declare|delete`. */
import type { Command } from 'commander';
import { jsonOption, type ServerFlag, serverOption, withClient } from './client-command.ts';
import { formatTable } from './table.ts';

interface Flags extends ServerFlag {
  readonly json?: boolean;
}

export function addVirtualHostCommand(program: Command): void {
  const vhost = program.command('vhost').description('List, declare and delete virtual hosts');
  const list = vhost.command('list').description('List the virtual hosts').action(listVirtualHosts);
  const declare = vhost
    .command('declare')
    .description('Create virtual hosts, unless they exist')
    .argument('<names...>')
    .action(declareVirtualHosts);
  const remove = vhost
    .command('delete')
    .description('Delete virtual hosts with all their exchanges, queues and messages')
    .argument('<names...>')
    .action(deleteVirtualHosts);
  for (const command of [list, declare, remove]) command.addOption(serverOption()).addOption(jsonOption());
}

function report(flags: Flags, text: string, facts: unknown): void {
  process.stdout.write(flags.json ? `${JSON.stringify(facts)}\n` : `${text}\n`);
}

async function listVirtualHosts(flags: Flags): Promise<void> {
  await withClient(flags, async (client) => {
    const names = await client.listVirtualHosts();
    const rows = names.map((name) => [name]);
    report(flags, formatTable(['VHOST'], rows), names);
  });
}

async function declareVirtualHosts(names: readonly string[], flags: Flags): Promise<void> {
  await withClient(flags, async (client) => {
    for (const name of names) await client.virtualHost(name).create();
    report(flags, `Declared ${names.join(', ')}.`, { declared: names });
  });
}

async function deleteVirtualHosts(names: readonly string[], flags: Flags): Promise<void> {
  await withClient(flags, async (client) => {
    for (const name of names) await client.virtualHost(name).delete();
    report(flags, `Deleted ${names.join(', ')}.`, { deleted: names });
  });
}

/** `burrow binding list|declare|delete`. */
import { type Command, Option } from 'commander';
import type { BindingInfo } from '../../client/index.ts';
import {
  type Arguments,
  argumentOption,
  argumentsText,
  plainArguments,
  type QueueFlags,
  queueOptions,
  report,
  withVirtualHost,
} from './queue-flags.ts';
import { formatTable } from './table.ts';

export function addBindingCommand(program: Command): void {
  const binding = program.command('binding').description('List, declare and delete bindings');
  const list = binding.command('list').description('List the bindings').action(listBindings);
  const declare = binding
    .command('declare')
    .description('Let a queue, an exchange or a topic get messages of an exchange')
    .action(declareBinding);
  const remove = binding.command('delete').description('Take a binding away').action(deleteBinding);
  for (const command of [declare, remove]) {
    command
      .argument('<exchange>')
      .argument('<destination>')
      .addOption(
        new Option('--to <kind>', 'What the destination is').choices(['queue', 'exchange', 'topic']).default('queue'),
      )
      .option('--key <key>', 'Binding key', '')
      .addOption(argumentOption());
  }
  for (const command of [list, declare, remove]) for (const option of queueOptions()) command.addOption(option);
}

async function listBindings(flags: QueueFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const bindings = (await host.listBindings()).filter(({ source }) => source !== '');
    const rows = bindings.map((each) => [
      each.source,
      each.destinationKind,
      each.destination,
      each.bindingKey,
      argumentsText(each.arguments),
    ]);
    const facts = bindings.map((each) => ({ ...each, arguments: plainArguments(each.arguments) }));
    const table = formatTable(['EXCHANGE', 'TO', 'DESTINATION', 'KEY', 'ARGUMENTS'], rows);
    report(flags, rows.length === 0 ? 'No bindings.' : table, facts);
  });
}

interface BindingFlags extends QueueFlags {
  readonly to: BindingInfo['destinationKind'];
  readonly key: string;
  readonly argument?: Arguments;
}

function bindingOf(source: string, destination: string, { to, key, argument = {} }: BindingFlags): BindingInfo {
  const table = new Map(Object.entries(argument));
  return { source, destinationKind: to, destination, bindingKey: key, arguments: table };
}

async function declareBinding(source: string, destination: string, flags: BindingFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    await host.bind(bindingOf(source, destination, flags));
    const facts = { exchange: source, to: flags.to, destination, key: flags.key };
    report(flags, `Bound ${flags.to} ${destination} to ${source}.`, facts);
  });
}

async function deleteBinding(source: string, destination: string, flags: BindingFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    await host.unbind(bindingOf(source, destination, flags));
    const facts = { exchange: source, to: flags.to, destination, key: flags.key };
    report(flags, `Unbound ${flags.to} ${destination} from ${source}.`, facts);
  });
}

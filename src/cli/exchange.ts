/** `burrow exchange list|declare|delete`. */
import { type Command, Option } from 'commander';
import type { ExchangeOptions } from '../../client/index.ts';
import {
  type Arguments,
  argumentOption,
  argumentsText,
  plainArguments,
  type QueueFlags,
  queueOptions,
  report,
  withVirtualHost,
  yesOrNo,
} from './queue-flags.ts';
import { formatTable } from './table.ts';

const KINDS = ['direct', 'fanout', 'topic', 'headers', 'x-consistent-hash', 'x-delayed-message'];

export function addExchangeCommand(program: Command): void {
  const exchange = program.command('exchange').description('List, declare and delete exchanges');
  const list = exchange.command('list').description('List the exchanges').action(listExchanges);
  const declare = exchange
    .command('declare')
    .description('Create an exchange, unless there is an equal one')
    .argument('<exchange>')
    .addOption(new Option('--type <kind>', 'How it routes').choices(KINDS).default('direct'))
    .option('--transient', 'Gone after a restart of the broker')
    .option('--auto-delete', 'Gone with its last binding')
    .option('--internal', 'For other exchanges only')
    .addOption(argumentOption())
    .action(declareExchange);
  const remove = exchange
    .command('delete')
    .description('Delete exchanges with their bindings')
    .argument('<exchanges...>')
    .option('--if-unused', 'Refuse if something is bound to it')
    .action(deleteExchanges);
  for (const command of [list, declare, remove]) for (const option of queueOptions()) command.addOption(option);
}

async function listExchanges(flags: QueueFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const exchanges = (await host.listExchanges()).sort((a, b) => (a.name < b.name ? -1 : 1));
    const rows = exchanges.map((each) => [
      each.name === '' ? '(default)' : each.name,
      each.type,
      yesOrNo(each.durable),
      yesOrNo(each.autoDelete),
      yesOrNo(each.internal),
      argumentsText(each.arguments),
    ]);
    const facts = exchanges.map((each) => ({ ...each, arguments: plainArguments(each.arguments) }));
    report(flags, formatTable(['EXCHANGE', 'TYPE', 'DURABLE', 'AUTO-DELETE', 'INTERNAL', 'ARGUMENTS'], rows), facts);
  });
}

interface DeclareFlags extends QueueFlags {
  readonly type: NonNullable<ExchangeOptions['type']>;
  readonly transient?: boolean;
  readonly autoDelete?: boolean;
  readonly internal?: boolean;
  readonly argument?: Arguments;
}

async function declareExchange(name: string, flags: DeclareFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const { type, autoDelete, internal, transient } = flags;
    const options = { type, autoDelete, internal, durable: transient !== true, arguments: flags.argument };
    await host.exchange(name).declare(options);
    report(flags, `Declared ${type} exchange ${name}.`, { exchange: name, type });
  });
}

async function deleteExchanges(
  names: readonly string[],
  flags: QueueFlags & { readonly ifUnused?: boolean },
): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    for (const name of names) {
      // Deleting what is not there is fine for the broker; who types a name wants to know.
      await host.exchange(name).check();
      await host.exchange(name).delete({ ifUnused: flags.ifUnused === true });
    }
    report(flags, `Deleted ${names.join(', ')}.`, { deleted: names });
  });
}

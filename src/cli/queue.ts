/** `burrow queue list|declare|delete|purge`; what handles messages is in `queue-messages.ts`. */
import type { Command } from 'commander';
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
import { addMessageCommands } from './queue-messages.ts';
import { formatTable } from './table.ts';
import { count } from './totals.ts';

export function addQueueCommand(program: Command): void {
  const queue = program
    .command('queue')
    .description('List, declare and delete queues; publish, get, peek at and move their messages');
  queue.command('list').description('List the queues').action(listQueues);
  queue
    .command('declare')
    .description('Create a queue, unless there is an equal one')
    .argument('<queue>')
    .option('--transient', 'Gone after a restart of the broker')
    .option('--auto-delete', 'Gone with its last consumer')
    .addOption(argumentOption())
    .action(declareQueue);
  queue
    .command('delete')
    .description('Delete queues with their messages')
    .argument('<queues...>')
    .option('--if-unused', 'Refuse if it has consumers')
    .option('--if-empty', 'Refuse if it has messages')
    .action(deleteQueues);
  queue.command('purge').description('Remove all messages that are ready').argument('<queues...>').action(purgeQueues);
  addMessageCommands(queue);
  for (const command of queue.commands) for (const option of queueOptions()) command.addOption(option);
}

async function listQueues(flags: QueueFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const queues = (await host.listQueues()).sort((a, b) => (a.name < b.name ? -1 : 1));
    const rows = queues.map((each) => [
      each.name,
      each.messageCount,
      each.unsettledCount,
      each.consumerCount,
      each.storedBytes,
      yesOrNo(each.durable),
      each.policy ?? '-',
      each.failure === undefined ? 'ok' : each.failure.message,
      argumentsText(each.arguments),
    ]);
    const facts = queues.map((each) => ({
      ...each,
      arguments: plainArguments(each.arguments),
      policy: each.policy ?? null,
      failure: each.failure?.message ?? null,
    }));
    const head = ['QUEUE', 'READY', 'UNSETTLED', 'CONSUMERS', 'BYTES', 'DURABLE', 'POLICY', 'STATE', 'ARGUMENTS'];
    report(flags, rows.length === 0 ? 'No queues yet: burrow queue declare NAME' : formatTable(head, rows), facts);
  });
}

interface DeclareFlags extends QueueFlags {
  readonly transient?: boolean;
  readonly autoDelete?: boolean;
  readonly argument?: Arguments;
}

async function declareQueue(name: string, flags: DeclareFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const { transient, autoDelete } = flags;
    const declared = await host
      .queue(name)
      .declare({ durable: transient !== true, autoDelete, arguments: flags.argument });
    report(flags, `Declared ${name}, with ${count(declared.messageCount, 'message')}.`, declared);
  });
}

async function deleteQueues(
  names: readonly string[],
  flags: QueueFlags & { readonly ifUnused?: boolean; readonly ifEmpty?: boolean },
): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const deleted = [];
    for (const name of names) {
      const queue = host.queue(name);
      // Deleting what is not there is fine for the broker; who types a name wants to know.
      await queue.check();
      const messages = await queue.delete({ ifUnused: flags.ifUnused === true, ifEmpty: flags.ifEmpty === true });
      deleted.push({ queue: name, messages });
    }
    const texts = deleted.map(({ queue, messages }) => `${queue} with ${count(messages, 'message')}`);
    report(flags, `Deleted ${texts.join(', ')}.`, deleted);
  });
}

async function purgeQueues(names: readonly string[], flags: QueueFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const purged = [];
    for (const name of names) purged.push({ queue: name, messages: await host.queue(name).purge() });
    const texts = purged.map(({ queue, messages }) => `${count(messages, 'message')} of ${queue}`);
    report(flags, `Removed ${texts.join(', ')}.`, purged);
  });
}

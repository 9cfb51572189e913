/** `burrow group list|describe|reset|delete`. */
import { type Command, Option } from 'commander';
import type { GroupDescription, ResetOptions, ResetTarget } from '../../client/index.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { jsonOption, type ServerFlag, serverOption, withClient } from './client-command.ts';
import { parseStartPosition } from './start-position.ts';
import { formatTable } from './table.ts';
import { count } from './totals.ts';

interface JsonFlag extends ServerFlag {
  readonly json?: boolean;
}

export function addGroupCommand(program: Command): void {
  const group = program.command('group').description('List, describe, reset and delete consumer groups');
  group.command('list').description('List the groups').addOption(serverOption()).addOption(jsonOption()).action(list);
  group
    .command('describe')
    .description('Show members, committed offsets and lag')
    .argument('<groups...>')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(describe);
  group
    .command('reset')
    .description('Move a group without members to other offsets')
    .argument('<group>')
    .addOption(
      new Option('--to <position>', 'earliest, latest, an offset, timestamp:MILLISECONDS, or a date').conflicts(
        'shiftBy',
      ),
    )
    .option('--shift-by <records>', 'So many records forward, or back if negative', shift)
    .option('--topic <topic[:partition]>', 'Only this; may be repeated (default: all it has committed)', gatherTopics)
    .option('--dry-run', 'Only show what would be done')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(reset);
  group
    .command('delete')
    .description('Delete groups without members, with their offsets')
    .argument('<groups...>')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(remove);
}

function shift(text: string): number {
  if (/^[+-]?\d{1,15}$/.test(text)) return Number(text);
  throw new BurrowError('INVALID_ARGUMENT', `--shift-by is "${text}"; it must be a whole number.`);
}

type Places = NonNullable<ResetOptions['partitions']>;

function gatherTopics(text: string, before: Places = []): Places {
  const [, topic, partition] = /^([^:]+)(?::(\d{1,9}))?$/.exec(text) ?? [];
  if (topic === undefined) {
    throw new BurrowError('INVALID_ARGUMENT', `--topic is "${text}"; it must be TOPIC or TOPIC:PARTITION.`);
  }
  return [...before, partition === undefined ? { topic } : { topic, partition: Number(partition) }];
}

/** Prints text, or with --json the facts. */
function report(flags: JsonFlag, text: string, facts: unknown): void {
  process.stdout.write(flags.json ? `${JSON.stringify(facts)}\n` : `${text}\n`);
}

async function list(flags: JsonFlag): Promise<void> {
  await withClient(flags, async (client) => {
    const groups = await client.admin().listGroups();
    const rows = groups.map(({ groupId, state, protocolType }) => [groupId, state, protocolType]);
    const table = formatTable(['GROUP', 'STATE', 'TYPE'], rows);
    report(flags, rows.length === 0 ? 'No consumer groups.' : table, groups);
  });
}

async function describe(groupIds: readonly string[], flags: JsonFlag): Promise<void> {
  await withClient(flags, async (client) => {
    const groups = await client.admin().describeGroups(groupIds);
    report(flags, groups.map(describeText).join('\n\n'), groups);
  });
}

function describeText({ groupId, state, protocolName, members, partitions }: GroupDescription): string {
  const names = new Map(members.map((member) => [member.memberId, member.groupInstanceId ?? member.clientId]));
  const lag = partitions.reduce((sum, partition) => sum + (partition.lag ?? 0), 0);
  const assignor = protocolName === '' ? '' : `, ${protocolName}`;
  const head = `${groupId}: ${state}${assignor}, ${count(members.length, 'member')}, lag ${lag}`;
  if (partitions.length === 0) return head;
  const table = formatTable(
    ['TOPIC', 'PARTITION', 'COMMITTED', 'END', 'LAG', 'CLIENT', 'MEMBER'],
    partitions.map(({ topic, partition, committedOffset, endOffset, lag: behind, memberId }) => [
      topic,
      partition,
      committedOffset ?? '-',
      endOffset ?? '-',
      behind ?? '-',
      memberId === undefined ? '-' : (names.get(memberId) ?? '-'),
      memberId ?? '-',
    ]),
  );
  return `${head}\n${table}`;
}

interface ResetFlags extends JsonFlag {
  readonly to?: string;
  readonly shiftBy?: number;
  readonly topic?: Places;
  readonly dryRun?: boolean;
}

async function reset(groupId: string, flags: ResetFlags): Promise<void> {
  const to = resetTarget(flags);
  const { topic: partitions, dryRun } = flags;
  await withClient(flags, async (client) => {
    const resets = await client.admin().resetOffsets(groupId, { to, partitions, dryRun });
    if (resets.length === 0) {
      report(flags, `Nothing to reset: ${groupId} has committed nothing. Name topics with --topic.`, resets);
      return;
    }
    const rows = resets.map(({ topic, partition, from, to: offset }) => [topic, partition, from ?? '-', offset]);
    const done = `${dryRun ? 'Would reset' : 'Reset'} ${count(resets.length, 'partition')} of ${groupId}.`;
    report(flags, `${formatTable(['TOPIC', 'PARTITION', 'FROM', 'TO'], rows)}\n${done}`, resets);
  });
}

function resetTarget({ to, shiftBy }: ResetFlags): ResetTarget {
  if (shiftBy !== undefined) return { shiftBy };
  if (to === undefined) throw new BurrowError('INVALID_ARGUMENT', 'Say where to go: --to or --shift-by.');
  const position = parseStartPosition(to, '--to');
  if (typeof position === 'object' && 'timestamp' in position) return { timestampMs: position.timestamp };
  return position;
}

async function remove(groupIds: readonly string[], flags: JsonFlag): Promise<void> {
  await withClient(flags, async (client) => {
    await client.admin().deleteGroups(groupIds);
    report(flags, `Deleted ${groupIds.join(', ')}.`, { deleted: groupIds });
  });
}

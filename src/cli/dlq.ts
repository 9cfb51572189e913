/** `burrow dlq list|show|replay|purge`. */
import { type Command, Option } from 'commander';
import type { DeadLetter, DeadLetterFilter, ReplayResult } from '../../client/index.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { jsonOption, type ServerFlag, serverOption, wholeNumber, withClient } from './client-command.ts';
import { LineWriter } from './line-writer.ts';
import { printable, printableLines } from './printable.ts';
import { contentAsJson, isoTime, textOf } from './record-output.ts';
import { parseStartPosition } from './start-position.ts';
import { formatTable } from './table.ts';
import { count } from './totals.ts';

interface JsonFlag extends ServerFlag {
  readonly json?: boolean;
}

const SHOWN = 20;
const MESSAGE_CHARACTERS = 60;
const KEY_CHARACTERS = 24;

export function addDlqCommand(program: Command): void {
  const dlq = program.command('dlq').description('List, show, replay and purge dead letters');
  dlq
    .command('list')
    .description('List the dead-letter topics: those whose name ends in .dlq')
    .argument('[topics...]', 'Only these, whatever their names')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(list);
  withFilters(
    dlq.command('show').description('Show dead letters, the oldest of each partition first').argument('<topic>'),
  )
    .option('--limit <number>', 'At most so many', wholeNumber(1), SHOWN)
    .option('--long', 'All of each, with stack, headers and value')
    .addOption(serverOption())
    .addOption(new Option('--json', 'Print JSON, an object a line'))
    .action(show);
  withFilters(
    dlq
      .command('replay')
      .description('Put dead letters back to where they failed, and remove them here')
      .argument('<topic>'),
  )
    .option('--limit <number>', 'At most so many', wholeNumber(1))
    .option('--to <topic>', 'Another topic instead of the original one')
    .option('--all', 'Also what has been replayed before')
    .option('--keep', 'Leave them in the dead-letter topic; they count as replayed')
    .option('--keep-timestamps', 'Give records their own time back, instead of the present one')
    .option('--dry-run', 'Only show what would be done')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(replay);
  dlq
    .command('purge')
    .description('Remove dead letters for good')
    .argument('<topic>')
    .option('--partition <number>', 'Only of this partition of the dead-letter topic', wholeNumber(0))
    .option('--before <time>', 'Only what was set aside before: a date, or timestamp:MILLISECONDS', time('--before'))
    .option('--replayed', 'Only what has been replayed, up to the first that has not')
    .option('--dry-run', 'Only show what would be done')
    .option('--yes', 'Do it')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(purge);
}

interface FilterFlags extends JsonFlag {
  readonly error?: string;
  readonly group?: string;
  readonly topic?: string;
  readonly partition?: number;
  readonly offsets?: { readonly from: number | undefined; readonly end: number | undefined };
  readonly since?: number;
  readonly until?: number;
  readonly key?: string;
}

function withFilters(command: Command): Command {
  return command
    .option('--error <name>', 'Only of this error, such as TypeError or SERIALIZATION_FAILED')
    .option('--group <group>', 'Only of this subscriber’s group')
    .option('--topic <topic>', 'Only from this original topic')
    .option('--partition <number>', 'Only from this original partition', wholeNumber(0))
    .option('--offsets <range>', 'Only from these original offsets: 17, 17-20, 17- or -20', offsetRange)
    .option('--since <time>', 'Only what failed then or later: a date, or timestamp:MILLISECONDS', time('--since'))
    .option('--until <time>', 'Only what failed before', time('--until'))
    .option('--key <text>', 'Only with this key');
}

function time(flag: string): (text: string) => number {
  return (text) => {
    const position = parseStartPosition(text, flag);
    if (typeof position === 'object' && 'timestamp' in position) return position.timestamp;
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `${flag} is "${text}"; it must be a date such as 2026-11-23T10:00:00Z, or timestamp:MILLISECONDS.`,
    );
  };
}

/** Both ends belong to it. */
function offsetRange(text: string): NonNullable<FilterFlags['offsets']> {
  const [, first, dash, last] = /^(\d{1,15})?(-)?(\d{1,15})?$/.exec(text) ?? [];
  if (first === undefined && last === undefined) {
    throw new BurrowError('INVALID_ARGUMENT', `--offsets is "${text}"; it must be N, N-M, N- or -M.`);
  }
  if (dash === undefined) return { from: Number(first), end: Number(first) + 1 };
  return {
    from: first === undefined ? undefined : Number(first),
    end: last === undefined ? undefined : Number(last) + 1,
  };
}

function filterOf(flags: FilterFlags): DeadLetterFilter {
  return {
    errorName: flags.error,
    group: flags.group,
    originalTopic: flags.topic,
    originalPartition: flags.partition,
    originalOffsetFrom: flags.offsets?.from,
    originalOffsetEnd: flags.offsets?.end,
    failedFromMs: flags.since,
    failedBeforeMs: flags.until,
    key: flags.key === undefined ? undefined : new TextEncoder().encode(flags.key),
  };
}

/** Prints text, or with --json the facts. */
function report(flags: JsonFlag, text: string, facts: unknown): void {
  process.stdout.write(flags.json ? `${JSON.stringify(facts)}\n` : `${text}\n`);
}

async function list(names: readonly string[], flags: JsonFlag): Promise<void> {
  await withClient(flags, async (client) => {
    const topics = await client.deadLetters().list(names.length === 0 ? undefined : names);
    const rows = topics.map(({ topic, source, records, pending, bytes }) => [
      topic,
      source?.topic ?? '-',
      printable(source?.group ?? '-'),
      records,
      pending,
      bytes,
    ]);
    const table = formatTable(['TOPIC', 'FROM', 'GROUP', 'RECORDS', 'NOT REPLAYED', 'BYTES'], rows);
    report(flags, rows.length === 0 ? 'No dead-letter topics.' : table, topics);
  });
}

async function show(
  topic: string,
  flags: FilterFlags & { readonly limit: number; readonly long?: boolean },
): Promise<void> {
  await withClient(flags, async (client) => {
    const writer = new LineWriter(process.stdout);
    const rows: Array<ReadonlyArray<string | number>> = [];
    // One more tells whether there are more.
    const letters = client.deadLetters().read(topic, { filter: filterOf(flags), limit: flags.limit + 1 });
    let shown = 0;
    for await (const letter of letters) {
      if (writer.closed) return;
      if (shown === flags.limit) {
        shown += 1;
        break;
      }
      shown += 1;
      if (flags.json) writer.add(JSON.stringify(factsOf(letter)));
      else if (flags.long) writer.add(`${longText(letter)}\n`);
      else rows.push(rowOf(letter));
      await writer.flush();
    }
    if (flags.json) return;
    if (rows.length > 0) {
      const head = ['PLACE', 'FAILED AT', 'FROM', 'GROUP', 'TRIES', 'ERROR', 'MESSAGE', 'KEY', 'REPLAYED'];
      writer.add(formatTable(head, rows));
    }
    if (shown === 0) writer.add(`No dead letters in ${topic} that are asked for.`);
    if (shown > flags.limit) writer.add(`There are more: --limit shows more than ${flags.limit}.`);
    await writer.flush();
  });
}

function factsOf(letter: DeadLetter): object {
  const { key, value, headers, ...facts } = letter;
  return { ...facts, ...contentAsJson({ key, value, headers }) };
}

function placeOf({ partition, offset }: DeadLetter): string {
  return `${partition}:${offset}`;
}

function originOf({ origin }: DeadLetter): string {
  return origin === undefined ? '-' : printable(`${origin.topic}:${origin.partition}:${origin.offset}`, 80);
}

function bytesText(bytes: Uint8Array | null): string {
  return bytes === null ? '-' : (textOf(bytes) ?? `base64:${Buffer.from(bytes).toString('base64')}`);
}

function rowOf(letter: DeadLetter): ReadonlyArray<string | number> {
  return [
    placeOf(letter),
    isoTime(letter.failedAtMs ?? -1),
    originOf(letter),
    printable(letter.group ?? '-', KEY_CHARACTERS),
    letter.attempts ?? '-',
    printable(letter.errorName ?? '-', KEY_CHARACTERS),
    printable(letter.errorMessage ?? '-', MESSAGE_CHARACTERS),
    printable(bytesText(letter.key), KEY_CHARACTERS),
    letter.replayed ? 'yes' : 'no',
  ];
}

function longText(letter: DeadLetter): string {
  const { group, attempts, errorName, errorMessage, errorStack, failedAtMs, key, value, headers, replayed } = letter;
  const lines = [
    `${placeOf(letter)} from ${originOf(letter)}${replayed ? ', replayed' : ''}`,
    `  failed   ${isoTime(failedAtMs ?? -1)}, ${count(attempts ?? 0, 'attempt')}, group ${printable(group ?? '-')}`,
    `  error    ${printable(errorName ?? '-')}: ${printable(errorMessage ?? '')}`,
  ];
  if (errorStack !== undefined) lines.push(...printableLines(errorStack).map((line) => `           ${line}`));
  lines.push(`  key      ${printable(bytesText(key))}`);
  for (const header of headers)
    lines.push(`  header   ${printable(header.key)}: ${printable(bytesText(header.value))}`);
  lines.push(
    ...printableLines(bytesText(value)).map((line, index) => `${index === 0 ? '  value    ' : '           '}${line}`),
  );
  return lines.join('\n');
}

interface ReplayFlags extends FilterFlags {
  readonly limit?: number;
  readonly to?: string;
  readonly all?: boolean;
  readonly keep?: boolean;
  readonly keepTimestamps?: boolean;
  readonly dryRun?: boolean;
}

async function replay(topic: string, flags: ReplayFlags): Promise<void> {
  await withClient(flags, async (client) => {
    const { limit, to, all, keep, keepTimestamps, dryRun } = flags;
    const options = { filter: filterOf(flags), limit, to, all, keep, keepTimestamps, dryRun };
    const result = await client.deadLetters().replay(topic, options);
    report(flags, replayText(result, dryRun === true), { ...result, dryRun: dryRun === true });
  });
}

function replayText(result: ReplayResult, dryRun: boolean): string {
  const targets = result.targets.map(({ topic, records }) => `${count(records, 'record')} to ${topic}`);
  const nothing = dryRun ? 'Would replay nothing.' : 'Nothing to replay.';
  const done = `${dryRun ? 'Would replay' : 'Replayed'} ${targets.join(', ')}.`;
  const passedOver = [
    [result.alreadyReplayed, 'replayed before'],
    [result.filtered, 'not asked for'],
    [result.withoutOrigin, 'without an origin (use --to)'],
  ] as const;
  const rest = passedOver.filter(([number]) => number > 0).map(([number, why]) => `${count(number, 'record')} ${why}`);
  return [
    targets.length === 0 ? nothing : done,
    ...(rest.length === 0 ? [] : [`Passed over: ${rest.join(', ')}.`]),
    ...(result.removed === 0 ? [] : [`Removed ${count(result.removed, 'record')} from ${result.topic}.`]),
  ].join('\n');
}

interface PurgeFlags extends JsonFlag {
  readonly partition?: number;
  readonly before?: number;
  readonly replayed?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

async function purge(topic: string, flags: PurgeFlags): Promise<void> {
  await withClient(flags, async (client) => {
    const { partition, before: beforeMs, replayed: replayedOnly } = flags;
    const dryRun = flags.dryRun === true || flags.yes !== true;
    const purged = await client.deadLetters().purge(topic, { partition, beforeMs, replayedOnly, dryRun });
    const total = purged.reduce((sum, { from, to }) => sum + to - from, 0);
    const what = `${count(total, 'record')} from ${topic}`;
    if (dryRun && flags.dryRun !== true && total > 0) {
      throw new BurrowError('INVALID_ARGUMENT', `This would remove ${what} for good. Say --yes to do it.`);
    }
    const rows = purged.map((each) => [each.partition, each.from, each.to]);
    const done = total === 0 ? 'Nothing to purge.' : `${dryRun ? 'Would remove' : 'Removed'} ${what}.`;
    const text = total === 0 ? done : `${formatTable(['PARTITION', 'START', 'NEW START'], rows)}\n${done}`;
    report(flags, text, { topic, records: total, dryRun, partitions: purged });
  });
}

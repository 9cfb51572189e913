/** `burrow consume`: prints records of a topic, up to the end that it had at the start, or on and on. */
import { type Command, Option } from 'commander';
import type { Assignment, Client, Consumer, ConsumerRecord } from '../../client/index.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { type ServerFlag, serverOption, wholeNumber, withClient } from './client-command.ts';
import { LineWriter } from './line-writer.ts';
import { formatRecord, OUTPUT_FORMATS, type OutputFormat } from './record-output.ts';
import { parseStartPosition } from './start-position.ts';

/** How often an idle reader looks whether it is done, or nobody reads its output any more. */
const POLL_TIMEOUT_MS = 250;

interface ConsumeFlags extends ServerFlag {
  readonly format: OutputFormat;
  readonly from: string;
  readonly partition?: readonly number[];
  readonly count?: number;
  readonly follow?: boolean;
}

export function addConsumeCommand(program: Command): void {
  program
    .command('consume')
    .description('Print the records of a topic, up to its present end')
    .argument('<topic>')
    .addOption(
      new Option(
        '--format <format>',
        'value: the bytes; json: an object a line; tsv: partition, offset, time, key, value, headers',
      )
        .choices(OUTPUT_FORMATS)
        .default('value'),
    )
    .option('--from <place>', 'earliest, latest, an offset, timestamp:MILLISECONDS, or a date', 'earliest')
    .option('--partition <number>', 'Only this partition; may be repeated', gatherPartitions)
    .option('--count <number>', 'Stop after this many records', wholeNumber(1))
    .option('-f, --follow', 'Wait for more at the end, until Ctrl-C')
    .addOption(serverOption())
    .action(consume);
}

function gatherPartitions(text: string, before: readonly number[] = []): readonly number[] {
  return [...before, wholeNumber(0)(text)];
}

async function consume(topic: string, flags: ConsumeFlags): Promise<void> {
  const from = toFrom(parseStartPosition(flags.from));
  const writer = new LineWriter(process.stdout);
  let interrupted = false;
  process.once('SIGINT', () => {
    interrupted = true;
  });
  await withClient(flags, async (client) => {
    const ends = await readEnds(client, topic, flags.partition);
    const consumer = client.consumer({ assignment: [...ends.keys()].map((partition) => ({ topic, partition, from })) });
    // Without --follow: partitions that have not reached the end that they had above.
    const unfinished = flags.follow ? undefined : new Map(ends);
    let left = flags.count ?? Number.POSITIVE_INFINITY;
    while (left > 0 && !interrupted && !writer.closed) {
      const records = await consumer.poll({ timeoutMs: POLL_TIMEOUT_MS, maxRecords: Math.min(left, POLL_RECORDS) });
      for (const record of records) {
        if (unfinished !== undefined && !isBefore(unfinished, record)) continue;
        writer.add(formatRecord[flags.format](record));
        left -= 1;
      }
      await writer.flush();
      if (unfinished !== undefined && (await allFinished(consumer, topic, unfinished))) break;
    }
    await consumer.close();
  });
}

const POLL_RECORDS = 5000;

function toFrom(start: ReturnType<typeof parseStartPosition>): NonNullable<Assignment['from']> {
  return typeof start === 'object' && 'timestamp' in start ? { timestampMs: start.timestamp } : start;
}

/** The present end of each partition that is asked for. */
async function readEnds(
  client: Client,
  topic: string,
  wanted: readonly number[] | undefined,
): Promise<Map<number, number>> {
  const status = await client.admin().partitionStatus(topic);
  const ends = new Map(status.map(({ partition, highWatermark }) => [partition, highWatermark]));
  if (wanted === undefined) return ends;
  return new Map(
    wanted.map((partition) => {
      const end = ends.get(partition);
      if (end !== undefined) return [partition, end];
      throw new BurrowError(
        'UNKNOWN_TOPIC_OR_PARTITION',
        `Topic "${topic}" has no partition ${partition}: its partitions are 0 to ${ends.size - 1}.`,
      );
    }),
  );
}

function isBefore(ends: ReadonlyMap<number, number>, { partition, offset }: ConsumerRecord): boolean {
  return offset < (ends.get(partition) ?? 0);
}

/**
 * Takes partitions off the map whose position has reached their end. The position tells, not the last record: the end
 * may follow offsets that hold no records any more (compaction) or none for users (transaction markers).
 */
async function allFinished(consumer: Consumer, topic: string, unfinished: Map<number, number>): Promise<boolean> {
  for (const [partition, end] of unfinished) {
    if ((await consumer.position(topic, partition)) >= end) unfinished.delete(partition);
  }
  return unfinished.size === 0;
}

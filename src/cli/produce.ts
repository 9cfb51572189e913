/** `burrow produce`: lines of files or of standard input become records. */
import fs from 'node:fs';
import path from 'node:path';
import { SingleBar } from 'cli-progress';
import { type Command, Option } from 'commander';
import type { Producer } from '../../client/index.ts';
import { parseBytes } from '../duration-and-size.ts';
import { BurrowError, toBurrowError } from '../errors/burrow-error.ts';
import { jsonOption, type ServerFlag, serverOption, wholeNumber, withClient } from './client-command.ts';
import { EXIT_INTERRUPTED } from './exit-codes.ts';
import { LineSplitter } from './line-splitter.ts';
import {
  type InputRecord,
  type LineReader,
  ndjsonLineReader,
  parseKeySource,
  plainLineReader,
} from './record-input.ts';
import { count, describeTotals } from './totals.ts';

const CHUNK_BYTES = 128 * 1024;
/** Chunks whose records await their acknowledgment, so that reading, sending and syncing overlap. */
const CHUNKS_IN_FLIGHT = 8;

interface ProduceFlags extends ServerFlag {
  readonly format: 'lines' | 'ndjson';
  readonly keyFrom?: string;
  readonly partition?: number;
  readonly compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';
  readonly acks: 'all' | '1' | '0';
  readonly lineBytesMax: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addProduceCommand(program: Command): void {
  program
    .command('produce')
    .description('Write each line of the files, or of standard input, as a record')
    .argument('<topic>')
    .argument('[files...]', 'files to read; - is standard input (the default)')
    .addOption(
      new Option(
        '--format <format>',
        'lines: a line is a value; ndjson: a line is {"key", "value", "headers", "partition", "timestamp"}',
      )
        .choices(['lines', 'ndjson'])
        .default('lines'),
    )
    .option('--key-from <source>', 'Key of a line: file-name, field:NAME of its JSON, or separator:TEXT after it')
    .option('--partition <number>', 'Write to this partition (default: by key, or spread)', wholeNumber(0))
    .addOption(
      new Option('--compression <codec>', 'Compression of batches')
        .choices(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
        .default('none'),
    )
    .addOption(
      new Option('--acks <acks>', 'Who must have stored a record: all in-sync replicas, the leader (1), nobody (0)')
        .choices(['all', '1', '0'])
        .default('all'),
    )
    .option('--line-bytes-max <size>', 'Refuse longer lines', '1MiB')
    .option('-q, --quiet', 'Print no progress and no totals')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(produce);
}

async function produce(topic: string, files: readonly string[], flags: ProduceFlags): Promise<void> {
  const inputs = openInputs(files.length === 0 ? ['-'] : files);
  const keySource = parseKeySource(flags.keyFrom);
  if (flags.format === 'ndjson' && keySource.kind !== 'none') {
    throw new BurrowError('INVALID_ARGUMENT', '--key-from is for --format lines; NDJSON has its own "key".');
  }
  const lineBytesMax = parseBytes(flags.lineBytesMax, '--line-bytes-max');
  const run = await withClient(flags, async (client) => {
    const acks = flags.acks === 'all' ? 'all' : flags.acks === '1' ? 1 : 0;
    const producer = client.producer({ compression: flags.compression, acks });
    const { partition } = flags;
    const running = new ProduceRun({ topic, partition, producer, progress: startProgress(inputs, flags) });
    const onInterrupt = (): void => running.interrupt();
    process.once('SIGINT', onInterrupt);
    try {
      for (const input of inputs) {
        const reader = flags.format === 'ndjson' ? ndjsonLineReader(input) : plainLineReader(keySource, input);
        await running.sendInput(input, reader, lineBytesMax);
      }
    } catch (error) {
      running.fail(toBurrowError(error));
    }
    await running.finish();
    process.removeListener('SIGINT', onInterrupt);
    return running;
  });
  if (flags.json) process.stdout.write(`${JSON.stringify({ topic, ...run.totals })}\n`);
  else if (!flags.quiet) process.stderr.write(`${describeTotals(run.totals)}\n`);
  if (run.interrupted) process.exitCode = EXIT_INTERRUPTED;
}

interface Input {
  /** As the user wrote it, for messages. */
  readonly label: string;
  /** Its last part, which --key-from file-name takes. */
  readonly fileName: string;
  readonly bytes: number;
  readonly open: () => AsyncIterable<Buffer>;
}

/** All files are checked before the first record is sent. */
function openInputs(names: readonly string[]): Input[] {
  return names.map((name) => {
    if (name === '-') return { label: 'standard input', fileName: 'stdin', bytes: 0, open: () => process.stdin };
    try {
      fs.accessSync(name, fs.constants.R_OK);
      const stat = fs.statSync(name);
      if (stat.isDirectory()) throw new Error('it is a folder');
      return {
        label: name,
        fileName: path.basename(name),
        bytes: stat.size,
        open: () => fs.createReadStream(name, { highWaterMark: CHUNK_BYTES }),
      };
    } catch (cause) {
      throw new BurrowError('INVALID_ARGUMENT', `File ${name} cannot be read: ${(cause as Error).message}.`, { cause });
    }
  });
}

function startProgress(inputs: readonly Input[], flags: ProduceFlags): SingleBar | undefined {
  const total = inputs.reduce((bytes, input) => bytes + input.bytes, 0);
  if (total === 0 || flags.quiet || flags.json || process.stderr.isTTY !== true) return undefined;
  const bar = new SingleBar({
    format: '{bar} {percentage}% | {records} records | {eta_formatted} left',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  });
  bar.start(total, 0, { records: 0 });
  return bar;
}

interface RunOptions {
  readonly topic: string;
  readonly partition: number | undefined;
  readonly producer: Producer;
  readonly progress: SingleBar | undefined;
}

/** One run of the command: what was read, what is under way, what was acknowledged. */
class ProduceRun {
  interrupted = false;
  readonly #options: RunOptions;
  readonly #startedMs = performance.now();
  /** Acknowledgments of chunks in the order sent. */
  #inFlight: Promise<void>[] = [];
  #failure: BurrowError | undefined;
  #records = 0;
  #bytes = 0;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  /** What was acknowledged. */
  get totals(): { records: number; bytes: number; seconds: number } {
    return { records: this.#records, bytes: this.#bytes, seconds: (performance.now() - this.#startedMs) / 1000 };
  }

  /** Stops reading; what was read is still sent. */
  interrupt(): void {
    this.interrupted = true;
    // A pending read of standard input would otherwise wait for the next line.
    process.stdin.destroy();
  }

  /** Whatever else goes wrong is a consequence of the first failure. */
  fail(error: BurrowError): void {
    this.#failure ??= error;
  }

  async sendInput(input: Input, reader: LineReader, lineBytesMax: number): Promise<void> {
    if (this.interrupted) return;
    const splitter = new LineSplitter({ source: input.label, lineBytesMax });
    let lineNumber = 0;
    const sendLines = async (lines: readonly Uint8Array[], bytesRead: number): Promise<void> => {
      const records: InputRecord[] = [];
      try {
        for (const line of lines) records.push(reader(line, ++lineNumber));
      } finally {
        // A line that is no record must not keep back those before it.
        await this.#send(records, bytesRead);
      }
    };
    try {
      for await (const chunk of input.open()) {
        await sendLines(splitter.push(chunk), chunk.length);
        if (this.interrupted) break;
      }
    } catch (error) {
      // Destroying standard input ends its iteration with an error of the stream's own.
      if (!this.interrupted) throw error;
    }
    const last = splitter.end();
    if (last !== undefined) await sendLines([last], 0);
  }

  /** Per chunk. */
  async #send(records: readonly InputRecord[], bytesRead: number): Promise<void> {
    if (records.length > 0) {
      const { topic, partition, producer } = this.#options;
      const batch = records.map((record) => ({ topic, ...record, partition: record.partition ?? partition }));
      this.#inFlight.push(this.#track(producer.sendMany(batch), records));
    }
    if (this.#inFlight.length >= CHUNKS_IN_FLIGHT) await this.#inFlight.shift();
    if (this.#failure) throw this.#failure;
    this.#options.progress?.increment(bytesRead, { records: this.#records.toLocaleString('en') });
  }

  async #track(sending: Promise<unknown>, records: readonly InputRecord[]): Promise<void> {
    try {
      await sending;
      this.#records += records.length;
      for (const { key, value } of records) this.#bytes += (key?.length ?? 0) + (value?.length ?? 0);
    } catch (error) {
      this.fail(toBurrowError(error));
    }
  }

  /** Waits for what is under way; rejects with the first failure, and how far it got. */
  async finish(): Promise<void> {
    await Promise.all(this.#inFlight);
    this.#options.progress?.stop();
    const error = this.#failure;
    if (error === undefined) return;
    const done = `${count(this.#records, 'record')} had been acknowledged`;
    throw new BurrowError(error.code, `${error.message} (${done})`, { cause: error, fields: error.fields });
  }
}

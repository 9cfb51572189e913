/** Files through the command line into a topic and back. */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runCommand, startBrokerProcess, startCommand, temporaryFolder } from '../support/cli.ts';

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function burrow(url: string, words: readonly string[], input?: string | Uint8Array): Promise<Buffer> {
  const options = input === undefined ? {} : { input };
  const { code, stdout, stderr } = await runCommand([...words, '--server', url], options);
  expect(code, stderr).toBe(0);
  return stdout;
}

interface PrintedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: string | null;
  readonly value?: string | null;
  readonly valueBase64?: string;
  readonly headers: ReadonlyArray<readonly [string, unknown]>;
}

function parseLines(output: Buffer): PrintedRecord[] {
  const lines = output.toString().split('\n');
  expect(lines.pop()).toBe('');
  return lines.map((line) => JSON.parse(line) as PrintedRecord);
}

function valueBytes(record: PrintedRecord): Buffer {
  return record.valueBase64 === undefined ? Buffer.from(record.value ?? '') : Buffer.from(record.valueBase64, 'base64');
}

/** Files that tempt a reader of lines to change something. */
function writeFiles(): string[] {
  const folder = temporaryFolder();
  const numbered = Array.from({ length: 20_000 }, (_, index) => `line ${index} ${'x'.repeat(index % 200)}`);
  const contents: Record<string, string | Buffer> = {
    'numbered.log': `${numbered.join('\n')}\n`,
    'windows.log': 'first\r\nsecond\r\n\r\nlast\r\n',
    'unfinished.log': 'a\n\n\nno line end here',
    'binary.log': Buffer.from(randomBytes(200_000)),
  };
  return Object.entries(contents).map(([name, bytes]) => {
    fs.writeFileSync(path.join(folder, name), bytes);
    return path.join(folder, name);
  });
}

/** Real logs where the workplace has them, else the texts that the project carries. */
function realFiles(): string[] {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const data = path.resolve(root, '../shared/data');
  const logs = fs.existsSync(data) ? fs.readdirSync(data).filter((name) => name.endsWith('.log')) : [];
  if (logs.length >= 4) return logs.map((name) => path.join(data, name));
  return ['README.md', 'ARCHITECTURE.md', 'LICENSE', 'docs/protocol.md'].map((name) => path.join(root, name));
}

/** Produces files as lines keyed by file name into a topic of 4 partitions, and compares what each key consumes back. */
async function expectFilesBack(files: readonly string[], compression: string): Promise<void> {
  const { url } = await startBrokerProcess();
  const words = ['--key-from', 'file-name', '--compression', compression, '--quiet'];
  await burrow(url, ['topic', 'create', 'logs', '--partitions', '4']);
  await burrow(url, ['produce', 'logs', ...words, ...files]);
  const records = parseLines(await burrow(url, ['consume', 'logs', '--format', 'json']));
  const partitions = new Map<string, Set<number>>();
  for (const file of files) {
    const name = path.basename(file);
    const own = records.filter(({ key }) => key === name);
    partitions.set(name, new Set(own.map(({ partition }) => partition)));
    const original = fs.readFileSync(file);
    const lines = own.flatMap((record) => [valueBytes(record), Buffer.from('\n')]);
    const whole = Buffer.concat(lines);
    // A last line without LF is a record like any other; the files that have none get it back without.
    const ended = original.at(-1) === 0x0a ? whole : whole.subarray(0, -1);
    expect(sha256(ended), name).toBe(sha256(original));
  }
  for (const [name, where] of partitions) expect(where.size, name).toBe(1);
}

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
  'four files keyed by name come back byte for byte and in order, compressed with %s',
  (compression) => expectFilesBack(writeFiles(), compression),
  60_000,
);

test(
  'real logs keyed by name come back byte for byte and in order',
  () => expectFilesBack(realFiles(), 'zstd'),
  60_000,
);

test('value output of one partition is the file itself', async () => {
  const { url } = await startBrokerProcess();
  const file = writeFiles()[0]!;
  await burrow(url, ['topic', 'create', 't']);
  const { stdout, stderr } = await runCommand(['produce', 't', file, '--server', url]);
  expect(stdout.toString()).toBe('');
  expect(stderr).toMatch(/^20,000 records, .* in .* s: [\d,]+ records\/s, .*\/s\n$/);
  expect(sha256(await burrow(url, ['consume', 't']))).toBe(sha256(fs.readFileSync(file)));
});

test('NDJSON keeps keys, headers, tombstones, timestamps and partitions, and a topic can be copied through it', async () => {
  const { url } = await startBrokerProcess();
  await burrow(url, ['topic', 'create', 'a', '--partitions', '3']);
  await burrow(url, ['topic', 'create', 'b', '--partitions', '3']);
  const lines = [
    {
      key: 'k',
      value: 'v',
      headers: [
        ['h', 'é'],
        ['h', null],
        ['b', { base64: '/wA=' }],
      ],
      partition: 2,
      timestamp: 1000,
    },
    { key: null, value: '', partition: 0, timestamp: 2000 },
    { key: '', value: null, partition: 1, timestamp: 3000 },
    { keyBase64: '/w==', valueBase64: 'AP8=', partition: 2, timestamp: 4000 },
  ];
  await burrow(url, ['produce', 'a', '--format', 'ndjson', '-q'], lines.map((line) => JSON.stringify(line)).join('\n'));
  const first = await burrow(url, ['consume', 'a', '--format', 'json']);
  expect(parseLines(first)).toHaveLength(4);
  expect(parseLines(first).find(({ key }) => key === 'k')).toMatchObject({ ...lines[0], offset: 0 });
  await burrow(url, ['produce', 'b', '--format', 'ndjson', '-q'], first);
  const sorted = (output: Buffer): unknown[] =>
    parseLines(output)
      .map((record) => ({ ...record, topic: '' }))
      .sort((one, other) => one.partition - other.partition || one.offset - other.offset);
  expect(sorted(await burrow(url, ['consume', 'b', '--format', 'json']))).toEqual(sorted(first));
});

test('--from, --count and --partition choose what is read', async () => {
  const { url } = await startBrokerProcess();
  await burrow(url, ['topic', 'create', 't', '--partitions', '2']);
  const lines = Array.from({ length: 10 }, (_, index) =>
    JSON.stringify({ value: String(index), partition: 1, timestamp: Date.UTC(2026, 0, 1 + index) }),
  );
  await burrow(url, ['produce', 't', '--format', 'ndjson', '-q'], lines.join('\n'));
  const read = async (...words: string[]): Promise<string> =>
    (await burrow(url, ['consume', 't', ...words])).toString().trim().split('\n').join(' ');
  expect(await read('--count', '3')).toBe('0 1 2');
  expect(await read('--from', '8', '--partition', '1')).toBe('8 9');
  expect(await read('--from', '2026-01-09')).toBe('8 9');
  expect(await read('--from', `timestamp:${Date.UTC(2026, 0, 10)}`)).toBe('9');
  expect(await read('--from', 'latest')).toBe('');
  expect(await read('--partition', '0')).toBe('');
  const missing = await runCommand(['consume', 't', '--partition', '2', '--server', url]);
  expect([missing.code, missing.stderr]).toEqual([
    4,
    expect.stringContaining('has no partition 2: its partitions are 0 to 1.'),
  ]);
});

test('--follow waits for more and ends quietly at Ctrl-C', async () => {
  const { url } = await startBrokerProcess();
  await burrow(url, ['produce', 't', '-q'], 'before\n');
  const following = startCommand(['consume', 't', '--follow', '--server', url]);
  await following.printed(/^before$/);
  await burrow(url, ['produce', 't', '-q'], 'after\n');
  await following.printed(/^after$/);
  following.child.kill('SIGINT');
  expect(await following.finished).toMatchObject({ code: 0, stderr: '' });
});

test('a reader that goes away ends consume quietly', async () => {
  const { url } = await startBrokerProcess();
  await burrow(url, ['produce', 't', '-q'], `${'x'.repeat(99)}\n`.repeat(50_000));
  const running = startCommand(['consume', 't', '--server', url]);
  running.child.stdout!.once('data', () => running.child.stdout!.destroy());
  expect(await running.finished).toMatchObject({ code: 0, stderr: '' });
});

test('standard input is sent as it comes, and Ctrl-C ends it after what was read', async () => {
  const { url } = await startBrokerProcess();
  await burrow(url, ['topic', 'create', 't']);
  const producing = startCommand(['produce', 't', '--server', url]);
  producing.child.stdin!.write('typed\n');
  const following = startCommand(['consume', 't', '--follow', '--server', url]);
  await following.printed(/^typed$/);
  producing.child.kill('SIGINT');
  const { code, stderr } = await producing.finished;
  expect([code, stderr]).toEqual([130, expect.stringMatching(/^1 record, 5 B /)]);
});

test('a line that cannot be a record stops with its place and how far it got', async () => {
  const { url } = await startBrokerProcess();
  await burrow(url, ['topic', 'create', 't']);
  const { code, stderr } = await runCommand(['produce', 't', '--format', 'ndjson', '--server', url], {
    input: '{"value":"ok"}\n{"valeu":"x"}\n',
  });
  expect((await burrow(url, ['consume', 't'])).toString()).toBe('ok\n');
  expect([code, stderr]).toEqual([
    2,
    'burrow: Unknown field "valeu" in line 2 of standard input. Did you mean "value"? (1 record had been acknowledged) [INVALID_ARGUMENT]\n',
  ]);
});

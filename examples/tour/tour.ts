/**
 * A tour in a few seconds (`npm run demo`): starts a broker on free ports and a temporary folder, writes the text files
 * that this project carries into a topic of four partitions, line by line and keyed by file, stops and restarts the broker, reads
 * everything back, and compares the SHA-256 of each file. Leaves nothing behind.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Broker, startBroker } from '../../broker/index.ts';
import { connect } from '../../client/index.ts';

const TOPIC = 'library';
const PARTITIONS = 4;

interface TextFile {
  readonly name: string;
  readonly lines: readonly Buffer[];
}

/** Markdown, LICENSE and lock: the text that every checkout and every installed package has at hand. */
function readTexts(): TextFile[] {
  // Two folders up from the source, three from dist/.
  const here = path.dirname(fileURLToPath(import.meta.url));
  const root = [path.join(here, '../..'), path.join(here, '../../..')].find((folder) =>
    fs.existsSync(path.join(folder, 'package.json')),
  );
  if (root === undefined) throw new Error('the project’s own files are not where the tour expects them');
  const names = fs
    .readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/(?:^|[/\\])(?:node_modules|dist|\.git|test|bench)(?:[/\\]|$)/.test(name))
    .filter((name) => /\.md$|^LICENSE$/.test(name))
    .sort();
  return names.map((name) => ({ name, lines: splitLines(fs.readFileSync(path.join(root, name))) }));
}

/** The bytes between line ends. */
function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf('\n'); end !== -1; end = bytes.indexOf('\n', start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  if (start < bytes.length) lines.push(bytes.subarray(start));
  return lines;
}

function sha256(lines: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const line of lines) hash.update(line).update('\n');
  return hash.digest('hex');
}

let step = 0;
function tell(text: string): void {
  step += 1;
  process.stdout.write(`${step}. ${text}\n`);
}

function milliseconds(since: number): string {
  return `${Math.round(performance.now() - since)} ms`;
}

async function start(folder: string): Promise<Broker> {
  const began = performance.now();
  const broker = await startBroker({ storage: folder });
  tell(
    `Started a broker in ${milliseconds(began)}: native port ${broker.ports.native}, Kafka port ${broker.ports.kafka}`,
  );
  return broker;
}

async function produceAll(broker: Broker, texts: readonly TextFile[]): Promise<void> {
  const client = await connect(`ws://127.0.0.1:${broker.ports.native}`);
  try {
    await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
    tell(`Created the topic "${TOPIC}" with ${PARTITIONS} partitions`);
    const producer = client.producer({ compression: 'lz4' });
    const began = performance.now();
    let total = 0;
    for (const { name, lines } of texts) {
      const key = Buffer.from(name);
      await producer.sendMany(lines.map((value) => ({ topic: TOPIC, key, value })));
      total += lines.length;
    }
    tell(
      `Produced ${total} lines of ${texts.length} files in ${milliseconds(began)}; each was acknowledged once it was synced to disk`,
    );
  } finally {
    await client.close();
  }
}

async function consumeAll(broker: Broker, total: number): Promise<Map<string, Uint8Array[]>> {
  const client = await connect(`ws://127.0.0.1:${broker.ports.native}`);
  try {
    const consumer = client.consumer({ assignment: [{ topic: TOPIC }], from: 'earliest' });
    const linesByFile = new Map<string, Uint8Array[]>();
    const began = performance.now();
    let read = 0;
    while (read < total) {
      for (const { key, value } of await consumer.poll()) {
        const name = Buffer.from(key ?? []).toString();
        const lines = linesByFile.get(name) ?? [];
        lines.push(value ?? new Uint8Array(0));
        linesByFile.set(name, lines);
        read += 1;
      }
      if (performance.now() - began > 10_000) throw new Error(`only ${read} of ${total} lines came back in 10 s`);
    }
    tell(`Consumed ${read} lines in ${milliseconds(began)}`);
    return linesByFile;
  } finally {
    await client.close();
  }
}

/** The same through the Kafka protocol, if kcat is installed; undefined if not. */
async function readWithKcat(broker: Broker): Promise<Map<string, Uint8Array[]> | undefined> {
  const words = ['-b', `127.0.0.1:${broker.ports.kafka}`, '-t', TOPIC, '-C', '-e', '-q', '-f', '%k\\t%s\\n'];
  const child = spawn('kcat', words, { stdio: ['ignore', 'pipe', 'ignore'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const code = await new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(null));
    child.on('close', resolve);
  });
  if (code !== 0) return undefined;
  const linesByFile = new Map<string, Uint8Array[]>();
  for (const line of splitLines(Buffer.concat(chunks))) {
    const tab = line.indexOf('\t');
    const name = line.subarray(0, tab).toString();
    const lines = linesByFile.get(name) ?? [];
    lines.push(line.subarray(tab + 1));
    linesByFile.set(name, lines);
  }
  return linesByFile;
}

function compare(texts: readonly TextFile[], linesByFile: ReadonlyMap<string, readonly Uint8Array[]>): void {
  for (const { name, lines } of texts) {
    const found = linesByFile.get(name) ?? [];
    if (sha256(found) === sha256(lines)) continue;
    throw new Error(`${name} came back different: ${found.length} of ${lines.length} lines`);
  }
}

async function tour(folder: string): Promise<void> {
  const texts = readTexts().filter(({ lines }) => lines.length > 0);
  const total = texts.reduce((sum, { lines }) => sum + lines.length, 0);
  let broker = await start(folder);
  try {
    await produceAll(broker, texts);
    await broker.close();
    tell('Stopped the broker; only its data folder is left');
    broker = await start(folder);
    compare(texts, await consumeAll(broker, total));
    tell(`Compared: the SHA-256 of all ${texts.length} files is the same, every line in its order`);
    const throughKafka = await readWithKcat(broker);
    if (throughKafka === undefined) {
      tell('No kcat here, so the same data was not read through the Kafka protocol (apt-get install kcat)');
    } else {
      compare(texts, throughKafka);
      tell('Read the same through the Kafka protocol with kcat: equal again');
    }
  } finally {
    await broker.close();
  }
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-tour-'));
// The folder goes whatever happens, Ctrl-C included.
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));
try {
  const began = performance.now();
  process.stdout.write('BurrowMQ, a short tour.\n\n');
  await tour(folder);
  process.stdout.write(
    `\nDone in ${((performance.now() - began) / 1000).toFixed(1)} s; nothing is left behind. Next: npm start\n`,
  );
} catch (error) {
  process.stderr.write(`burrow: the tour failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

/**
 * Rounds of kill -9 of a real broker under load, on one data folder: the broker dies at a random moment, starts again by
 * itself, and at the end every acknowledged record must be in the log exactly once, at the offset it was acknowledged
 * with, each producer's in the order in which it sent them. What was not acknowledged may be there once or not at all.
 *
 * `node dist/test/crash/kill-rounds.js <rounds> <seed>` runs it alone and prints one line of JSON.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { BrokerProcess } from '../../bench/support/broker-process.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { type Client, connect } from '../../client/index.ts';

export interface KillRoundsOptions {
  readonly rounds: number;
  readonly seed: number;
  /** Tampers with the data folder while the broker is down, to show that the checker notices. */
  readonly sabotage?: (dataDir: string) => void;
}

export interface KillRoundsResult {
  readonly seed: number;
  readonly rounds: number;
  readonly acknowledged: number;
  readonly stored: number;
  readonly restartMsMedian: number;
  readonly restartMsMax: number;
}

const TOPIC = 'ledger';
const PARTITIONS = 4;
const PRODUCERS = 4;
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

/** What one producer sent, by its running number. */
interface Sent {
  readonly partition: number;
  /** Undefined until acknowledged. */
  offset: number | undefined;
}

export async function runKillRounds({ rounds, seed, sabotage }: KillRoundsOptions): Promise<KillRoundsResult> {
  const random = new SeededRandom(seed);
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-kill-'));
  const flags = [
    '--journal-bytes',
    '4MiB',
    '--segment-bytes',
    '1MiB',
    '--max-message-bytes',
    '200KiB',
    '--log-level',
    'warn',
  ];
  const restarts: number[] = [];
  let port = 0;
  const start = async (): Promise<BrokerProcess> => {
    const startedMs = performance.now();
    const broker = await BrokerProcess.start({ dataDir, port, flags });
    restarts.push(performance.now() - startedMs);
    port = Number(new URL(broker.nativeUrl).port);
    return broker;
  };
  let broker = await start();
  const client = await connect(broker.nativeUrl, { reconnectBackoff: { initialMs: 20, maxMs: 200 } });
  try {
    await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS });
    const load = new Load(client, random.fork('load'));
    for (let round = 0; round < rounds; round++) {
      await pause(random.between(20, 400));
      await broker.kill();
      if (random.chance(0.2)) {
        // Killed again while it is starting.
        const killedEarly = BrokerProcess.start({ dataDir, port, flags }).catch(() => undefined);
        await pause(random.between(0, 250));
        BrokerProcess.killAllStarting();
        await (await killedEarly)?.kill();
      }
      broker = await start();
    }
    await load.stop();
    await broker.kill();
    sabotage?.(dataDir);
    broker = await start();
    const stored = await check(broker, load.sent);
    restarts.sort((a, b) => a - b);
    return {
      seed,
      rounds,
      acknowledged: load.acknowledged,
      stored,
      restartMsMedian: Math.round(restarts[restarts.length >> 1]!),
      restartMsMax: Math.round(restarts.at(-1)!),
    };
  } finally {
    await client.close({ timeoutMs: 0 });
    await broker.kill();
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Producers that send without pause and survive the deaths of the broker. */
class Load {
  readonly sent: Sent[][] = [];
  acknowledged = 0;
  #stopped: boolean = false;
  readonly #lanes: Promise<void>[];

  constructor(client: Client, random: SeededRandom) {
    this.#lanes = Array.from({ length: PRODUCERS }, (_, index) =>
      this.#produce(client, index, random.fork(`${index}`)),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
  }

  async #produce(client: Client, index: number, random: SeededRandom): Promise<void> {
    const producer = client.producer({
      compression: CODECS[index % CODECS.length]!,
      batchBytes: random.pick([2048, 16_384, 65_536]),
      lingerMs: random.pick([0, 2]),
      bufferBytes: 256 * 1024,
    });
    const mine: Sent[] = [];
    this.sent.push(mine);
    const pending = new Set<Promise<void>>();
    while (!this.#stopped) {
      for (let i = random.between(1, 40); i > 0; i--) {
        const partition = random.below(PARTITIONS);
        const entry: Sent = { partition, offset: undefined };
        const value = `${index}:${mine.length}:${'.'.repeat(random.pick([0, 50, 800]))}`;
        mine.push(entry);
        const sending = producer.send({ topic: TOPIC, partition, value: Buffer.from(value) }).then(
          ({ offset }) => {
            entry.offset = offset;
            this.acknowledged++;
            pending.delete(sending);
          },
          () => {
            pending.delete(sending);
          },
        );
        pending.add(sending);
      }
      if (pending.size > 400) await Promise.race(pending);
      await pause(random.between(0, 4));
    }
    await Promise.all(pending);
    await producer.close();
  }
}

/** Reads everything and compares. Returns how many records are stored; throws where a promise is broken. */
async function check(broker: BrokerProcess, sent: readonly Sent[][]): Promise<number> {
  const client = await connect(broker.nativeUrl);
  try {
    const seen = sent.map((entries) => new Uint8Array(entries.length));
    let stored = 0;
    for (const { partition, highWatermark } of await client.admin().partitionStatus(TOPIC)) {
      const lastNumbers = new Array<number>(sent.length).fill(-1);
      const consumer = client.consumer({ assignment: [{ topic: TOPIC, partition }], from: 'earliest' });
      let next = 0;
      while (next < highWatermark) {
        for (const record of await consumer.poll({ timeoutMs: 10_000 })) {
          if (record.offset !== next)
            throw new Error(`partition ${partition}: offset ${record.offset} follows ${next - 1}`);
          next++;
          stored++;
          const [producerText, numberText] = Buffer.from(record.valueBytes!).toString().split(':');
          const producer = Number(producerText);
          const number = Number(numberText);
          const entry = sent[producer]?.[number];
          const where = `record ${number} of producer ${producer} at offset ${record.offset} of partition ${partition}`;
          if (entry === undefined || entry.partition !== partition) throw new Error(`${where} was never sent there`);
          if (seen[producer]![number]!++ > 0) throw new Error(`${where} is there twice`);
          if (number <= lastNumbers[producer]!)
            throw new Error(`${where} stands behind record ${lastNumbers[producer]}`);
          if (entry.offset !== undefined && entry.offset !== record.offset) {
            throw new Error(`${where} was acknowledged at offset ${entry.offset}`);
          }
          lastNumbers[producer] = number;
        }
      }
      await consumer.close();
    }
    sent.forEach((entries, producer) => {
      entries.forEach(({ offset, partition }, number) => {
        if (offset !== undefined && seen[producer]![number] === 0) {
          throw new Error(`record ${number} of producer ${producer}, acknowledged at ${partition}/${offset}, is lost`);
        }
      });
    });
    return stored;
  } finally {
    await client.close();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [rounds = '200', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
  process.stdout.write(`${JSON.stringify(await runKillRounds({ rounds: Number(rounds), seed: Number(seed) }))}\n`);
}

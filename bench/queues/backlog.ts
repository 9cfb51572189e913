/**
 * A long queue through the life of its broker: filled, stopped, killed, drained, killed in the middle of that. How fast, how soon after
 * a start, in how much memory; and that no message is lost on the way.
 */
import { type Client, connect, type Queue, type QueueMessage } from '../../client/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { median, say, thousands } from '../support/figures.ts';
import { withDataDir } from '../support/with-broker.ts';
import { consumeAll, publishAll } from './load.ts';
import { bodyWith, numberIn, type QueuesBenchmarkOptions } from './options.ts';

const LONG = 'long';
const SHORT = 'short';
const READY_AIM_MS = 10_000;
const MEMORY_AIM_MIB = 600;
/** Of the rate of a short queue. */
const DRAIN_AIM_PERCENT = 70;
const MIB = 2 ** 20;

/** One broker process from its start to its end. */
interface Life {
  /** How the one before ended. */
  readonly after: string;
  /** From the start of the process until it is ready. */
  readonly readyMs: number;
  /** Resident memory when it was ready, and at its highest. */
  readonly readyMib: number;
  peakMib: number;
}

class LongQueue {
  readonly lives: Life[] = [];
  readonly #dataDir: string;
  #broker!: BrokerProcess;
  #client!: Client;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  get client(): Client {
    return this.#client;
  }

  /** @param after - how the broker ended before */
  async start(after: string): Promise<void> {
    const startMs = performance.now();
    this.#broker = await BrokerProcess.start({ dataDir: this.#dataDir, flags: ['--log-level', 'warn'] });
    const readyMs = performance.now() - startMs;
    this.lives.push({ after, readyMs, readyMib: this.#memoryMib('residentBytes'), peakMib: 0 });
    say(`after ${after}: ready after ${thousands(readyMs)} ms`);
    this.#client = await connect(this.#broker.nativeUrl);
  }

  async end(how: 'stop' | 'kill'): Promise<void> {
    this.lives.at(-1)!.peakMib = this.#memoryMib('peakBytes');
    if (how === 'stop') await this.#client.close();
    await this.#broker[how]();
    if (how === 'kill') await this.#client.close({ timeoutMs: 0 });
  }

  /** For when something went wrong. */
  async abandon(): Promise<void> {
    await this.#broker.kill();
    await this.#client.close({ timeoutMs: 0 });
  }

  #memoryMib(which: 'residentBytes' | 'peakBytes'): number {
    return Math.round((this.#broker.memory()?.[which] ?? Number.NaN) / MIB);
  }
}

export async function measureBacklog(options: QueuesBenchmarkOptions) {
  const { lives, found } = await withDataDir(async (dataDir) => {
    const long = new LongQueue(dataDir);
    await long.start('nothing');
    try {
      return { lives: long.lives, found: await measure(long, options) };
    } finally {
      await long.abandon();
    }
  });
  const { fillPerSecond, drained, short, again } = found;
  const lines = [
    '## Backlog',
    '',
    `${thousands(options.backlogMessages)} messages in one durable queue, one client process. ${thousands(again)} messages were delivered again after the kill, none was lost.`,
    '',
    '| broker after | ready after | memory when ready | highest memory |',
    '|---|---:|---:|---:|',
    ...lives.map(({ after, readyMs, readyMib, peakMib }) => {
      return `| ${after} | ${thousands(readyMs)} ms | ${thousands(readyMib)} MiB | ${thousands(peakMib)} MiB |`;
    }),
    '',
    `Aims: ready within ${thousands(READY_AIM_MS)} ms, memory below ${MEMORY_AIM_MIB} MiB.`,
    '',
    `Filled with ${thousands(fillPerSecond)} messages/s.`,
    '',
    '| | drained and acknowledged, messages/s | a short queue by the same process, messages/s | of that | aim |',
    '|---|---:|---:|---:|---:|',
    ...['first half', 'rest, after kill -9'].map((name, index) => {
      const percent = Math.round((drained[index]! / short[index]!) * 100);
      return `| ${name} | ${thousands(drained[index]!)} | ${thousands(short[index]!)} | ${percent} % | ${DRAIN_AIM_PERCENT} % |`;
    }),
    '',
  ];
  return { lines, data: { backlog: { lives, ...found } } };
}

interface Found {
  readonly fillPerSecond: number;
  /** Messages a second: of the long queue, and of short ones in the same lives of the broker. */
  readonly drained: readonly number[];
  readonly short: readonly number[];
  /** Delivered once more, because their acknowledgment was lost with a broker. */
  readonly again: number;
}

async function measure(long: LongQueue, options: QueuesBenchmarkOptions): Promise<Found> {
  const { backlogMessages: count, prefetch } = options;
  await long.client.queue(LONG).declare();
  await long.client.queue(SHORT).declare();
  const fillPerSecond = await fill(long.client.queue(LONG), count, options);
  say(`filled: ${thousands(fillPerSecond)} messages/s`);
  await long.end('stop');
  await long.start('SIGTERM');
  await expectMessages(long.client, count);
  await long.end('kill');
  await long.start('kill -9');
  await expectMessages(long.client, count);

  const deliveries = new Deliveries(count);
  const drain = (messages: number) =>
    consumeAll([long.client.queue(LONG)], { messages, prefetch, onMessage: deliveries.note });
  const short = [await drainShort(long.client, options)];
  const drained = [await drain(count >> 1)];
  say(`drained half: ${thousands(drained[0]!)} messages/s; a short queue ${thousands(short[0]!)}`);
  await drainSome(long.client.queue(LONG), count >> 2, prefetch, deliveries);
  await long.end('kill');
  await long.start('kill -9 in the middle of draining');
  const left = (await long.client.queue(LONG).check()).messageCount;
  short.push(await drainShort(long.client, options));
  drained.push(await drain(left));
  say(`drained the rest: ${thousands(drained[1]!)} messages/s; a short queue ${thousands(short[1]!)}`);
  await expectMessages(long.client, 0);
  await long.end('stop');
  if (deliveries.missing > 0) throw new Error(`${deliveries.missing} messages were never delivered`);
  return { fillPerSecond, drained, short, again: deliveries.again };
}

function fill(queue: Queue, count: number, options: QueuesBenchmarkOptions): Promise<number> {
  const { confirmsOutstanding, bodyBytes } = options;
  return publishAll(count, confirmsOutstanding, (number) =>
    queue.publish(bodyWith(number, bodyBytes), { persistent: true }),
  );
}

/** The rate at which a queue is drained that was filled just before; the median of several times. */
async function drainShort(client: Client, options: QueuesBenchmarkOptions): Promise<number> {
  const { messages, rounds, prefetch } = options;
  const queue = client.queue(SHORT);
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await fill(queue, messages, options);
    rates.push(await consumeAll([queue], { messages, prefetch }));
  }
  return median(rates);
}

/** Resolves while more deliveries and acknowledgments are under way. */
function drainSome(queue: Queue, messages: number, prefetch: number, deliveries: Deliveries): Promise<void> {
  return new Promise((resolve, reject) => {
    let count = 0;
    const handler = (message: QueueMessage): void => {
      deliveries.note(message);
      if (++count === messages) resolve();
    };
    queue.consume(handler, { prefetch }).catch(reject);
  });
}

async function expectMessages(client: Client, count: number): Promise<void> {
  const { messageCount } = await client.queue(LONG).check();
  if (messageCount !== count) throw new Error(`the queue has ${messageCount} messages instead of ${count}`);
}

/** Which messages came. */
class Deliveries {
  readonly #seen: Uint8Array;
  #different = 0;
  again = 0;

  constructor(count: number) {
    this.#seen = new Uint8Array(count);
  }

  get missing(): number {
    return this.#seen.length - this.#different;
  }

  readonly note = ({ body }: QueueMessage): void => {
    const number = numberIn(body);
    if (this.#seen[number] === 0) this.#different++;
    else this.again++;
    this.#seen[number] = 1;
  };
}

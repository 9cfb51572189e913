/**
 * A queue with message groups in a real broker that is killed, and consumers of the SDK that come, go, lose their connections, give back,
 * reject and get stuck, at random, while messages are published. `key-order-ledger.ts` judges what they see: of each key one message
 * in process at most, their order, and every message; what was flushed never comes again; what was rejected is a dead letter. In the
 * end one consumer holds what it has: all other keys must drain.
 *
 * Needs the built code for the broker's process (`npm test` and `npm run soak` build).
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BrokerProcess } from '../../bench/support/broker-process.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { type Client, connect, isBurrowError, type QueueConsumer, type QueueMessage } from '../../client/index.ts';
import { CutOffProxy } from '../support/cut-off-proxy.ts';
import { type KeyedMessage, KeyOrderLedger } from '../support/key-order-ledger.ts';

export interface MessageGroupsStormOptions {
  readonly durationMs: number;
  readonly seed: number;
  /** Default 10,000. */
  readonly keys?: number;
  /** Default 20. */
  readonly consumers?: number;
  /** How often the broker is killed, evenly over the time. Default: every 3 seconds. */
  readonly kills?: number;
  /** Declares the queue without groups, to show that the checker notices. */
  readonly ungrouped?: boolean;
}

export type MessageGroupsStormResult = KeyOrderLedger['counts'] & {
  readonly seed: number;
  readonly leaves: number;
  readonly cuts: number;
  readonly kills: number;
  readonly flushes: number;
  readonly rejected: number;
  readonly stuckKeys: number;
};

const QUEUE = 'groups';
const DEAD_QUEUE = 'groups-dead';
/** Publishing pauses while so many wait. */
const BACKLOG_MAX = 3000;
const STUCK_PREFETCH = 20;
const DRAIN_MS_MAX = 60_000;
const RECONNECT = { reconnectBackoff: { initialMs: 5, maxMs: 50 }, publishTimeoutMs: 120_000 };

export function runMessageGroupsStorm(options: MessageGroupsStormOptions): Promise<MessageGroupsStormResult> {
  return new MessageGroupsStorm(options).run();
}

class MessageGroupsStorm {
  readonly ledger = new KeyOrderLedger();
  readonly random: SeededRandom;
  readonly counts = { leaves: 0, cuts: 0, kills: 0, flushes: 0, rejected: 0 };
  /** Rejected, and not seen again since. */
  readonly rejected = new Set<KeyedMessage>();
  readonly #options: MessageGroupsStormOptions;
  readonly #dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-storm-'));
  readonly #links: Link[] = [];
  #broker!: BrokerProcess;
  #workers: Worker[] = [];
  #stopped: boolean = false;
  /** Every call after the end of the run is too late. */
  #fail!: (error: unknown) => void;
  readonly #failed = new Promise<never>((_, reject) => {
    this.#fail = reject;
  });

  constructor(options: MessageGroupsStormOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed);
    this.#failed.catch(() => {});
  }

  fail(error: unknown): void {
    this.#fail(error);
  }

  async run(): Promise<MessageGroupsStormResult> {
    try {
      return await Promise.race([this.#failed, this.#run()]);
    } finally {
      this.#stopped = true;
      for (const worker of this.#workers) worker.stop();
      for (const { proxy } of this.#links) proxy.close();
      await Promise.all(this.#links.map(({ client }) => client.close({ timeoutMs: 0 })));
      await this.#broker?.kill();
      fs.rmSync(this.#dataDir, { recursive: true, force: true });
    }
  }

  async #run(): Promise<MessageGroupsStormResult> {
    const { durationMs, consumers = 20, kills = Math.floor(durationMs / 3000), seed } = this.#options;
    await this.#startBroker();
    const { client } = await this.newLink();
    await client.queue(DEAD_QUEUE).declare();
    await client.queue(QUEUE).declare({
      ...(this.#options.ungrouped === true ? {} : { groupKeyHeader: '' }),
      // Publishes whose confirm was lost are sent again.
      deduplication: true,
      deadLetterExchange: '',
      deadLetterRoutingKey: DEAD_QUEUE,
    });
    await client.queue(QUEUE).bind('amq.topic', '#');
    const publishing = this.#publish(client).catch((error: unknown) => this.fail(error));
    this.#workers = await Promise.all(
      Array.from({ length: consumers }, async () => new Worker(this, await this.newLink())),
    );
    const working = this.#workers.map((worker) => worker.run());
    for (let kill = 0; kill < kills; kill++) {
      await pause(durationMs / (kills + 1));
      await this.#killBroker();
    }
    await pause(durationMs / (kills + 1));
    this.#stopped = true;
    await publishing;
    for (const worker of this.#workers) worker.stop();
    await Promise.all(working);
    const stuckKeys = await this.#drainAroundStuckKeys();
    await this.#checkDeadLetters(client);
    return { seed, ...this.ledger.counts, ...this.counts, stuckKeys };
  }

  /** A connection of its own, which may be cut off. */
  async newLink(): Promise<Link> {
    const proxy = await CutOffProxy.start(portOf(this.#broker));
    const client = await connect(`ws://127.0.0.1:${proxy.port}`, { ...RECONNECT, connectWaitMs: 30_000 });
    const link = { proxy, client };
    this.#links.push(link);
    return link;
  }

  async #publish(client: Client): Promise<void> {
    const random = this.random.fork('publisher');
    const { keys = 10_000 } = this.#options;
    const exchange = client.exchange('amq.topic');
    const pending = new Set<Promise<void>>();
    while (!this.#stopped) {
      for (let count = random.between(1, 200); count > 0 && this.ledger.left < BACKLOG_MAX; count--) {
        const key = `k${random.chance(0.1) ? random.below(20) : random.below(keys)}`;
        const message = this.ledger.publish(key);
        const options = { routingKey: key, messageId: `${key} ${message.number}`, mandatory: true };
        const publish = exchange.publish(`${key} ${message.number}`, options).then(() => {
          this.ledger.stored(message);
          pending.delete(publish);
        });
        pending.add(publish);
        publish.catch((error: unknown) => this.fail(error));
      }
      await pause(random.between(0, 10));
    }
    await Promise.all(pending);
  }

  async #killBroker(): Promise<void> {
    for (const { proxy } of this.#links) proxy.cutOff();
    this.ledger.died();
    for (const worker of this.#workers) worker.onLost();
    await this.#broker.kill();
    this.counts.kills++;
    await this.#startBroker();
    // What is on its way in a broken connection must not be taken for what comes by the next one.
    await Promise.all(this.#links.map(isDisconnected));
    for (const worker of this.#workers) worker.onRestored();
    for (const { proxy } of this.#links) {
      proxy.targetPort = portOf(this.#broker);
      proxy.restore();
    }
  }

  async #startBroker(): Promise<void> {
    this.#broker = await BrokerProcess.start({ dataDir: this.#dataDir, flags: ['--log-level', 'warn'] });
  }

  /** Returns how many keys were stuck. */
  async #drainAroundStuckKeys(): Promise<number> {
    const { client } = this.#links[0]!;
    const stuck = new Worker(this, await this.newLink());
    const helper = new Worker(this, await this.newLink());
    const exchange = client.exchange('amq.topic');
    const publish = async (key: string): Promise<void> => {
      const message = this.ledger.publish(key);
      const options = { routingKey: key, messageId: `${key} ${message.number}`, mandatory: true };
      await exchange.publish(`${key} ${message.number}`, options);
      this.ledger.stored(message);
    };
    await stuck.consume(STUCK_PREFETCH);
    await Promise.all(Array.from({ length: 500 }, (_, index) => publish(`k${index}`)));
    await until(() => stuck.heldKeys().length === STUCK_PREFETCH, 'a consumer to get what it may hold');
    const keys = new Set(stuck.heldKeys());
    await Promise.all([...keys, ...keys].map(publish));
    await helper.consume(100, true);
    await until(() => this.ledger.leftExcept(keys) === 0, 'all keys to drain that are not stuck');
    await stuck.leave();
    await until(() => this.ledger.leftExcept(NO_KEYS) === 0, 'all keys to drain');
    await helper.leave();
    await until(async () => {
      const { messageCount } = await client.queue(QUEUE).check();
      return messageCount === 0;
    }, 'the queue to be empty');
    this.ledger.checkDrained();
    return keys.size;
  }

  async #checkDeadLetters(client: Client): Promise<void> {
    const dead = new Set<string>();
    for (const message of await client.queue(DEAD_QUEUE).browse({ limit: 1_000_000 })) dead.add(message.text());
    for (const { key, number } of this.rejected) {
      if (!dead.has(`${key} ${number}`)) throw new Error(`${key} ${number} was rejected, and is no dead letter`);
    }
  }
}

interface Link {
  readonly proxy: CutOffProxy;
  readonly client: Client;
}

interface Held {
  readonly from: QueueMessage;
  readonly message: KeyedMessage;
  /** It is never settled before its consumer goes. */
  readonly isStuck: boolean;
}

/** One consumer after another on one connection, which breaks now and then. */
class Worker {
  readonly #storm: MessageGroupsStorm;
  readonly #link: Link;
  readonly #random: SeededRandom;
  #consumer: QueueConsumer | undefined;
  /** Who holds messages now, for the ledger: a consumer, until it goes or its connection breaks. */
  #life: object = {};
  /** Earlier ones on the connection as it is now: their last words may be on their way. */
  #earlier: object[] = [];
  #held: Held[] = [];
  /** Deliveries come by a connection that is lost already. */
  #isLost = false;
  #isStopped: boolean = false;
  #settlesAtOnce = false;

  constructor(storm: MessageGroupsStorm, link: Link) {
    this.#storm = storm;
    this.#link = link;
    this.#random = storm.random.fork('worker');
  }

  /** Ends without a consumer. Never rejects: what is broken is told to the storm. */
  async run(): Promise<void> {
    try {
      while (!this.#isStopped) {
        if (this.#consumer === undefined) await this.consume(this.#random.pick([1, 5, 30]));
        await pause(this.#random.between(0, 25));
        await this.#act();
      }
      await this.leave();
    } catch (error) {
      this.#storm.fail(error);
    }
  }

  stop(): void {
    this.#isStopped = true;
  }

  heldKeys(): string[] {
    return this.#held.map(({ message }) => message.key);
  }

  async consume(prefetch: number, settlesAtOnce = false): Promise<void> {
    this.#settlesAtOnce = settlesAtOnce;
    const stuckChance = this.#random.pick([0, 0, 0.02]);
    try {
      this.#consumer = await this.#link.client
        .queue(QUEUE)
        .consume((from) => this.#onDelivered(from, stuckChance), { ack: 'manual', prefetch, concurrency: prefetch });
    } catch (error) {
      if (!isLoss(error)) throw error;
    }
  }

  #onDelivered(from: QueueMessage, stuckChance: number): void {
    if (this.#isLost) return;
    const { ledger, rejected } = this.#storm;
    const [key, number] = from.text().split(' ');
    try {
      const message = ledger.delivered(this.#life, key!, Number(number));
      rejected.delete(message);
      const held = { from, message, isStuck: this.#random.chance(stuckChance) };
      if (this.#settlesAtOnce) this.#settle(held);
      else this.#held.push(held);
    } catch (error) {
      this.#storm.fail(error);
    }
  }

  async #act(): Promise<void> {
    const random = this.#random;
    const dice = random.fraction();
    if (dice < 0.01) {
      await this.leave();
      await pause(random.between(0, 100));
    } else if (dice < 0.02) await this.#breakConnection();
    else {
      const share = random.pick([0, 0.5, 1]);
      this.#held = this.#held.filter((held) => {
        if (held.isStuck || !random.chance(share)) return true;
        this.#settleSomehow(held);
        return false;
      });
      if (random.chance(0.1)) void this.#flush();
    }
  }

  #settleSomehow(held: Held): void {
    const { ledger, counts, rejected } = this.#storm;
    const { from, message } = held;
    const dice = this.#random.fraction();
    if (dice < 0.8) this.#settle(held);
    else if (dice < 0.95) {
      ledger.returned(this.#life, message);
      from.requeue();
    } else {
      ledger.settled(this.#life, message);
      counts.rejected++;
      rejected.add(message);
      from.reject();
    }
  }

  #settle({ from, message }: Held): void {
    this.#storm.ledger.settled(this.#life, message);
    from.ack();
  }

  async #flush(): Promise<void> {
    const { ledger, counts } = this.#storm;
    const settled = ledger.beginSync(this.#life);
    try {
      await this.#consumer?.flush();
      ledger.durable(settled);
      counts.flushes++;
    } catch (error) {
      if (!isLoss(error)) this.#storm.fail(error);
    }
  }

  /** What it holds goes back, what it settled does not. */
  async leave(): Promise<void> {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    if (consumer === undefined) return;
    this.#storm.counts.leaves++;
    this.#storm.ledger.closed(this.#life);
    this.#earlier.push(this.#life);
    this.#life = {};
    this.#held = [];
    await consumer.close({ timeoutMs: 0 });
  }

  async #breakConnection(): Promise<void> {
    // The storm does it for all of them.
    if (this.#isLost) return;
    const { proxy } = this.#link;
    proxy.cutOff();
    this.#storm.counts.cuts++;
    for (const life of [this.#life, ...this.#earlier]) this.#storm.ledger.lost(life);
    this.onLost();
    const life = this.#life;
    await isDisconnected(this.#link);
    if (life !== this.#life) return;
    this.onRestored();
    proxy.restore();
  }

  onLost(): void {
    this.#isLost = true;
    this.#held = [];
    this.#life = {};
    this.#earlier = [];
  }

  onRestored(): void {
    this.#isLost = false;
  }
}

const NO_KEYS: ReadonlySet<string> = new Set();

function portOf({ nativeUrl }: BrokerProcess): number {
  return Number(new URL(nativeUrl).port);
}

function isLoss(error: unknown): boolean {
  return (['CONNECTION_LOST', 'CONNECTION_FAILED', 'CHANNEL_NOT_FOUND', 'REQUEST_TIMED_OUT'] as const).some((code) =>
    isBurrowError(error, code),
  );
}

async function isDisconnected({ client }: Link): Promise<void> {
  await until(() => !client.connected, 'a client to notice that its connection is lost');
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const giveUpAtMs = performance.now() + DRAIN_MS_MAX;
  while (!(await condition())) {
    if (performance.now() > giveUpAtMs) throw new Error(`waited in vain for ${what}`);
    await pause(2);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

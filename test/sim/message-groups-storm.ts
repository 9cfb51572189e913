/**
 * A queue with message groups under many keys and consumers that come, die, give back, reject and get stuck, over a node that loses
 * power, driven by a seed. `key-order-ledger.ts` judges what they see. In the end some keys are held by a consumer that never
 * settles: all others must drain; then it dies, and the rest must.
 */
import { type QueueSettings, resolveQueueSettings } from '../../broker/definitions/queue-settings.ts';
import { resolveTopicConfig } from '../../broker/definitions/topic-configs.ts';
import { LogManager } from '../../broker/log/log-manager.ts';
import { DeadlineQueue } from '../../broker/partitions/deadline-queue.ts';
import { DiskSpace } from '../../broker/partitions/disk-space.ts';
import { Partition } from '../../broker/partitions/partition.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { PartitionBatchLog } from '../../broker/queues/batch-log.ts';
import type { MessageView } from '../../broker/queues/message-batch.ts';
import { Queue } from '../../broker/queues/queue.ts';
import { type ChannelSink, QueueChannel } from '../../broker/queues/queue-channel.ts';
import type { QueueConsumer } from '../../broker/queues/queue-consumer.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { properties } from '../support/content-properties.ts';
import { type KeyedMessage, KeyOrderLedger } from '../support/key-order-ledger.ts';
import { managerOptions, topicIdOf } from '../support/log-environment.ts';
import { SABOTAGE } from './queue-sabotage.ts';

export interface MessageGroupsStormOptions {
  readonly seed: number;
  /** Default 10,000. */
  readonly keys?: number;
  /** Default 20. */
  readonly consumers?: number;
  /** Default 40,000. */
  readonly messages?: number;
  /** Switches a rule off on purpose, to show that the checker notices. */
  readonly sabotage?: keyof typeof SABOTAGE;
}

export type MessageGroupsStormResult = KeyOrderLedger['counts'] & {
  readonly deadLetters: number;
  readonly stuckKeys: number;
  readonly backlogMax: number;
};

/** Ready messages: more are published as these go. */
const BACKLOG_MAX = 12_000;
/** Messages behind each that is stuck in the end. */
const BEHIND_STUCK = 3;
const HEADER = 'customer';

/** Runs one seed. Throws, with the seed, where a promise is broken. */
export async function stormMessageGroups(options: MessageGroupsStormOptions): Promise<MessageGroupsStormResult> {
  const storm = new Storm(options);
  const restore = options.sabotage === undefined ? (): void => {} : SABOTAGE[options.sabotage]();
  try {
    return await storm.run();
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`seed ${options.seed} (${storm.describe()}): ${text}`);
  } finally {
    restore();
  }
}

interface Node {
  readonly logs: LogManager;
  readonly diskSpace: DiskSpace;
  readonly deadlines: DeadlineQueue;
  readonly clock: ManualClock;
  readonly queue: Queue;
}

class Storm {
  readonly random: SeededRandom;
  readonly ledger = new KeyOrderLedger();
  readonly #options: Required<Omit<MessageGroupsStormOptions, 'sabotage'>>;
  readonly #settings: QueueSettings;
  readonly #deadLetterFailureChance: number;
  readonly #powerLosses: number;
  #disk = new MemoryDisk();
  #node!: Node;
  #workers: Worker[] = [];
  #nowMs = 1_700_000_000_000;
  #published = 0;
  #deadLetters = 0;
  #backlogMax = 0;
  #broken: unknown;

  constructor(options: MessageGroupsStormOptions) {
    const random = new SeededRandom(options.seed);
    this.random = random;
    this.#options = { keys: 10_000, consumers: 20, messages: 40_000, ...options };
    const byHeader = random.chance(0.5);
    this.#settings = {
      ...resolveQueueSettings(new Map()),
      groupKeyHeader: byHeader ? HEADER : '',
      deadLetterExchange: random.chance(0.7) ? 'dlx' : undefined,
      deliveryLimit: random.chance(0.3) ? 3 : undefined,
      ...(random.chance(0.4)
        ? {
            delayedRetryType: random.pick(['all', 'failed', 'returned']),
            delayedRetryMinMs: 50,
            delayedRetryMaxMs: 200,
          }
        : {}),
    };
    this.#deadLetterFailureChance = random.pick([0, 0.1]);
    this.#powerLosses = random.between(1, 3);
  }

  describe(): string {
    return JSON.stringify({ ...this.#options, ...this.#settings, failure: this.#deadLetterFailureChance });
  }

  get clock(): ManualClock {
    return this.#node.clock;
  }

  get queue(): Queue {
    return this.#node.queue;
  }

  /** Whether a message that comes back once more is given up. */
  isLastReturn(returns: number): boolean {
    return this.#settings.deliveryLimit !== undefined && returns + 1 > this.#settings.deliveryLimit;
  }

  get rejectedGoAtOnce(): boolean {
    return this.#settings.deadLetterExchange === undefined;
  }

  fail(error: unknown): void {
    this.#broken ??= error;
  }

  async run(): Promise<MessageGroupsStormResult> {
    const { consumers, messages } = this.#options;
    await this.#start();
    this.#workers = Array.from({ length: consumers }, () => new Worker(this));
    const losses = Array.from({ length: this.#powerLosses }, () => this.random.below(messages)).sort((a, b) => a - b);
    while (this.#published < messages) {
      if (this.queue.readyCount < BACKLOG_MAX) this.#publishSome(this.random.between(1, 600));
      this.#act();
      this.clock.advance(this.random.pick([0, 1, 20]));
      if (this.random.chance(0.2)) this.#sync();
      await this.#turn();
      this.#look();
      while (losses.length > 0 && losses[0]! <= this.#published) {
        losses.shift();
        await this.#losePower();
      }
    }
    const stuckKeys = await this.#drainAroundStuckKeys();
    await this.#drain(() => this.queue.readyCount + this.queue.unsettledCount === 0);
    this.ledger.checkDrained();
    return { ...this.ledger.counts, deadLetters: this.#deadLetters, stuckKeys, backlogMax: this.#backlogMax };
  }

  /** Some keys are more frequent than others. */
  #publishSome(count: number): void {
    const { random } = this;
    const { keys } = this.#options;
    for (; count > 0; count--) this.#publish(`k${random.chance(0.1) ? random.below(20) : random.below(keys)}`);
  }

  #publish(key: string): void {
    const message = this.ledger.publish(key);
    const isByHeader = this.#settings.groupKeyHeader !== '';
    const target = {
      onStored: () => this.ledger.stored(message),
      onNotStored: () => this.fail(new Error(`${key} ${message.number} could not be stored`)),
    };
    const published = {
      exchange: '',
      routingKey: isByHeader ? 'work' : key,
      properties: isByHeader ? properties({ headers: { [HEADER]: key } }) : Buffer.alloc(0),
      body: [Buffer.from(`${key} ${message.number}`)],
    };
    this.queue.publish(published, target, this.#published++);
  }

  #act(): void {
    for (const [index, worker] of this.#workers.entries()) {
      worker.act();
      if (worker.isClosed) this.#workers[index] = new Worker(this);
    }
  }

  #sync(): void {
    const { queue } = this;
    const settled = this.ledger.beginSync();
    queue.settlementsSynced().then(
      () => {
        // A node that has lost power meanwhile has nothing to say.
        if (queue === this.queue) this.ledger.durable(settled);
      },
      (error: unknown) => this.fail(error),
    );
  }

  #look(): void {
    const { readyCount, unsettledCount } = this.queue;
    if (readyCount < 0 || unsettledCount < 0) throw new Error(`${readyCount} ready, ${unsettledCount} unsettled`);
    this.#backlogMax = Math.max(this.#backlogMax, readyCount);
  }

  /** Returns how many keys were stuck. */
  async #drainAroundStuckKeys(): Promise<number> {
    for (const worker of this.#workers) worker.close();
    this.#workers = [];
    const stuck = new Worker(this, 30);
    this.#publishSome(1000);
    await this.#turn();
    const keys = new Set(stuck.heldKeys());
    for (let behind = 0; behind < BEHIND_STUCK; behind++) for (const key of keys) this.#publish(key);
    this.#publishSome(1000);
    const isDrained = (): boolean => this.ledger.leftExcept(keys) === 0 && this.queue.unsettledCount === keys.size;
    await this.#drain(isDrained);
    if (!isDrained())
      throw new Error(`${this.ledger.leftExcept(keys)} messages do not flow past ${keys.size} stuck keys`);
    const { readyCount } = this.queue;
    if (readyCount < keys.size * BEHIND_STUCK)
      throw new Error(`only ${readyCount} wait behind ${keys.size} stuck keys`);
    stuck.close();
    return keys.size;
  }

  /** Consumers that settle everything, until it is done. */
  async #drain(isDone: () => boolean): Promise<void> {
    const workers = Array.from({ length: 3 }, () => new Worker(this, 500));
    for (let idle = 0; idle < 60; idle++) {
      for (const worker of workers) if (worker.settleAll() > 0) idle = 0;
      this.clock.advance(500);
      await this.#turn();
      if (isDone()) break;
    }
    for (const worker of workers) worker.close();
  }

  // Dead letters

  deadLetter(view: MessageView, onDone: (done: boolean) => void): void {
    const { key, number } = parse(view);
    this.#deadLetters++;
    const done = !this.random.chance(this.#deadLetterFailureChance);
    const answer = (): void => {
      try {
        this.ledger.buried(key, number, done);
        onDone(done);
      } catch (error) {
        this.fail(error);
      }
    };
    const { queue } = this.#node ?? {};
    if (this.random.chance(0.5)) answer();
    else
      this.clock.schedule(this.random.between(1, 40), () => {
        if (queue === this.queue) answer();
      });
  }

  // The node

  async #start(): Promise<void> {
    const clock = new ManualClock(this.#nowMs);
    const directory = '/data';
    const disk = this.#disk;
    const logs = await LogManager.open(managerOptions({ disk, clock, random: this.random.fork('node'), directory }));
    const diskSpace = await DiskSpace.open({ disk, directory, clock, logger: silentLogger, freeBytesMin: 0 });
    const deadlines = new DeadlineQueue(clock);
    const queue = await Queue.open({
      name: 'work',
      settings: this.#settings,
      messages: await openLog(logs, diskSpace, clock, 0),
      settlements: await openLog(logs, diskSpace, clock, 1),
      clock,
      deadlines,
      logger: silentLogger,
      readAheadBytes: 65_536,
      deadLetter: (_queue, view, _reason, onDone) => this.deadLetter(view, onDone),
      onUnused: () => {},
    });
    this.#node = { logs, diskSpace, deadlines, clock, queue };
    queue.begin();
  }

  async #losePower(): Promise<void> {
    const { queue, deadlines, diskSpace } = this.#node;
    this.#nowMs = this.clock.now() + this.random.pick([0, 10, 3000]);
    const mode = this.random.pick(['lost', 'kept', 'prefix', 'reordered'] as const);
    const survivor = this.#disk.crash(this.random.fork('crash'), mode, {});
    for (const worker of this.#workers) worker.vanish();
    queue.close(new BurrowError('SHUTTING_DOWN'));
    deadlines.close();
    diskSpace.close();
    this.ledger.died();
    this.#disk = survivor;
    await this.#start();
    this.#workers = Array.from({ length: this.#options.consumers }, () => new Worker(this));
  }

  /** Lets everything happen that needs no time to pass. */
  async #turn(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    if (this.#broken !== undefined) throw this.#broken;
  }
}

async function openLog(
  logs: LogManager,
  diskSpace: DiskSpace,
  clock: ManualClock,
  partition: number,
): Promise<PartitionBatchLog> {
  const configs = new Map([
    ['segment.bytes', '65536'],
    ['retention.ms', '-1'],
    ['file.delete.delay.ms', '100'],
  ]);
  const config = resolveTopicConfig(configs, new Map());
  const log = await logs.create({ topic: 'work', topicId: topicIdOf('work'), partition, config, leaderEpoch: 0 });
  const assignment = { replicas: [1], leader: 1, leaderEpoch: 0 };
  return new PartitionBatchLog({
    partition: new Partition({ log, nodeId: 1, assignment, config }),
    clock,
    diskSpace,
    needsRoom: partition === 0,
    onUnstored: () => {},
    onTrimFailed: () => {},
  });
}

interface Held {
  readonly message: KeyedMessage;
  readonly returns: number;
  /** It is never settled before its consumer dies. */
  readonly isStuck: boolean;
}

/** A consumer on a connection of its own. */
class Worker implements ChannelSink {
  isWritable = true;
  isClosed = false;
  readonly #storm: Storm;
  readonly #channel: QueueChannel;
  readonly #held = new Map<number, Held>();
  readonly #stuckChance: number;
  #vanished = false;

  constructor(storm: Storm, prefetch = storm.random.pick([1, 5, 50, 300])) {
    this.#storm = storm;
    this.#stuckChance = storm.random.pick([0, 0, 0.02]);
    this.#channel = new QueueChannel(this, storm.clock);
    this.#channel.consume(storm.queue, { tag: 'c', noAck: false, exclusive: false, priority: 0, prefetch });
  }

  heldKeys(): string[] {
    return Array.from(this.#held.values(), ({ message }) => message.key);
  }

  deliver(_consumer: QueueConsumer, tag: number, returns: number, view: MessageView): void {
    if (this.#vanished) return;
    const { ledger, random } = this.#storm;
    const { key, number } = parse(view);
    try {
      const message = ledger.delivered(this, key, number);
      this.#held.set(tag, { message, returns, isStuck: random.chance(this.#stuckChance) });
    } catch (error) {
      this.#storm.fail(error);
    }
  }

  onCancelled(): void {}

  act(): void {
    const { random } = this.#storm;
    if (random.chance(0.02)) {
      this.close();
      return;
    }
    if (random.chance(0.05)) {
      this.isWritable = !this.isWritable;
      if (this.isWritable) this.#channel.onWritable();
    }
    const share = random.pick([0, 0.3, 1]);
    for (const [tag, held] of [...this.#held]) {
      if (held.isStuck || !random.chance(share)) continue;
      const dice = random.fraction();
      if (dice < 0.8) this.#settle(tag, held);
      else if (dice < 0.95) this.#giveBack(tag, held);
      else this.#reject(tag, held);
    }
  }

  settleAll(): number {
    const held = [...this.#held];
    for (const [tag, each] of held) this.#settle(tag, each);
    return held.length;
  }

  /** As when its connection breaks: what it has not settled goes back. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const { message, returns } of this.#held.values()) {
      if (this.#storm.isLastReturn(returns)) this.#giveUp(message);
      else this.#storm.ledger.returned(this, message);
    }
    this.#held.clear();
    this.#channel.close();
  }

  /** The broker has died. */
  vanish(): void {
    this.#vanished = true;
  }

  // The ledger is told first: the queue may deliver within the call.

  #settle(tag: number, { message }: Held): void {
    this.#held.delete(tag);
    this.#storm.ledger.settled(this, message);
    this.#channel.acknowledge(tag, false);
  }

  #giveBack(tag: number, { message, returns }: Held): void {
    this.#held.delete(tag);
    if (this.#storm.isLastReturn(returns)) this.#giveUp(message);
    else this.#storm.ledger.returned(this, message);
    this.#channel.reject(tag, { multiple: false, requeue: true });
  }

  #reject(tag: number, { message }: Held): void {
    this.#held.delete(tag);
    this.#giveUp(message);
    this.#channel.reject(tag, { multiple: false, requeue: false });
  }

  #giveUp(message: KeyedMessage): void {
    const { ledger, rejectedGoAtOnce } = this.#storm;
    if (rejectedGoAtOnce) ledger.settled(this, message);
    else ledger.doomed(this, message);
  }
}

function parse(view: MessageView): { key: string; number: number } {
  const [key, number] = view.body.toString().split(' ');
  return { key: key!, number: Number(number) };
}

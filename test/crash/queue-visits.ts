/**
 * A queue and its dead letters while the broker is killed: publishers and consumers of the SDK and of amqplib, who acknowledge,
 * requeue and reject. Everything goes into the message ledger, which throws where a promise is broken.
 */
import amqp from 'amqplib';
import type { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { type Client, isBurrowError, type QueueConsumer, type QueueMessage } from '../../client/index.ts';
import { outcomeIsUnknown, pause } from './kill-load.ts';
import { type Decision, MessageLedger, type Place, type PublishedMessage } from './message-ledger.ts';

const EXCHANGE = 'visited-exchange';
export const VISITED_QUEUE = 'visited';
const QUEUES: Readonly<Record<Place, string>> = { queue: VISITED_QUEUE, dead: 'visited-dead' };
const ROUTING_KEY = 'visits.a';
/** Publishers wait while so many are not acknowledged, so that all of them can be read after each restart. */
const BACKLOG_MAX = 3000;
const PREFETCH = 50;
const READINGS_MAX = 5;
/** Messages that are published after the last was consumed. */
const LEFT_AT_THE_END = 20;

/** Delivered, and not settled yet. */
interface Waiting<T> {
  readonly from: T;
  readonly message: PublishedMessage;
}

export class QueueVisits {
  /** How often a check had to read the queues again. */
  readAgain = 0;
  readonly ledger = new MessageLedger();
  /** Rejects with the first broken promise. */
  readonly done: Promise<void>;
  readonly #client: Client;
  readonly #amqpUrl: string;
  /** How often the broker died: what a client had not heard of then, it may have published again. */
  readonly #deaths: () => number;
  #stopped: boolean = false;
  #consumersStopped: boolean = false;
  #held: boolean = false;
  /** What consumers do now, until they know what became of it. Never reject. */
  readonly #actions = new Map<Place, Promise<unknown>>();
  #fail!: (error: unknown) => void;

  private constructor(client: Client, amqpUrl: string, random: SeededRandom, deaths: () => number) {
    this.#client = client;
    this.#amqpUrl = amqpUrl;
    this.#deaths = deaths;
    const failed = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    const lanes = [
      this.#publish(random.fork('publisher')),
      this.#consume('queue', random.fork('consumer')),
      this.#consume('dead', random.fork('dead letters')),
      this.#visitByAmqp(random.fork('amqp')),
    ];
    this.done = Promise.race([failed, Promise.all(lanes).then(() => {})]);
    this.done.catch(() => {});
  }

  static async start(
    client: Client,
    amqpUrl: string,
    random: SeededRandom,
    deaths: () => number,
  ): Promise<QueueVisits> {
    const host = client.virtualHost();
    await host.exchange(EXCHANGE).declare({ type: 'topic' });
    await host.queue(QUEUES.dead).declare();
    const queue = host.queue(QUEUES.queue);
    await queue.declare({ deadLetterExchange: '', deadLetterRoutingKey: QUEUES.dead });
    await queue.bind(EXCHANGE, 'visits.#');
    return new QueueVisits(client, amqpUrl, random, deaths);
  }

  /** Consumers stop first, so that there are messages left to look for. */
  async stop(): Promise<void> {
    this.#consumersStopped = true;
    const { counts } = this.ledger;
    const enough = counts.confirmed + LEFT_AT_THE_END;
    const isOver = this.done.then(
      () => true,
      () => true,
    );
    while (counts.confirmed < enough && !(await Promise.race([isOver, pause(5)])));
    this.#stopped = true;
    await this.done;
  }

  /** Reads both queues and compares. Consumers settle nothing meanwhile; publishers go on. */
  async check(client: Client): Promise<void> {
    this.#held = true;
    await Promise.all(this.#actions.values());
    try {
      const kept = this.ledger.kept();
      const found = new Set<PublishedMessage>();
      // Messages whose settlement is still on its way leave while pages are read, and what follows moves up past the reader: so a
      // message counts as lost only if no reading finds it.
      for (let reading = 1; reading <= READINGS_MAX && kept.some((message) => !found.has(message)); reading++) {
        if (reading > 1) {
          this.readAgain++;
          await pause(50);
        }
        await this.#read(client, found);
      }
      this.ledger.checkStored(kept, found);
    } finally {
      this.#held = false;
    }
  }

  async #read(client: Client, found: Set<PublishedMessage>): Promise<void> {
    // In this order: a dead letter is stored there before it leaves here.
    for (const place of ['queue', 'dead'] as const) {
      for (const message of await client.queue(QUEUES[place]).browse({ limit: 1_000_000 })) {
        found.add(this.ledger.seen(place, message.body));
      }
    }
  }

  async #publish(random: SeededRandom): Promise<void> {
    const exchange = this.#client.exchange(EXCHANGE);
    while (!this.#stopped) {
      await this.#publishSome(random, async (body) => {
        await exchange.publish(body, { routingKey: ROUTING_KEY, mandatory: true });
      });
    }
  }

  /** Publishes some, and waits until all of them have come to an end. */
  async #publishSome(random: SeededRandom, publish: (body: Buffer) => Promise<void>): Promise<void> {
    await pause(random.between(0, 20));
    if (this.ledger.keptCount > BACKLOG_MAX) return;
    await Promise.all(
      Array.from({ length: random.between(1, 50) }, async () => {
        const deaths = this.#deaths();
        const { message, body } = this.ledger.publish();
        await publish(body);
        this.ledger.confirmed(message, this.#deaths() - deaths);
      }),
    );
  }

  async #consume(place: Place, random: SeededRandom): Promise<void> {
    const waiting: Waiting<QueueMessage>[] = [];
    const consumer = await this.#client
      .queue(QUEUES[place])
      .consume((from) => this.#deliver(place, waiting, from, from.body, from.redelivered), {
        ack: 'manual',
        prefetch: PREFETCH,
        concurrency: PREFETCH,
      });
    while (!this.#consumersStopped) {
      await pause(random.between(0, 30));
      if (this.#held) continue;
      const settled: PublishedMessage[] = [];
      for (const { from, message } of waiting.splice(0, random.between(0, PREFETCH))) {
        const decision = decide(random);
        this.ledger.decided(place, message, decision);
        if (decision === 'ack') from.ack();
        else if (decision === 'requeue') from.requeue();
        else from.reject();
        if (decision !== 'requeue') settled.push(message);
      }
      if (random.chance(0.3)) continue;
      const action = this.#flush(consumer, place, settled);
      this.#actions.set(
        place,
        action.catch(() => {}),
      );
      await action;
    }
    await consumer.close();
  }

  #deliver<T>(place: Place, waiting: Waiting<T>[], from: T, body: Uint8Array, redelivered: boolean): void {
    try {
      waiting.push({ from, message: this.ledger.delivered(place, body, redelivered) });
    } catch (error) {
      this.#fail(error);
    }
  }

  async #flush(consumer: QueueConsumer, place: Place, settled: readonly PublishedMessage[]): Promise<void> {
    if (!(await isDurable(consumer))) return;
    for (const message of settled) this.ledger.settledForSure(place, message);
  }

  /** Publishes and consumes by amqplib, with a new connection whenever one ends. */
  async #visitByAmqp(random: SeededRandom): Promise<void> {
    while (!this.#stopped) {
      const connection = await amqp.connect(this.#amqpUrl).catch(() => undefined);
      if (connection === undefined) {
        await pause(50);
        continue;
      }
      let isOpen = true;
      connection.on('error', () => {});
      connection.on('close', () => {
        isOpen = false;
      });
      const isLive = (): boolean => isOpen && !this.#stopped;
      try {
        const publishing = await connection.createConfirmChannel();
        const consuming = await connection.createChannel();
        for (const channel of [publishing, consuming]) channel.on('error', () => {});
        await consuming.prefetch(PREFETCH);
        const waiting: Waiting<amqp.ConsumeMessage>[] = [];
        await consuming.consume(QUEUES.queue, (from) => {
          if (from !== null) this.#deliver('queue', waiting, from, from.content, from.fields.redelivered);
        });
        await Promise.all([
          this.#publishByAmqp(publishing, isLive, random),
          this.#settleByAmqp(consuming, waiting, isLive, random),
        ]);
        await connection.close();
      } catch (error) {
        if (isOpen) await connection.close().catch(() => {});
        if (!isAmqpLoss(error)) throw error;
      }
    }
  }

  async #publishByAmqp(channel: amqp.ConfirmChannel, isLive: () => boolean, random: SeededRandom): Promise<void> {
    while (isLive()) {
      await this.#publishSome(random, (body) => {
        return new Promise((resolve, reject) => {
          channel.publish(EXCHANGE, ROUTING_KEY, body, { persistent: true, mandatory: true }, (error: unknown) => {
            if (error) reject(new AmqpLoss('not confirmed', { cause: error }));
            else resolve();
          });
        });
      });
    }
  }

  /** Nothing is known for sure of what is settled here: AMQP does not answer acknowledgments. */
  async #settleByAmqp(
    channel: amqp.Channel,
    waiting: Waiting<amqp.ConsumeMessage>[],
    isLive: () => boolean,
    random: SeededRandom,
  ): Promise<void> {
    while (isLive()) {
      await pause(random.between(0, 30));
      if (this.#held || this.#consumersStopped) continue;
      for (const { from, message } of waiting.splice(0, random.between(0, PREFETCH))) {
        const decision = decide(random);
        this.ledger.decided('queue', message, decision);
        if (decision === 'ack') channel.ack(from);
        else channel.nack(from, false, decision === 'requeue');
      }
    }
  }
}

/** The connection ended: what was under way has happened or not. */
class AmqpLoss extends Error {}

function isAmqpLoss(error: unknown): boolean {
  return error instanceof AmqpLoss || /closed|closing|ended|ECONNRESET|EPIPE|socket/i.test(String(error));
}

function decide(random: SeededRandom): Decision {
  if (random.chance(0.1)) return 'requeue';
  return random.chance(0.15) ? 'reject' : 'ack';
}

/** Whether all that was settled so far is stored. */
async function isDurable(consumer: QueueConsumer): Promise<boolean> {
  try {
    await consumer.flush();
    return true;
  } catch (error) {
    if (outcomeIsUnknown(error) || isBurrowError(error, 'CHANNEL_NOT_FOUND')) return false;
    throw error;
  }
}

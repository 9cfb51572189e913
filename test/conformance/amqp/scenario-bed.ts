/** What a scenario works with: the client under test, connected, and amqplib as the other side where two clients meet. */
import amqp, { type ChannelModel } from 'amqplib';
import { expect, vi } from 'vitest';
import type { AmqpTarget } from '../../support/amqp-target.ts';
import {
  type AmqpClient,
  type ClientChannel,
  type ClientConnection,
  type ConnectOptions,
  type Delivery,
  type QueueOptions,
  ReplyError,
} from './client-adapter.ts';

const WAIT = { timeout: 10_000, interval: 5 };

let names = 0;

export class ScenarioBed {
  readonly client: AmqpClient;
  readonly target: AmqpTarget;
  readonly #closing: Array<() => Promise<unknown>> = [];
  #connection: Promise<ClientConnection> | undefined;
  #other: Promise<ChannelModel> | undefined;

  private constructor(client: AmqpClient, target: AmqpTarget) {
    this.client = client;
    this.target = target;
  }

  /** Closes what was opened in it. */
  static async use(client: AmqpClient, target: AmqpTarget, run: (bed: ScenarioBed) => Promise<void>): Promise<void> {
    const bed = new ScenarioBed(client, target);
    try {
      await run(bed);
    } finally {
      for (const close of bed.#closing.reverse()) await close().catch(() => {});
    }
  }

  /** A name that no other scenario has. */
  name(label: string): string {
    return `${label}-${++names}`;
  }

  async connect(options?: ConnectOptions): Promise<ClientConnection> {
    const connection = await this.client.connect(this.target, options);
    this.#closing.push(() => connection.close());
    return connection;
  }

  /** A channel of the one connection that most scenarios have. */
  async channel(options?: { readonly confirms?: boolean }): Promise<ClientChannel> {
    this.#connection ??= this.connect();
    return (await this.#connection).openChannel(options);
  }

  /** A channel, and a durable queue that is deleted when the scenario ends. */
  async channelAndQueue(options?: QueueOptions): Promise<{ channel: ClientChannel; queue: string }> {
    const channel = await this.channel();
    const queue = this.name('queue');
    await channel.declareQueue(queue, options);
    return { channel, queue };
  }

  /** amqplib, connected. */
  async other(): Promise<ChannelModel> {
    this.#other ??= this.#connectOther();
    return this.#other;
  }

  async #connectOther(): Promise<ChannelModel> {
    const connection = await amqp.connect(`amqp://${this.target.host}:${this.target.port}`, { noDelay: true });
    connection.on('error', () => {});
    this.#closing.push(() => connection.close());
    return connection;
  }

  /** Has amqplib publish persistent messages, all of them stored when this resolves. */
  async fill(queue: string, bodies: readonly string[]): Promise<void> {
    const channel = await (await this.other()).createConfirmChannel();
    for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body), { persistent: true });
    await channel.waitForConfirms();
    await channel.close();
  }

  /** Takes out all that is ready, with amqplib. */
  async drain(queue: string): Promise<string[]> {
    const channel = await (await this.other()).createChannel();
    const found: string[] = [];
    for (;;) {
      const message = await channel.get(queue, { noAck: true });
      if (message === false) break;
      found.push(message.content.toString());
    }
    await channel.close();
    return found;
  }

  /** Resolves once so many messages of the queue are ready. */
  async ready(queue: string, count: number): Promise<void> {
    const channel = await (await this.other()).createChannel();
    await eventually(async () => expect((await channel.checkQueue(queue)).messageCount).toBe(count));
    await channel.close();
  }

  async consumers(queue: string): Promise<number> {
    const channel = await (await this.other()).createChannel();
    const { consumerCount } = await channel.checkQueue(queue);
    await channel.close();
    return consumerCount;
  }

  /** Resolves once the client is told that something is not there. */
  async gone(look: (channel: ClientChannel) => Promise<unknown>): Promise<void> {
    await eventually(async () => {
      const channel = await this.channel();
      const error = await look(channel).then(
        () => channel.close(),
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ code: 404 });
    });
  }

  /** The exception that a use of a channel of its own ends with, whether a call of the client is told of it or not. */
  async channelError(use: (channel: ClientChannel) => Promise<unknown>, connection?: ClientConnection) {
    const channel = connection === undefined ? await this.channel() : await connection.openChannel();
    const failed = use(channel).then(
      () => channel.closed,
      (error: unknown) => {
        if (error instanceof ReplyError) return error;
        throw error;
      },
    );
    return Promise.race([failed, channel.closed]);
  }
}

export function bodyOf({ body }: { readonly body: Buffer }): string {
  return body.toString();
}

/** Waits until a check passes. */
export function eventually(check: () => unknown): Promise<unknown> {
  return vi.waitFor(check as () => Promise<unknown>, WAIT);
}

/** Waits until so many messages were delivered to a channel, and gives all. */
export async function delivered(channel: ClientChannel, count: number): Promise<readonly Delivery[]> {
  await eventually(() => expect(channel.deliveries.length).toBeGreaterThanOrEqual(count));
  expect(channel.deliveries).toHaveLength(count);
  return channel.deliveries;
}

/** Takes messages one by one, on one channel for a virtual host. */
import { PackedDeliveriesReader } from '../../src/protocol/packed-deliveries.ts';
import type { Cluster } from '../cluster.ts';
import { Channel } from './channel.ts';
import type { Exchange } from './exchange.ts';
import { type MessageOrigin, QueueMessage } from './queue-message.ts';
import { Settlements } from './settlements.ts';

interface OpenGetter {
  readonly channel: Channel;
  readonly origin: MessageOrigin;
  flush(): void;
}

export class Getter {
  readonly #cluster: Cluster;
  readonly #virtualHost: string;
  readonly #defaultExchange: Exchange;
  #open: OpenGetter | undefined;

  constructor(cluster: Cluster, virtualHost: string, defaultExchange: Exchange) {
    this.#defaultExchange = defaultExchange;
    this.#cluster = cluster;
    this.#virtualHost = virtualHost;
  }

  async get(queue: string, noAck: boolean): Promise<QueueMessage | undefined> {
    if (this.#open === undefined || this.#open.channel.ended) this.#open = this.#openChannel();
    const { channel, origin } = this.#open;
    const { messages, ...rest } = await channel.request('getMessage', { queue, noAck });
    const reader = new PackedDeliveriesReader({ ...rest, messages: messages[0]! });
    return reader.next() ? new QueueMessage(reader, noAck ? { ...origin, settle: ignore } : origin) : undefined;
  }

  /** Resolves when everything that was settled is on stable storage. */
  async flush(): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    open.flush();
    await open.channel.request('settle', { sync: true, settlements: [] });
  }

  /** What is not settled goes back to its queue. */
  close(): void {
    this.#open?.flush();
    this.#open?.channel.close();
  }

  #openChannel(): OpenGetter {
    const settlements = new Settlements();
    let isScheduled = false;
    const channel = new Channel(
      this.#cluster.any(),
      this.#virtualHost,
      { onDeliveries: ignore, onConsumerEnded: ignore, onLost: ignore },
      this.#cluster.options.requestTimeoutMs,
    );
    const flush = (): void => {
      isScheduled = false;
      if (!settlements.isEmpty) channel.notify('settle', { sync: false, settlements: settlements.take() });
    };
    const origin: MessageOrigin = {
      defaultExchange: this.#defaultExchange,
      settle: ({ deliveryTag }, outcome) => {
        // What it was delivered on is gone, and it is back in its queue.
        if (channel.ended) return;
        settlements.add(deliveryTag, outcome);
        if (isScheduled) return;
        isScheduled = true;
        this.#cluster.clock.afterTurn(flush);
      },
    };
    return { channel, origin, flush };
  }
}

function ignore(): void {}

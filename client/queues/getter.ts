/** Takes messages one by one, on one channel for a virtual host. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
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
  /** The user is told about all that was settled so far. */
  onFlushed(): void;
}

export class Getter {
  readonly #cluster: Cluster;
  readonly #virtualHost: string;
  readonly #defaultExchange: Exchange;
  #open: OpenGetter | undefined;
  /** Something was settled whose channel was lost before a flush; the next {@link flush} must own up to it. */
  #settledInVain = false;

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

  /** Resolves when everything that was settled is on stable storage. Rejects with CONNECTION_LOST if that is not known. */
  async flush(): Promise<void> {
    const open = this.#open;
    const settledInVain = this.#settledInVain;
    this.#settledInVain = false;
    if (settledInVain) throw new BurrowError('CONNECTION_LOST');
    if (open === undefined || open.channel.ended) return;
    open.flush();
    open.onFlushed();
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
    let isUnaccounted = false;
    const onLost = (): void => {
      if (isUnaccounted) this.#settledInVain = true;
    };
    const channel = new Channel(
      this.#cluster.any(),
      this.#virtualHost,
      { onDeliveries: ignore, onConsumerEnded: ignore, onLost },
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
        if (channel.ended) {
          this.#settledInVain = true;
          return;
        }
        isUnaccounted = true;
        settlements.add(deliveryTag, outcome);
        if (isScheduled) return;
        isScheduled = true;
        this.#cluster.clock.afterTurn(flush);
      },
    };
    const onFlushed = (): void => {
      isUnaccounted = false;
    };
    return { channel, origin, flush, onFlushed };
  }
}

function ignore(): void {}

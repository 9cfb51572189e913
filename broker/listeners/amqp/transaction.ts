/**
 * What a channel does in AMQP's transactions (class tx): publishes and settlements wait for the commit, which is answered when all that
 * was published is stored and all settlements are. As in RabbitMQ they are not atomic over several queues.
 */
import type { PublishedMessage } from '../../queues/message-batch.ts';
import type { QueueSessionChannel } from '../../queues/queue-service.ts';
import { AmqpException } from './reply-codes.ts';

interface WaitingPublish {
  readonly message: PublishedMessage;
  readonly mandatory: boolean;
}

export interface WaitingSettlement {
  readonly deliveryTag: number;
  readonly multiple: boolean;
  /** Undefined: acknowledged. */
  readonly requeue: boolean | undefined;
}

/** What a waiting publish takes beside its bytes, about. */
const PUBLISH_OVERHEAD_BYTES = 200;

export class Transaction {
  readonly #channel: QueueSessionChannel;
  readonly #bytesMax: number;
  #publishes: WaitingPublish[] = [];
  #settlements: WaitingSettlement[] = [];
  #bytes = 0;
  /** Number of the last message that was published, by the channel's count. */
  #published = 0;
  /** Everything up to here is confirmed or refused. */
  #confirmed = 0;
  readonly #above = new Set<number>();
  /** A message of the transaction that is being committed was not taken, or not stored. */
  #isRefused = false;
  #onSettled: (() => void) | undefined;

  constructor(channel: QueueSessionChannel, bytesMax: number) {
    this.#channel = channel;
    this.#bytesMax = bytesMax;
  }

  /** @throws BurrowError what a publish would meet now, as in RabbitMQ: EXCHANGE_NOT_FOUND, ACCESS_REFUSED, INVALID_ARGUMENT */
  addPublish(message: PublishedMessage, mandatory: boolean): void {
    this.#channel.checkRoute(message);
    let bytes = PUBLISH_OVERHEAD_BYTES + message.properties.length;
    for (const piece of message.body) bytes += piece.length;
    this.#bytes += bytes;
    if (this.#bytes > this.#bytesMax) {
      throw new AmqpException('PRECONDITION_FAILED', `the transaction is larger than ${this.#bytesMax} bytes`);
    }
    const copy = {
      ...message,
      properties: Buffer.from(message.properties),
      body: message.body.map((piece) => Buffer.from(piece)),
    };
    this.#publishes.push({ message: copy, mandatory });
  }

  /** @throws BurrowError UNKNOWN_DELIVERY_TAG */
  addSettlement(settlement: WaitingSettlement): void {
    this.#channel.checkUnsettled(settlement.deliveryTag, settlement.multiple);
    this.#bytes += PUBLISH_OVERHEAD_BYTES;
    this.#settlements.push(settlement);
  }

  /** @throws whatever a publish or settlement meets; what came before it is done */
  async commit(): Promise<void> {
    const publishes = this.#publishes;
    const settlements = this.#settlements;
    this.rollback();
    this.#isRefused = false;
    for (const { message, mandatory } of publishes) {
      this.#channel.publish(message, { mandatory });
      this.#published++;
    }
    for (const { deliveryTag, multiple, requeue } of settlements) {
      if (requeue === undefined) this.#channel.acknowledge(deliveryTag, multiple);
      else this.#channel.reject(deliveryTag, { multiple, requeue });
    }
    while (this.#confirmed < this.#published) {
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve;
      });
    }
    if (settlements.length > 0) await this.#channel.settlementsSynced();
    // RabbitMQ's answer, too (rabbit_channel:send_nacks): the rest of it is done.
    if (this.#isRefused) throw new AmqpException('PRECONDITION_FAILED', 'partial tx completion');
  }

  rollback(): void {
    this.#publishes = [];
    this.#settlements = [];
    this.#bytes = 0;
  }

  onConfirmed(number: number, multiple: boolean): void {
    if (multiple) this.#confirmed = Math.max(this.#confirmed, number);
    else this.#above.add(number);
    this.#advance();
  }

  onRefused(number: number): void {
    this.#isRefused = true;
    this.#above.add(number);
    this.#advance();
  }

  #advance(): void {
    while (this.#above.delete(this.#confirmed + 1)) this.#confirmed++;
    if (this.#confirmed < this.#published) return;
    this.#above.clear();
    this.#onSettled?.();
    this.#onSettled = undefined;
  }
}

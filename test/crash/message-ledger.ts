/**
 * What is known about the messages of a queue and of the queue of its dead letters, and the judge of it: what was confirmed is never
 * lost, what was settled durably never comes back. The ledger asks nobody and waits for nothing.
 *
 * A message tells who it is in its body: `<number>:<padding>`. It may be there more than once: a client that lost its connection
 * publishes again what was not confirmed, and a broker that dies while it moves a dead letter may leave it in both queues. So the
 * ledger counts how many copies there may be, and what was settled for sure of them.
 */
export type Place = 'queue' | 'dead';
/** What consumers do with a message. */
export type Decision = 'ack' | 'requeue' | 'reject';

interface Copies {
  /** That can have come here at most. */
  max: number;
  settledForSure: number;
}

export interface PublishedMessage {
  readonly number: number;
  readonly queue: Copies;
  readonly dead: Copies;
  confirmed: boolean;
  /** Somebody acknowledged a copy, or rejected a dead letter: it may be gone, durably or not. */
  acknowledged: boolean;
  /** What happened to it, to be told when a promise is broken. */
  readonly history: string[];
}

const PADDING_MAX = 300;

export class MessageLedger {
  readonly counts = { published: 0, confirmed: 0, delivered: 0, redelivered: 0, deadLetters: 0, settledForSure: 0 };
  readonly #messages: PublishedMessage[] = [];

  publish(): { readonly message: PublishedMessage; readonly body: Buffer } {
    const number = this.#messages.length;
    const copies = (max: number): Copies => ({ max, settledForSure: 0 });
    const message = { number, queue: copies(1), dead: copies(0), confirmed: false, acknowledged: false, history: [] };
    this.#messages.push(message);
    this.counts.published++;
    return { message, body: bodyOf(number) };
  }

  /** @param resends - how often the client may have published it again before */
  confirmed(message: PublishedMessage, resends = 0): void {
    message.confirmed = true;
    message.history.push(`confirmed after ${resends} resends at most`);
    message.queue.max += resends;
    this.counts.confirmed++;
  }

  /** It was delivered, or seen there. Throws if it cannot be there. */
  seen(place: Place, body: Uint8Array): PublishedMessage {
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    const message = this.#messages[Number.parseInt(text.toString('latin1', 0, 16), 10)];
    if (message === undefined || !bodyOf(message.number).equals(text)) {
      throw new Error(`"${text.toString('latin1', 0, 40)}" was never published like that`);
    }
    const { max, settledForSure } = message[place];
    if (max === 0) throw broken(message, 'is a dead letter, but nobody rejected it');
    // Of a message that is not confirmed yet there may be copies of which nobody knows.
    if (settledForSure >= max && message.confirmed) {
      throw broken(message, `came back to "${place}", but was settled durably (${settledForSure} of ${max})`);
    }
    return message;
  }

  /** As {@link seen}, counted. */
  delivered(place: Place, body: Uint8Array, redelivered: boolean): PublishedMessage {
    const message = this.seen(place, body);
    message.history.push(`delivered from ${place}${redelivered ? ' again' : ''}`);
    this.counts.delivered++;
    if (redelivered) this.counts.redelivered++;
    if (place === 'dead') this.counts.deadLetters++;
    return message;
  }

  /** A consumer is about to tell the broker so. */
  decided(place: Place, message: PublishedMessage, decision: Decision): void {
    message.history.push(`${decision} to ${place}`);
    // Each time it is rejected, one dead letter may come of it; a dead letter that is rejected is dropped.
    if (decision === 'reject' && place === 'queue') message.dead.max++;
    else if (decision !== 'requeue') message.acknowledged = true;
  }

  /** The broker said that an acknowledgment or a rejection is durable. */
  settledForSure(place: Place, message: PublishedMessage): void {
    message[place].settledForSure++;
    message.history.push('durably');
    this.counts.settledForSure++;
  }

  /** Those that must be in one of the queues, if nobody acknowledges any from now on. */
  kept(): PublishedMessage[] {
    return this.#messages.filter(({ confirmed, acknowledged }) => confirmed && !acknowledged);
  }

  /**
   * Holds what is in the queues against what must be there.
   * @param kept - as {@link kept} told before the queues were read
   */
  checkStored(kept: readonly PublishedMessage[], found: ReadonlySet<PublishedMessage>): void {
    for (const message of kept) {
      if (!found.has(message)) throw broken(message, 'is lost, confirmed and still wanted');
    }
  }
}

function broken({ number, history }: PublishedMessage, what: string): Error {
  return new Error(`message ${number} ${what}: ${history.join(', ')}`);
}

function bodyOf(number: number): Buffer {
  return Buffer.from(`${number}:${'.'.repeat((number * 37) % PADDING_MAX)}`);
}

/**
 * What a queue with message groups has promised, kept apart from it: of each key at most one message is in process, they come in
 * the order in which they were published, one that comes back is the next of its key, and none is lost. Fed with what
 * publishers and consumers see; throws where that breaks a promise.
 *
 * Consumers are known by any value. What one of them has settled counts as settled; only after its connection was lost, or the broker died,
 * may it come again, and only before those that follow it.
 */

type Place =
  /** Published; not known to be stored. */
  | 'sent'
  /** The broker died before it said that it was stored. */
  | 'unknown'
  | 'stored'
  /** A consumer has it. */
  | 'in process'
  /** Rejected; its dead letter has not arrived. The next of its key waits for that. */
  | 'doomed'
  | 'settled'
  /** Settled by somebody whose word may not have arrived. */
  | 'maybe settled'
  /** Settled before the broker died, which may not have been stored. */
  | 'maybe back'
  /** Settled, and stored so. */
  | 'gone';

export interface KeyedMessage {
  readonly key: string;
  /** Counts from 0 in its key. */
  readonly number: number;
  place: Place;
  /** Where it has been, for whoever must find out. */
  readonly history: Place[];
}

interface Key {
  readonly messages: KeyedMessage[];
  /** Those below are gone for good. */
  low: number;
  /** The last one that was delivered since the broker began. */
  last: number;
  holder: { readonly consumer: unknown; readonly message: KeyedMessage } | undefined;
}

export class KeyOrderLedger {
  readonly #keys = new Map<string, Key>();
  /** By consumer: what it has and has not settled. */
  readonly #held = new Map<unknown, Set<KeyedMessage>>();
  /** By consumer: what it has settled, and nobody has said that this is stored. */
  readonly #unsure = new Map<unknown, Set<KeyedMessage>>();
  readonly counts = { published: 0, deliveries: 0, redeliveries: 0, settled: 0, returned: 0, lost: 0, deaths: 0 };

  /** Messages that are not settled: those that were lost or came again are counted roughly. */
  get left(): number {
    return this.counts.published - this.counts.settled;
  }

  publish(key: string): KeyedMessage {
    let entry = this.#keys.get(key);
    if (entry === undefined) {
      entry = { messages: [], low: 0, last: -1, holder: undefined };
      this.#keys.set(key, entry);
    }
    const message: KeyedMessage = { key, number: entry.messages.length, place: 'sent', history: [] };
    entry.messages.push(message);
    this.counts.published++;
    return message;
  }

  stored(message: KeyedMessage): void {
    if (message.place === 'sent' || message.place === 'unknown') move(message, 'stored');
  }

  delivered(consumer: unknown, key: string, number: number): KeyedMessage {
    const entry = this.#keys.get(key);
    const message = entry?.messages[number];
    if (entry === undefined || message === undefined) throw new Error(`nobody published ${key} ${number}`);
    const name = `${key} ${number}`;
    const { holder } = entry;
    if (holder !== undefined)
      throw new Error(`${name} is delivered while ${key} ${holder.message.number} is in process`);
    if (message.place === 'settled' || message.place === 'gone' || message.place === 'doomed') {
      throw new Error(`${name} is delivered although it is ${message.place} (${message.history.join(', ')})`);
    }
    if (number < entry.last) throw new Error(`${name} is delivered after ${key} ${entry.last}`);
    for (let before = entry.low; before < number; before++) this.#pass(entry.messages[before]!, name);
    while (entry.messages[entry.low]!.place === 'gone') entry.low++;
    this.counts.deliveries++;
    if (number === entry.last) this.counts.redeliveries++;
    move(message, 'in process');
    entry.last = number;
    entry.holder = { consumer, message };
    setOf(this.#held, consumer).add(message);
    return message;
  }

  /** One that stands before the message that is delivered now. */
  #pass(message: KeyedMessage, name: string): void {
    switch (message.place) {
      case 'settled':
      case 'gone':
        return;
      case 'maybe settled':
        move(message, 'settled');
        setOf(this.#unsure, undefined).add(message);
        return;
      case 'unknown':
      case 'maybe back':
        move(message, 'gone');
        return;
      default:
        throw new Error(`${name} overtakes ${message.key} ${message.number}, which is ${message.place}`);
    }
  }

  /** The consumer is done with it, for good. */
  settled(consumer: unknown, message: KeyedMessage): void {
    this.#release(consumer, message);
    this.#isSettled(consumer, message);
  }

  #isSettled(consumer: unknown, message: KeyedMessage): void {
    move(message, 'settled');
    this.counts.settled++;
    setOf(this.#unsure, consumer).add(message);
  }

  returned(consumer: unknown, message: KeyedMessage): void {
    this.#release(consumer, message);
    move(message, 'stored');
    this.counts.returned++;
  }

  /** Nobody gets it any more, but it is not settled before its dead letter has arrived. */
  doomed(consumer: unknown, message: KeyedMessage): void {
    this.#release(consumer, message);
    move(message, 'doomed');
  }

  /** The dead letter has arrived, or has not and the message is back. */
  buried(key: string, number: number, done: boolean): void {
    const message = this.#keys.get(key)!.messages[number]!;
    if (message.place !== 'doomed') throw new Error(`${key} ${number} is dead-lettered while it is ${message.place}`);
    if (done) this.#isSettled(undefined, message);
    else move(message, 'stored');
  }

  /** The consumer is gone and everybody knows: what it had is back. */
  closed(consumer: unknown): void {
    for (const message of this.#held.get(consumer) ?? []) this.returned(consumer, message);
    this.#held.delete(consumer);
  }

  /** The connection of a consumer is lost: what it had is back, and what it settled may be, too. */
  lost(consumer: unknown): void {
    this.counts.lost++;
    this.closed(consumer);
    for (const message of this.#unsure.get(consumer) ?? []) move(message, 'maybe settled');
    this.#unsure.delete(consumer);
  }

  /** The broker has died. */
  died(): void {
    this.counts.deaths++;
    for (const consumer of [...this.#held.keys()]) this.closed(consumer);
    this.#unsure.clear();
    for (const entry of this.#keys.values()) {
      entry.last = -1;
      for (let index = entry.low; index < entry.messages.length; index++) {
        const message = entry.messages[index]!;
        if (message.place === 'sent') move(message, 'unknown');
        else if (message.place === 'doomed') move(message, 'stored');
        else if (message.place === 'settled' || message.place === 'maybe settled') move(message, 'maybe back');
      }
    }
  }

  /** What a consumer, or everybody, has settled by now: to be given to {@link durable} when that is known to be stored. */
  beginSync(consumer?: unknown): KeyedMessage[] {
    const sets = consumer === undefined ? this.#unsure.values() : [this.#unsure.get(consumer) ?? []];
    return [...sets].flatMap((set) => [...set]);
  }

  durable(messages: readonly KeyedMessage[]): void {
    for (const message of messages) {
      if (message.place === 'in process' || message.place === 'stored') {
        throw new Error(`${message.key} ${message.number} was settled durably, and is ${message.place}`);
      }
      move(message, 'gone');
    }
    const gone = new Set(messages);
    for (const unsure of this.#unsure.values())
      for (const message of unsure) if (gone.has(message)) unsure.delete(message);
  }

  /** Nothing comes any more: nothing may be missing. */
  checkDrained(): void {
    for (const { messages, low } of this.#keys.values()) {
      const missing = messages.slice(low).find(isLeft);
      if (missing === undefined) continue;
      throw new Error(`${missing.key} ${missing.number} was never settled: it is ${missing.place}`);
    }
  }

  /** Messages that must still be delivered, or settled, but for those of some keys. */
  leftExcept(keys: ReadonlySet<string>): number {
    let left = 0;
    for (const [key, { messages, low }] of this.#keys) {
      if (!keys.has(key)) left += messages.slice(low).filter(isLeft).length;
    }
    return left;
  }

  #release(consumer: unknown, message: KeyedMessage): void {
    const entry = this.#keys.get(message.key)!;
    if (entry.holder?.message !== message || entry.holder.consumer !== consumer) {
      throw new Error(`${message.key} ${message.number} is not held by who settles it`);
    }
    entry.holder = undefined;
    this.#held.get(consumer)!.delete(message);
  }
}

function move(message: KeyedMessage, place: Place): void {
  message.history.push(message.place);
  message.place = place;
}

function isLeft({ place }: KeyedMessage): boolean {
  return place === 'sent' || place === 'stored' || place === 'in process' || place === 'doomed';
}

function setOf<K, V>(sets: Map<K, Set<V>>, key: K): Set<V> {
  let set = sets.get(key);
  if (set === undefined) {
    set = new Set();
    sets.set(key, set);
  }
  return set;
}

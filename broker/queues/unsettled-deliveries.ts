/**
 * The deliveries of one channel that are not settled yet, by delivery tag. Tags count up from 1 (AMQP 0-9-1, section 3.1.3);
 * so they are a ring, not a map. A few old ones that stay, while many others come and go, move out of the ring: it need not
 * reach back to them. Per message: no objects.
 */
import type { ConsumedQueue, QueueConsumer } from './queue-consumer.ts';

const CAPACITY_INITIAL = 64;
/** A smaller ring is enlarged, even if it is nearly empty. */
const SPARSE_CAPACITY_MIN = 1024;

interface Delivery {
  readonly queue: ConsumedQueue;
  readonly consumer: QueueConsumer | undefined;
  readonly offset: number;
  readonly bytes: number;
  readonly deliveredMs: number;
}

export class UnsettledDeliveries {
  /** What {@link take} took out last. */
  queue: ConsumedQueue | undefined;
  /** Undefined for a message that was asked for one by one. */
  consumer: QueueConsumer | undefined;
  offset = -1;
  /** Of the body. */
  bytes = 0;
  #queues: Array<ConsumedQueue | undefined> = new Array(CAPACITY_INITIAL);
  #consumers: Array<QueueConsumer | undefined> = new Array(CAPACITY_INITIAL);
  /** Offset, bytes of the body, and time of each. */
  #numbers = new Float64Array(CAPACITY_INITIAL * 3);
  #mask = CAPACITY_INITIAL - 1;
  /** Those that have left the ring, ascending. */
  readonly #stayed = new Map<number, Delivery>();
  /** Start of the ring. Invariant: everything below is settled or has left it; it is not itself, unless the ring is empty. */
  #first = 1;
  #next = 1;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The lowest tag that is not settled; the next one to come if all are. */
  get firstTag(): number {
    return this.#stayed.size === 0 ? this.#first : this.#stayed.keys().next().value!;
  }

  /** Deliveries that the ring has room for. */
  get capacity(): number {
    return this.#mask + 1;
  }

  /** The tag that the next delivery gets. */
  get nextTag(): number {
    return this.#next;
  }

  /** Gives the next delivery its tag. One that needs no settling takes a tag too: see {@link skip}. */
  add(queue: ConsumedQueue, consumer: QueueConsumer | undefined, offset: number, bytes: number, nowMs: number): number {
    if (this.#next - this.#first > this.#mask) this.#makeRoom();
    const tag = this.#next++;
    const slot = tag & this.#mask;
    this.#queues[slot] = queue;
    this.#consumers[slot] = consumer;
    this.#numbers[slot * 3] = offset;
    this.#numbers[slot * 3 + 1] = bytes;
    this.#numbers[slot * 3 + 2] = nowMs;
    this.#count++;
    return tag;
  }

  /** The tag of a delivery that is settled already. */
  skip(): number {
    if (this.#next - this.#first > this.#mask) this.#makeRoom();
    const tag = this.#next++;
    this.#queues[tag & this.#mask] = undefined;
    if (this.#first === tag) this.#first = this.#next;
    return tag;
  }

  has(tag: number): boolean {
    if (tag < this.#first) return this.#stayed.has(tag);
    return tag < this.#next && this.#queues[tag & this.#mask] !== undefined;
  }

  /** When the oldest was handed out; Infinity if there is none. */
  get oldestMs(): number {
    if (this.#count === 0) return Number.POSITIVE_INFINITY;
    for (const { deliveredMs } of this.#stayed.values()) return deliveredMs;
    return this.#numbers[(this.#first & this.#mask) * 3 + 2]!;
  }

  /** Takes one out, into the fields `queue`, `consumer`, `offset` and `bytes`; false if it is not there. */
  take(tag: number): boolean {
    if (tag < this.#first) return this.#takeStayed(tag);
    if (!this.has(tag)) return false;
    const slot = tag & this.#mask;
    this.queue = this.#queues[slot];
    this.consumer = this.#consumers[slot];
    this.offset = this.#numbers[slot * 3]!;
    this.bytes = this.#numbers[slot * 3 + 1]!;
    this.#queues[slot] = undefined;
    this.#consumers[slot] = undefined;
    this.#count--;
    if (tag === this.#first) this.#moveFirst(tag + 1);
    return true;
  }

  #takeStayed(tag: number): boolean {
    const delivery = this.#stayed.get(tag);
    if (delivery === undefined) return false;
    this.#stayed.delete(tag);
    this.queue = delivery.queue;
    this.consumer = delivery.consumer;
    this.offset = delivery.offset;
    this.bytes = delivery.bytes;
    this.#count--;
    return true;
  }

  /** The ring begins at the first delivery at or behind `tag`. */
  #moveFirst(tag: number): void {
    while (tag < this.#next && this.#queues[tag & this.#mask] === undefined) tag++;
    this.#first = tag;
  }

  #makeRoom(): void {
    const { capacity } = this;
    if (capacity < SPARSE_CAPACITY_MIN || (this.#count - this.#stayed.size) * 4 > capacity) {
      this.#enlarge();
      return;
    }
    const end = this.#first + capacity / 2;
    for (let tag = this.#first; tag < end; tag++) {
      const slot = tag & this.#mask;
      const queue = this.#queues[slot];
      if (queue === undefined) continue;
      this.#stayed.set(tag, {
        queue,
        consumer: this.#consumers[slot],
        offset: this.#numbers[slot * 3]!,
        bytes: this.#numbers[slot * 3 + 1]!,
        deliveredMs: this.#numbers[slot * 3 + 2]!,
      });
      this.#queues[slot] = undefined;
      this.#consumers[slot] = undefined;
    }
    this.#moveFirst(end);
  }

  #enlarge(): void {
    const capacity = (this.#mask + 1) * 2;
    const queues: Array<ConsumedQueue | undefined> = new Array(capacity);
    const consumers: Array<QueueConsumer | undefined> = new Array(capacity);
    const numbers = new Float64Array(capacity * 3);
    for (let tag = this.#first; tag < this.#next; tag++) {
      const from = tag & this.#mask;
      const to = tag & (capacity - 1);
      queues[to] = this.#queues[from];
      consumers[to] = this.#consumers[from];
      numbers.set(this.#numbers.subarray(from * 3, from * 3 + 3), to * 3);
    }
    this.#queues = queues;
    this.#consumers = consumers;
    this.#numbers = numbers;
    this.#mask = capacity - 1;
  }
}

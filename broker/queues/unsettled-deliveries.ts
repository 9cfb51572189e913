/**
 * The deliveries of one channel that are not settled yet, by delivery tag. Tags count up from 1 (AMQP 0-9-1, section 3.1.3);
 * so they are a ring, not a map. Per message: no objects.
 */
import type { Queue } from './queue.ts';
import type { QueueConsumer } from './queue-consumer.ts';

const CAPACITY_INITIAL = 64;

export class UnsettledDeliveries {
  /** What {@link take} took out last. */
  queue: Queue | undefined;
  /** Undefined for a message that was asked for one by one. */
  consumer: QueueConsumer | undefined;
  offset = -1;
  /** Of the body. */
  bytes = 0;
  #queues: Array<Queue | undefined> = new Array(CAPACITY_INITIAL);
  #consumers: Array<QueueConsumer | undefined> = new Array(CAPACITY_INITIAL);
  /** Offset, bytes of the body, and time of each. */
  #numbers = new Float64Array(CAPACITY_INITIAL * 3);
  #mask = CAPACITY_INITIAL - 1;
  /** Invariant: everything below is settled, and it is not, unless the ring is empty. */
  #first = 1;
  #next = 1;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The lowest tag that is not settled; the next one to come if all are. */
  get firstTag(): number {
    return this.#first;
  }

  /** The tag that the next delivery gets. */
  get nextTag(): number {
    return this.#next;
  }

  /** Gives the next delivery its tag. One that needs no settling takes a tag too: see {@link skip}. */
  add(queue: Queue, consumer: QueueConsumer | undefined, offset: number, bytes: number, nowMs: number): number {
    if (this.#next - this.#first > this.#mask) this.#enlarge();
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
    if (this.#next - this.#first > this.#mask) this.#enlarge();
    const tag = this.#next++;
    this.#queues[tag & this.#mask] = undefined;
    if (this.#first === tag) this.#first = this.#next;
    return tag;
  }

  has(tag: number): boolean {
    return tag >= this.#first && tag < this.#next && this.#queues[tag & this.#mask] !== undefined;
  }

  /** When the oldest was handed out; Infinity if there is none. */
  get oldestMs(): number {
    return this.#count === 0 ? Number.POSITIVE_INFINITY : this.#numbers[(this.#first & this.#mask) * 3 + 2]!;
  }

  /** Takes one out, into the fields `queue`, `consumer`, `offset` and `bytes`; false if it is not there. */
  take(tag: number): boolean {
    if (!this.has(tag)) return false;
    const slot = tag & this.#mask;
    this.queue = this.#queues[slot];
    this.consumer = this.#consumers[slot];
    this.offset = this.#numbers[slot * 3]!;
    this.bytes = this.#numbers[slot * 3 + 1]!;
    this.#queues[slot] = undefined;
    this.#consumers[slot] = undefined;
    this.#count--;
    if (tag === this.#first) {
      do this.#first++;
      while (this.#first < this.#next && this.#queues[this.#first & this.#mask] === undefined);
    }
    return true;
  }

  #enlarge(): void {
    const capacity = (this.#mask + 1) * 2;
    const queues: Array<Queue | undefined> = new Array(capacity);
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

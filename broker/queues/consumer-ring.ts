/**
 * Which consumer of a queue gets the next message: those of the highest priority that have credit, in turn; with a single
 * active consumer always the same one, until it goes. Pure. Per message: no objects.
 */
export interface RingConsumer {
  readonly priority: number;
  /** Whether it takes a message now: its prefetch is not used up and its connection can be written to. */
  readonly canTake: boolean;
  /** Whether it stands in a ring, to be asked. Moved by the ring only. */
  isQueued: boolean;
}

interface Level<C> {
  readonly priority: number;
  waiting: C[];
  head: number;
}

export class ConsumerRing<C extends RingConsumer> {
  readonly #singleActive: boolean;
  /** In the order in which they came. */
  readonly #consumers = new Set<C>();
  /** Highest priority first. */
  #levels: Array<Level<C>> = [];
  #active: C | undefined;

  constructor(singleActive: boolean) {
    this.#singleActive = singleActive;
  }

  get count(): number {
    return this.#consumers.size;
  }

  get consumers(): Iterable<C> {
    return this.#consumers;
  }

  /** With a single active consumer: that one. */
  get active(): C | undefined {
    return this.#active;
  }

  add(consumer: C): void {
    this.#consumers.add(consumer);
    if (!this.#levels.some(({ priority }) => priority === consumer.priority)) {
      this.#levels.push({ priority: consumer.priority, waiting: [], head: 0 });
      this.#levels.sort((a, b) => b.priority - a.priority);
    }
    if (this.#singleActive && this.#active === undefined) this.#active = consumer;
    this.onCredit(consumer);
  }

  /** Returns the consumer that became the active one by this, if any. */
  remove(consumer: C): C | undefined {
    if (!this.#consumers.delete(consumer)) return undefined;
    consumer.isQueued = false;
    for (const level of this.#levels) {
      const index = level.waiting.indexOf(consumer, level.head);
      if (index !== -1) level.waiting.splice(index, 1);
    }
    this.#levels = this.#levels.filter(({ priority }) => this.#has(priority));
    if (this.#active !== consumer) return undefined;
    this.#active = this.#successor();
    if (this.#active !== undefined) this.onCredit(this.#active);
    return this.#active;
  }

  /** It may be able to take messages again. */
  onCredit(consumer: C): void {
    if (consumer.isQueued || !consumer.canTake || !this.#consumers.has(consumer)) return;
    if (this.#singleActive && consumer !== this.#active) return;
    consumer.isQueued = true;
    this.#levels.find(({ priority }) => priority === consumer.priority)!.waiting.push(consumer);
  }

  /** Who gets the next message; it stays first until {@link served} or until it has no credit. */
  next(): C | undefined {
    for (const level of this.#levels) {
      while (level.head < level.waiting.length) {
        const consumer = level.waiting[level.head]!;
        if (consumer.canTake) return consumer;
        consumer.isQueued = false;
        advance(level);
      }
    }
    return undefined;
  }

  /** The consumer that {@link next} told got a message: others of its priority are next. */
  served(consumer: C): void {
    const level = this.#levels.find(({ priority }) => priority === consumer.priority);
    // It may have gone while it was served.
    if (level === undefined || level.waiting[level.head] !== consumer) return;
    if (level.head + 1 === level.waiting.length && consumer.canTake) return;
    consumer.isQueued = false;
    advance(level);
    this.onCredit(consumer);
  }

  #has(priority: number): boolean {
    for (const consumer of this.#consumers) if (consumer.priority === priority) return true;
    return false;
  }

  /** As in RabbitMQ: the highest priority, then who came first. */
  #successor(): C | undefined {
    let best: C | undefined;
    for (const consumer of this.#consumers)
      if (best === undefined || consumer.priority > best.priority) best = consumer;
    return best;
  }
}

function advance<C>(level: Level<C>): void {
  level.head++;
  if (level.head < 64 && level.head < level.waiting.length) return;
  level.waiting = level.waiting.slice(level.head);
  level.head = 0;
}

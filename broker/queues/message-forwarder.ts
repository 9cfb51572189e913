/**
 * Hands messages that come from a place of the broker (a queue they died in, an exchange that delayed them) to their targets, and
 * tells that place when all of them have stored the message: only then it may let go of it. If some have not, the place tries
 * again later; those that have the message already do not get it again.
 */
import type { RouteTarget } from '../exchanges/destination.ts';
import type { PublishedMessage } from './message-batch.ts';
import type { StoredTarget } from './message-log.ts';

/** Hands a message to one target; false if that is full. Else `stored` is told by `number` what becomes of it. */
export type PublishTo = (
  target: RouteTarget,
  message: PublishedMessage,
  stored: StoredTarget,
  number: number,
) => boolean;

export type ForwardOutcome =
  | 'stored'
  /** A target has no room. */
  | 'full'
  /** A target could not store it. */
  | 'failed';

/** Where a message comes from: the object that keeps it, and its offset there. */
export interface ForwardOrigin {
  readonly place: object;
  readonly offset: number;
}

interface Forwarding {
  readonly origin: ForwardOrigin | undefined;
  readonly onDone: (outcome: ForwardOutcome) => void;
  /** Targets that have not answered, and one more while the message is handed out. */
  waiting: number;
  outcome: ForwardOutcome;
  /** Targets that have it, if there are several. */
  readonly stored: string[];
}

/** Messages of one place of which it is remembered who has them already. Beyond, the oldest may be stored twice. */
const PARTLY_STORED_MAX = 10_000;

export class MessageForwarder {
  readonly #publishTo: PublishTo;
  readonly #forwardings = new Map<number, Forwarding>();
  #nextNumber = 1;
  /** Those that have something to answer, by identity. */
  readonly #targets = new Map<string, Target>();
  /** By place and offset: who has a message that others have not. */
  readonly #partlyStored = new WeakMap<object, Map<number, ReadonlySet<string>>>();

  constructor(publishTo: PublishTo) {
    this.#publishTo = publishTo;
  }

  /** Messages on their way. */
  get count(): number {
    return this.#forwardings.size;
  }

  /** The bytes of the message are copied before it returns. `onDone` may be called before that. */
  forward(
    message: PublishedMessage,
    targets: readonly RouteTarget[],
    origin: ForwardOrigin | undefined,
    onDone: (outcome: ForwardOutcome) => void,
  ): void {
    const number = this.#nextNumber++;
    const already = this.#storedBy(origin);
    const forwarding: Forwarding = { origin, onDone, waiting: 1, outcome: 'stored', stored: [...(already ?? [])] };
    this.#forwardings.set(number, forwarding);
    for (const target of targets) {
      const identity = identityOf(target);
      if (already?.has(identity) === true) continue;
      forwarding.waiting++;
      const stored = this.#target(identity);
      stored.waiting++;
      if (!this.#publishTo(target, message, stored, number)) stored.answer(number, 'full');
    }
    this.#answered(number);
  }

  /** Whether a target has the message of an earlier try. */
  isPartlyStored(origin: ForwardOrigin): boolean {
    return this.#storedBy(origin) !== undefined;
  }

  #storedBy(origin: ForwardOrigin | undefined): ReadonlySet<string> | undefined {
    return origin === undefined ? undefined : this.#partlyStored.get(origin.place)?.get(origin.offset);
  }

  #target(identity: string): Target {
    let target = this.#targets.get(identity);
    if (target === undefined) {
      target = new Target((number, outcome) => {
        if (target!.waiting === 0) this.#targets.delete(identity);
        const forwarding = this.#forwardings.get(number)!;
        if (outcome === 'stored') forwarding.stored.push(identity);
        else if (forwarding.outcome !== 'failed') forwarding.outcome = outcome;
        this.#answered(number);
      });
      this.#targets.set(identity, target);
    }
    return target;
  }

  #answered(number: number): void {
    const forwarding = this.#forwardings.get(number)!;
    if (--forwarding.waiting > 0) return;
    this.#forwardings.delete(number);
    const { origin, outcome, stored, onDone } = forwarding;
    if (origin !== undefined) this.#note(origin, outcome === 'stored' ? [] : stored);
    onDone(outcome);
  }

  #note({ place, offset }: ForwardOrigin, stored: readonly string[]): void {
    let notes = this.#partlyStored.get(place);
    notes?.delete(offset);
    if (stored.length === 0) return;
    if (notes === undefined) {
      notes = new Map();
      this.#partlyStored.set(place, notes);
    }
    notes.set(offset, new Set(stored));
    if (notes.size > PARTLY_STORED_MAX) notes.delete(notes.keys().next().value!);
  }
}

/** One target's answers. */
class Target implements StoredTarget {
  readonly #onAnswer: (number: number, outcome: ForwardOutcome) => void;
  /** Messages that it has not answered yet. */
  waiting = 0;

  constructor(onAnswer: (number: number, outcome: ForwardOutcome) => void) {
    this.#onAnswer = onAnswer;
  }

  answer(number: number, outcome: ForwardOutcome): void {
    this.waiting--;
    this.#onAnswer(number, outcome);
  }

  onStored(first: number, last: number): void {
    for (let number = first; number <= last; number++) this.answer(number, 'stored');
  }

  onNotStored(first: number, last: number): void {
    for (let number = first; number <= last; number++) this.answer(number, 'failed');
  }
}

function identityOf({ kind, name }: RouteTarget): string {
  return `${kind} ${name}`;
}

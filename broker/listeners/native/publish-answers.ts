/**
 * What becomes of the publish requests of one channel: each is answered once all of its messages are confirmed or refused, in
 * whatever order that happens. Messages that go to one queue are confirmed in runs, which costs a few comparisons per run.
 */
import { type BurrowError, toBurrowError } from '../../../src/errors/burrow-error.ts';
import { errorRow } from '../../../src/errors/table.ts';
import type { ResponseOf } from '../../../src/protocol/messages.ts';

type PublishAnswer = ResponseOf<'publish'>;
type RefusedRun = { start: number; end: number; errorNumber: number; message: string | null };
type Run = { start: number; end: number };

class PublishRequest {
  readonly done: Promise<PublishAnswer>;
  resolve!: (answer: PublishAnswer) => void;
  reject!: (error: BurrowError) => void;
  readonly refused: RefusedRun[] = [];
  readonly unroutable: Run[] = [];
  /** Confirm numbers of its messages: from `first` to before `next`. */
  readonly first: number;
  next: number;
  /** Everything below is confirmed or refused. */
  floor: number;
  /** Likewise, above the floor. */
  readonly above = new Set<number>();
  /** Positions of messages that got no number since publishing them threw, ascending. */
  readonly unnumbered: number[] = [];
  isOpen = true;

  constructor(first: number) {
    this.first = first;
    this.next = first;
    this.floor = first;
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  get isDone(): boolean {
    return !this.isOpen && this.floor === this.next;
  }

  settle(number: number): void {
    if (number < this.floor) return;
    this.above.add(number);
    while (this.above.delete(this.floor)) this.floor++;
  }

  settleThrough(last: number): void {
    const end = Math.min(last + 1, this.next);
    if (end <= this.floor) return;
    if (this.above.size > 0) for (let number = this.floor; number < end; number++) this.above.delete(number);
    this.floor = end;
    while (this.above.delete(this.floor)) this.floor++;
  }

  positionOf(number: number): number {
    let position = number - this.first;
    for (const unnumbered of this.unnumbered) {
      if (unnumbered > position) break;
      position++;
    }
    return position;
  }

  refuse(position: number, error: BurrowError | undefined): void {
    // Without an error it was a queue that rejects publishes.
    const { number: errorNumber, sentence } = errorRow(error?.code ?? 'QUEUE_FULL');
    const message = error?.message ?? sentence;
    const last = this.refused.at(-1);
    if (last?.end === position && last.errorNumber === errorNumber && last.message === message) last.end++;
    else this.refused.push({ start: position, end: position + 1, errorNumber, message });
  }

  returned(position: number): void {
    const last = this.unroutable.at(-1);
    if (last?.end === position) last.end++;
    else this.unroutable.push({ start: position, end: position + 1 });
  }
}

export class PublishAnswers {
  /** Not answered, in the order of their coming. */
  readonly #requests: PublishRequest[] = [];
  #nextNumber = 1;
  /** The one whose messages are being published, and which of them. */
  #current: PublishRequest | undefined;
  #position = 0;

  /** Begins a request; {@link publish} and {@link end} follow in the same turn. Resolves with its answer. */
  begin(): Promise<PublishAnswer> {
    this.#current = new PublishRequest(this.#nextNumber);
    this.#position = 0;
    this.#requests.push(this.#current);
    return this.#current.done;
  }

  /** The next message: `work` hands it on. One for which that throws is refused and takes no number. Per message. */
  publish(work: () => void): void {
    const current = this.#current!;
    current.next++;
    try {
      work();
      this.#nextNumber++;
    } catch (error) {
      current.next--;
      current.unnumbered.push(this.#position);
      current.refuse(this.#position, toBurrowError(error));
    }
    this.#position++;
  }

  end(): void {
    const current = this.#current!;
    this.#current = undefined;
    current.isOpen = false;
    this.#maybeAnswer(current);
  }

  /** The message that is being published goes nowhere. */
  onReturned(): void {
    this.#current!.returned(this.#position);
  }

  /** With `multiple` everything up to `number`. Numbers may be told more than once. */
  onConfirmed(number: number, multiple: boolean): void {
    if (!multiple) {
      const request = this.#find(number);
      request?.settle(number);
      if (request !== undefined) this.#maybeAnswer(request);
      return;
    }
    while (this.#requests.length > 0) {
      const request = this.#requests[0]!;
      if (request.first > number) return;
      request.settleThrough(number);
      if (!request.isDone) return;
      this.#maybeAnswer(request);
    }
  }

  onRefused(number: number, error: BurrowError | undefined): void {
    const request = this.#find(number);
    if (request === undefined) return;
    request.refuse(request.positionOf(number), error);
    request.settle(number);
    this.#maybeAnswer(request);
  }

  /** Nothing more will be known: all that wait for an answer get this error. */
  fail(error: BurrowError): void {
    for (const request of this.#requests.splice(0)) request.reject(error);
  }

  #find(number: number): PublishRequest | undefined {
    return this.#requests.find(({ first, next }) => number >= first && number < next);
  }

  #maybeAnswer(request: PublishRequest): void {
    if (!request.isDone) return;
    this.#requests.splice(this.#requests.indexOf(request), 1);
    request.resolve({ refused: request.refused, unroutable: request.unroutable });
  }
}

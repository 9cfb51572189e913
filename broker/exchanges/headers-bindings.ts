/**
 * Bindings of a headers exchange: arguments against the headers of a message (AMQP 0-9-1, 3.1.3.4; what the specification
 * leaves open as in RabbitMQ's rabbit_exchange_type_headers.erl).
 *
 * The argument `x-match` says how many of the others must be among the headers with the same value: `all` (the default)
 * or `any`, which leave arguments that begin with `x-` out; `all-with-x` and `any-with-x` leave out x-match alone. An
 * argument without a value (null) asks for the header only. `all` of no arguments matches everything, `any` nothing.
 *
 * A message looks up its headers in an index instead of trying all bindings: an `any` binding stands in it under each of
 * its arguments, an `all` binding under the one that it shared with the fewest others when it came.
 */
import { comparableValue } from '../../src/messages/field-equality.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';
import type { BindingMatcher, MatchedBinding, RoutableMessage } from './binding-matcher.ts';
import type { Destination } from './destination.ts';

type Comparable = ReturnType<typeof comparableValue>;

/** One binding, made ready for matching. */
interface HeaderPattern {
  readonly destination: Destination;
  readonly names: readonly string[];
  /** Of the argument with the same index; null: the header's presence is enough. */
  readonly values: readonly Comparable[];
  readonly all: boolean;
  /** Indexes of the arguments under which it stands in the index. */
  indexed: readonly number[];
  /** The last message that tried it. */
  attempt: number;
}

interface HeaderIndex {
  readonly byValue: Map<Comparable, Set<HeaderPattern>>;
  readonly present: Set<HeaderPattern>;
}

export class HeadersBindings implements BindingMatcher {
  readonly looksAt = 'message';
  readonly #patterns = new Map<MatchedBinding, HeaderPattern>();
  readonly #byName = new Map<string, HeaderIndex>();
  /** What matches every message. */
  readonly #always = new Set<HeaderPattern>();

  // Of the match under way.
  #attempt = 0;
  #tried = 0;
  #headers: FieldTable | undefined;
  #into: Destination[] = [];

  /** How many bindings all matching so far has tried: the work, for tests. */
  get tried(): number {
    return this.#tried;
  }

  add(binding: MatchedBinding): void {
    const pattern = patternOf(binding);
    this.#patterns.set(binding, pattern);
    if (pattern.names.length === 0) {
      if (pattern.all) this.#always.add(pattern);
      return;
    }
    const all = pattern.names.map((_, index) => index);
    pattern.indexed = pattern.all
      ? [all.reduce((best, index) => (this.#shared(pattern, index) < this.#shared(pattern, best) ? index : best))]
      : all;
    for (const index of pattern.indexed) {
      const name = pattern.names[index]!;
      const value = pattern.values[index]!;
      let indexed = this.#byName.get(name);
      if (indexed === undefined) {
        indexed = { byValue: new Map(), present: new Set() };
        this.#byName.set(name, indexed);
      }
      if (value === null) {
        indexed.present.add(pattern);
        continue;
      }
      const patterns = indexed.byValue.get(value);
      if (patterns === undefined) indexed.byValue.set(value, new Set([pattern]));
      else patterns.add(pattern);
    }
  }

  remove(binding: MatchedBinding): void {
    const pattern = this.#patterns.get(binding);
    if (pattern === undefined) return;
    this.#patterns.delete(binding);
    this.#always.delete(pattern);
    for (const index of pattern.indexed) {
      const name = pattern.names[index]!;
      const value = pattern.values[index]!;
      const { byValue, present } = this.#byName.get(name)!;
      present.delete(pattern);
      const patterns = byValue.get(value);
      patterns?.delete(pattern);
      if (patterns?.size === 0) byValue.delete(value);
      if (byValue.size + present.size === 0) this.#byName.delete(name);
    }
  }

  match(message: RoutableMessage, _routingKey: string, into: Destination[]): void {
    for (const { destination } of this.#always) into.push(destination);
    if (this.#byName.size === 0) return;
    const { headers } = message;
    if (headers === undefined || headers.size === 0) return;
    this.#attempt++;
    this.#headers = headers;
    this.#into = into;
    headers.forEach(this.#visit);
    this.#headers = undefined;
  }

  /** A header of the message. One function for all messages, since `forEach` wants one. */
  readonly #visit = (value: FieldValue, name: string): void => {
    const indexed = this.#byName.get(name);
    if (indexed === undefined) return;
    this.#tryAll(indexed.present);
    if (indexed.byValue.size > 0) this.#tryAll(indexed.byValue.get(comparableValue(value)));
  };

  /** How many patterns stand in the index under this argument. */
  #shared({ names, values }: HeaderPattern, index: number): number {
    const indexed = this.#byName.get(names[index]!);
    const value = values[index]!;
    // A header that must only be there is the last choice: many messages may have it.
    if (value === null) return Number.MAX_SAFE_INTEGER;
    return indexed === undefined ? 0 : (indexed.byValue.get(value)?.size ?? 0);
  }

  #tryAll(patterns: Set<HeaderPattern> | undefined): void {
    if (patterns === undefined || patterns.size === 0) return;
    for (const pattern of patterns) {
      if (pattern.attempt === this.#attempt) continue;
      pattern.attempt = this.#attempt;
      this.#tried++;
      // An `any` binding was found through an argument that matches.
      if (!pattern.all || this.#matchesAll(pattern)) this.#into.push(pattern.destination);
    }
  }

  #matchesAll({ names, values }: HeaderPattern): boolean {
    const headers = this.#headers!;
    for (let index = 0; index < names.length; index++) {
      const value = headers.get(names[index]!);
      if (value === undefined) return false;
      const wanted = values[index]!;
      if (wanted !== null && comparableValue(value) !== wanted) return false;
    }
    return true;
  }
}

function patternOf({ destination, arguments: table }: MatchedBinding): HeaderPattern {
  const kind = table.get('x-match') ?? 'all';
  const withX = kind === 'all-with-x' || kind === 'any-with-x';
  const names: string[] = [];
  const values: Comparable[] = [];
  for (const [name, value] of table) {
    if (name === 'x-match' || (!withX && name.startsWith('x-'))) continue;
    names.push(name);
    values.push(comparableValue(value));
  }
  return { destination, names, values, all: kind !== 'any' && kind !== 'any-with-x', indexed: [], attempt: 0 };
}

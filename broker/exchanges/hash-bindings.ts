/**
 * Bindings of an x-consistent-hash exchange (RabbitMQ's plugin): each message goes to one destination, and messages with
 * the same hashed text to the same one. The binding key is the weight of the destination, the sum if there are several.
 *
 * What is hashed is the routing key, or what an argument of the exchange names: `hash-header`, or `hash-property` with
 * message_id, correlation_id or timestamp. A message without it is hashed as one with an empty text.
 */
import { HashRing } from '../../src/hash-ring.ts';
import { comparableValue } from '../../src/messages/field-equality.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import type { BindingMatcher, MatchedBinding, RoutableMessage } from './binding-matcher.ts';
import type { Destination } from './destination.ts';

export class HashBindings implements BindingMatcher {
  readonly looksAt = 'message';
  readonly #ring = new HashRing<Destination>();
  readonly #weights = new Map<Destination, number>();
  readonly #header: string | undefined;
  readonly #property: string | undefined;
  #totalWeight = 0;

  /** @param exchangeArguments - must have passed the checks of a declaration */
  constructor(exchangeArguments: FieldTable) {
    this.#header = textArgument(exchangeArguments, 'hash-header');
    this.#property = textArgument(exchangeArguments, 'hash-property');
  }

  /** Of all destinations. */
  get totalWeight(): number {
    return this.#totalWeight;
  }

  add({ destination, bindingKey }: MatchedBinding): void {
    this.#setWeight(destination, (this.#weights.get(destination) ?? 0) + Number(bindingKey));
  }

  remove({ destination, bindingKey }: MatchedBinding): void {
    const weight = this.#weights.get(destination);
    if (weight !== undefined) this.#setWeight(destination, weight - Number(bindingKey));
  }

  match(message: RoutableMessage, _routingKey: string, into: Destination[]): void {
    const destination = this.#ring.get(this.#hashedText(message));
    if (destination !== undefined) into.push(destination);
  }

  #setWeight(destination: Destination, weight: number): void {
    this.#totalWeight += weight - (this.#weights.get(destination) ?? 0);
    const name = `${destination.kind}:${destination.name}`;
    if (weight > 0) {
      this.#weights.set(destination, weight);
      this.#ring.set(name, destination, weight);
    } else {
      this.#weights.delete(destination);
      this.#ring.delete(name);
    }
  }

  #hashedText(message: RoutableMessage): string {
    if (this.#header !== undefined) {
      const value = message.headers?.get(this.#header);
      return value === undefined ? '' : String(comparableValue(value));
    }
    switch (this.#property) {
      case undefined:
        return message.routingKey;
      case 'message_id':
        return message.messageId ?? '';
      case 'correlation_id':
        return message.correlationId ?? '';
      default:
        return message.timestampSeconds === undefined ? '' : String(message.timestampSeconds);
    }
  }
}

function textArgument(table: FieldTable, name: string): string | undefined {
  const value = table.get(name);
  return typeof value === 'string' ? value : undefined;
}

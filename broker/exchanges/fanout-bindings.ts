/** Bindings of a fanout exchange: all of them match (AMQP 0-9-1, 3.1.3.2). */
import type { BindingMatcher, MatchedBinding, RoutableMessage } from './binding-matcher.ts';
import type { Destination } from './destination.ts';
import { DestinationSet } from './destination-set.ts';

export class FanoutBindings implements BindingMatcher {
  readonly looksAt = 'nothing';
  readonly #destinations = new DestinationSet();

  add({ destination }: MatchedBinding): void {
    this.#destinations.add(destination);
  }

  remove({ destination }: MatchedBinding): void {
    this.#destinations.remove(destination);
  }

  match(_message: RoutableMessage, _routingKey: string, into: Destination[]): void {
    const { items } = this.#destinations;
    for (let index = 0; index < items.length; index++) into.push(items[index]!);
  }
}

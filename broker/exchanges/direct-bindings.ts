/** Bindings of a direct exchange: those match whose key is the routing key (AMQP 0-9-1, 3.1.3.1). */
import type { BindingMatcher, MatchedBinding, RoutableMessage } from './binding-matcher.ts';
import type { Destination } from './destination.ts';
import { DestinationSet } from './destination-set.ts';

export class DirectBindings implements BindingMatcher {
  readonly looksAt = 'routing-keys';
  readonly #byKey = new Map<string, DestinationSet>();

  add({ destination, bindingKey }: MatchedBinding): void {
    let destinations = this.#byKey.get(bindingKey);
    if (destinations === undefined) {
      destinations = new DestinationSet();
      this.#byKey.set(bindingKey, destinations);
    }
    destinations.add(destination);
  }

  remove({ destination, bindingKey }: MatchedBinding): void {
    const destinations = this.#byKey.get(bindingKey);
    destinations?.remove(destination);
    if (destinations?.items.length === 0) this.#byKey.delete(bindingKey);
  }

  match(_message: RoutableMessage, routingKey: string, into: Destination[]): void {
    const items = this.#byKey.get(routingKey)?.items;
    if (items === undefined) return;
    for (let index = 0; index < items.length; index++) into.push(items[index]!);
  }
}

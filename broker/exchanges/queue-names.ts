/**
 * What stands for bindings in the default exchange: every queue is bound to it by its name (AMQP 0-9-1, 3.1.3.1).
 * Routes by it are not remembered: that would be the same map again, and queues come and go more often than bindings.
 */
import type { BindingMatcher, RoutableMessage } from './binding-matcher.ts';
import type { Destination } from './destination.ts';

export class QueueNames implements BindingMatcher {
  readonly looksAt = 'message';
  readonly #queues: ReadonlyMap<string, Destination>;

  constructor(queues: ReadonlyMap<string, Destination>) {
    this.#queues = queues;
  }

  /** Nothing can be bound to the default exchange. */
  add(): void {}

  remove(): void {}

  match(_message: RoutableMessage, routingKey: string, into: Destination[]): void {
    const queue = this.#queues.get(routingKey);
    if (queue !== undefined) into.push(queue);
  }
}

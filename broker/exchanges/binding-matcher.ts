/** What the kinds of exchanges have in common, as the router sees them. */
import type { FieldTable } from '../../src/messages/field-value.ts';
import type { Destination } from './destination.ts';

/** As much of a message as routing may look at. All but the routing key may be getters that decode when first asked. */
export interface RoutableMessage {
  readonly routingKey: string;
  readonly headers: FieldTable | undefined;
  readonly messageId: string | undefined;
  readonly correlationId: string | undefined;
  readonly timestampSeconds: number | undefined;
}

/** A binding of one exchange. */
export interface MatchedBinding {
  readonly destination: Destination;
  readonly bindingKey: string;
  readonly arguments: FieldTable;
}

export interface BindingMatcher {
  /**
   * What decides which bindings match: nothing, the routing keys (those of the CC and BCC headers too), or more of the
   * message. Only the first two allow routes to be remembered.
   */
  readonly looksAt: 'nothing' | 'routing-keys' | 'message';
  add(binding: MatchedBinding): void;
  /** The very object that was added. */
  remove(binding: MatchedBinding): void;
  /**
   * Appends the destinations of all bindings that match. One destination may be appended more than once. Per message.
   * @param routingKey - the message's own or, if routing keys are looked at, one of the others
   */
  match(message: RoutableMessage, routingKey: string, into: Destination[]): void;
}

/** Messages, destinations and matchers for tests of single kinds of bindings. */
import type { BindingMatcher, MatchedBinding, RoutableMessage } from '../../../broker/exchanges/binding-matcher.ts';
import type { Destination } from '../../../broker/exchanges/destination.ts';
import type { FieldTable, FieldValue } from '../../../src/messages/field-value.ts';

export function table(fields: Readonly<Record<string, FieldValue>> = {}): FieldTable {
  return new Map(Object.entries(fields));
}

export function message(routingKey: string, fields: Partial<RoutableMessage> = {}): RoutableMessage {
  return {
    routingKey,
    headers: undefined,
    messageId: undefined,
    correlationId: undefined,
    timestampSeconds: undefined,
    ...fields,
  };
}

export function destination(name: string): Destination {
  return { kind: 'queue', name, visit: 0 };
}

export function binding(to: Destination, bindingKey = '', args: FieldTable = new Map()): MatchedBinding {
  return { destination: to, bindingKey, arguments: args };
}

/** Names of the destinations that match, each once, sorted. */
export function matches(matcher: BindingMatcher, to: RoutableMessage): string[] {
  const into: Destination[] = [];
  matcher.match(to, to.routingKey, into);
  return [...new Set(into.map(({ name }) => name))].sort();
}

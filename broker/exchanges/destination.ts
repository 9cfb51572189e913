/** Where bindings lead, and what routing gives out. */

import type { DestinationKind } from '../definitions/binding-definition.ts';

/**
 * Where a message goes. Queues and topics take it now. `delayed` is an exchange of the kind x-delayed-message that the
 * message must wait for: see `delay.ts` for how long, and afterwards `Router.routeDelayed` with this name.
 */
export interface RouteTarget {
  readonly kind: 'queue' | 'topic' | 'delayed';
  readonly name: string;
}

/**
 * What a binding leads to, once per router and name, so that identity tells destinations apart. Exchanges have more to
 * them: see `router.ts`.
 */
export interface Destination {
  readonly kind: DestinationKind;
  readonly name: string;
  /** The last routing that came by: keeps each message from going to one destination twice. */
  visit: number;
}

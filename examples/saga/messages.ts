/** What the services say to each other, in both styles. */
import type { Message } from '../support/outbox.ts';

export interface Order {
  readonly orderId: string;
  readonly customer: string;
  readonly product: string;
  readonly quantity: number;
  readonly cents: number;
  readonly country: string;
}

/** What has happened. Each is said by one service: of orders, payments, stock and shipments. */
export type Outcome =
  | 'OrderPlaced'
  | 'PaymentCharged'
  | 'PaymentDeclined'
  | 'PaymentRefunded'
  | 'StockReserved'
  | 'StockRejected'
  | 'StockReleased'
  | 'ShipmentSent'
  | 'ShipmentRefused';

/** What a service is told to do; only in orchestration. */
export type Command = 'ChargePayment' | 'RefundPayment' | 'ReserveStock' | 'ReleaseStock' | 'ShipOrder';

/** What becomes of an order in the end. */
export type Ending = 'OrderCompleted' | 'OrderCancelled';

export interface SagaMessage extends Message {
  readonly type: 'OrderRequested' | Outcome | Command | Ending;
  readonly order: Order;
  /** Of commands: the outcome that led to them. */
  readonly because?: Outcome;
}

/** Customers' requests. The key of every record is the order id: what concerns one order stays in order. */
export const CHECKOUT_TOPIC = 'checkout';
/** Endings, for whoever waits for them. */
export const ENDINGS_TOPIC = 'order-endings';

/** Choreography: each service has a topic for its own events. */
export const EVENT_TOPICS = {
  order: 'order-events',
  payment: 'payment-events',
  inventory: 'inventory-events',
  shipping: 'shipping-events',
} as const;

/** Orchestration: each service has a topic for commands to it, and all answer on one. */
export const COMMAND_TOPICS = {
  payment: 'payment-commands',
  inventory: 'inventory-commands',
  shipping: 'shipping-commands',
} as const;
export const OUTCOMES_TOPIC = 'saga-outcomes';

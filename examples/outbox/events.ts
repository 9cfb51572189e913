/** What shop and billing have agreed on. */
import type { Message } from '../support/outbox.ts';

export const ORDERS_TOPIC = 'shop-orders';
export const PARTITIONS = 3;

/** The key of the record is the customer: so a customer's orders arrive in the order in which they were placed. */
export interface OrderPlaced extends Message {
  readonly type: 'OrderPlaced';
  readonly orderId: string;
  readonly customer: string;
  readonly cents: number;
}

/** Telling others: into the outbox, in the transaction of what is told. */
import type { ServiceDatabase } from '../support/database.ts';
import { addToOutbox } from '../support/outbox.ts';
import type { Order, SagaMessage } from './messages.ts';

export function say(
  database: ServiceDatabase,
  topic: string,
  message: { readonly type: SagaMessage['type']; readonly order: Order; readonly because?: SagaMessage['because'] },
): void {
  addToOutbox(database, topic, message.order.orderId, message);
}

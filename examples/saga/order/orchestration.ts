/** Orders in the orchestration: the orchestrator. It alone knows the steps, and sends one command after the other. */
import type { ServiceDatabase } from '../../support/database.ts';
import { runService } from '../../support/service.ts';
import { CHECKOUT_TOPIC, type Order, OUTCOMES_TOPIC, type Outcome, type SagaMessage } from '../messages.ts';
import { say } from '../say.ts';
import { addOrder, endOrder, ORDERS_SCHEMA } from './orders.ts';
import { decide } from './saga-steps.ts';

/** Which outcome led to what, for people who look into a saga. */
const SAGA_LOG_SCHEMA = `
  create table if not exists saga_log (
    number integer primary key autoincrement,
    order_id text not null,
    outcome text not null,
    decision text not null
  ) strict`;

function lead(database: ServiceDatabase, order: Order, outcome: Outcome): void {
  const decision = decide(outcome);
  const what = typeof decision === 'string' ? decision : decision.command;
  const sql = 'insert into saga_log (order_id, outcome, decision) values (?, ?, ?)';
  database.run(sql, order.orderId, outcome, what);
  if (decision === 'complete') endOrder(database, order, 'OrderCompleted', outcome);
  else if (decision === 'cancel') endOrder(database, order, 'OrderCancelled', outcome);
  else say(database, decision.topic, { type: decision.command, order, because: outcome });
}

const onOutcome = (database: ServiceDatabase, { order, type }: SagaMessage & { type: Outcome }): void =>
  lead(database, order, type);

await runService<SagaMessage>({
  name: 'order',
  group: 'orchestration.order',
  schema: `${ORDERS_SCHEMA};${SAGA_LOG_SCHEMA}`,
  listensTo: [CHECKOUT_TOPIC, OUTCOMES_TOPIC],
  handlers: {
    OrderRequested(database, { order }) {
      addOrder(database, order);
      lead(database, order, 'OrderPlaced');
    },
    PaymentCharged: onOutcome,
    PaymentDeclined: onOutcome,
    PaymentRefunded: onOutcome,
    StockReserved: onOutcome,
    StockRejected: onOutcome,
    StockReleased: onOutcome,
    ShipmentSent: onOutcome,
    ShipmentRefused: onOutcome,
  },
});

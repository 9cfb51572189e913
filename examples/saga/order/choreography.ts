/** Orders in the choreography: says that one was placed, and hears what became of it. It does not know what lies between. */
import { runService } from '../../support/service.ts';
import { CHECKOUT_TOPIC, EVENT_TOPICS, type SagaMessage } from '../messages.ts';
import { say } from '../say.ts';
import { addOrder, endOrder, ORDERS_SCHEMA } from './orders.ts';

await runService<SagaMessage>({
  name: 'order',
  group: 'choreography.order',
  schema: ORDERS_SCHEMA,
  listensTo: [CHECKOUT_TOPIC, EVENT_TOPICS.payment, EVENT_TOPICS.shipping],
  handlers: {
    OrderRequested(database, { order }) {
      addOrder(database, order);
      say(database, EVENT_TOPICS.order, { type: 'OrderPlaced', order });
    },
    ShipmentSent: (database, { order, type }) => endOrder(database, order, 'OrderCompleted', type),
    PaymentDeclined: (database, { order, type }) => endOrder(database, order, 'OrderCancelled', type),
    PaymentRefunded: (database, { order, type }) => endOrder(database, order, 'OrderCancelled', type),
  },
});

/** Inventory in the choreography: reserves when an order is paid, releases when it cannot be shipped. */
import { runService } from '../../support/service.ts';
import { EVENT_TOPICS, type SagaMessage } from '../messages.ts';
import { say } from '../say.ts';
import { release, reserve, STOCK_SCHEMA } from './stock.ts';

await runService<SagaMessage>({
  name: 'inventory',
  group: 'choreography.inventory',
  schema: STOCK_SCHEMA,
  listensTo: [EVENT_TOPICS.payment, EVENT_TOPICS.shipping],
  handlers: {
    PaymentCharged(database, { order, type }) {
      const isReserved = reserve(database, order, type);
      say(database, EVENT_TOPICS.inventory, { type: isReserved ? 'StockReserved' : 'StockRejected', order });
    },
    ShipmentRefused(database, { order, type }) {
      release(database, order, type);
      say(database, EVENT_TOPICS.inventory, { type: 'StockReleased', order });
    },
  },
});

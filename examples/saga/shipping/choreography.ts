/** Shipping in the choreography: sends what is reserved. */
import { runService } from '../../support/service.ts';
import { EVENT_TOPICS, type SagaMessage } from '../messages.ts';
import { say } from '../say.ts';
import { SHIPMENTS_SCHEMA, ship } from './shipments.ts';

await runService<SagaMessage>({
  name: 'shipping',
  group: 'choreography.shipping',
  schema: SHIPMENTS_SCHEMA,
  listensTo: [EVENT_TOPICS.inventory],
  handlers: {
    StockReserved(database, { order }) {
      const isSent = ship(database, order);
      say(database, EVENT_TOPICS.shipping, { type: isSent ? 'ShipmentSent' : 'ShipmentRefused', order });
    },
  },
});

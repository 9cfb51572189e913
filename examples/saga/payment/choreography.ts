/** Payment in the choreography: charges when an order was placed, refunds when it turns out that there is no stock, or no way. */
import { runService } from '../../support/service.ts';
import { EVENT_TOPICS, type SagaMessage } from '../messages.ts';
import { say } from '../say.ts';
import { ACCOUNTS_SCHEMA, charge, refund } from './accounts.ts';

await runService<SagaMessage>({
  name: 'payment',
  group: 'choreography.payment',
  schema: ACCOUNTS_SCHEMA,
  listensTo: [EVENT_TOPICS.order, EVENT_TOPICS.inventory],
  handlers: {
    OrderPlaced(database, { order, type }) {
      const isPaid = charge(database, order, type);
      say(database, EVENT_TOPICS.payment, { type: isPaid ? 'PaymentCharged' : 'PaymentDeclined', order });
    },
    StockRejected(database, { order, type }) {
      refund(database, order, type);
      say(database, EVENT_TOPICS.payment, { type: 'PaymentRefunded', order });
    },
    StockReleased(database, { order, type }) {
      refund(database, order, type);
      say(database, EVENT_TOPICS.payment, { type: 'PaymentRefunded', order });
    },
  },
});

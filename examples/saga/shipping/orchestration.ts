/** Shipping in the orchestration: does what it is told, and tells what came of it. */
import { runService } from '../../support/service.ts';
import { COMMAND_TOPICS, OUTCOMES_TOPIC, type SagaMessage } from '../messages.ts';
import { say } from '../say.ts';
import { SHIPMENTS_SCHEMA, ship } from './shipments.ts';

await runService<SagaMessage>({
  name: 'shipping',
  group: 'orchestration.shipping',
  schema: SHIPMENTS_SCHEMA,
  listensTo: [COMMAND_TOPICS.shipping],
  handlers: {
    ShipOrder(database, { order }) {
      const isSent = ship(database, order);
      say(database, OUTCOMES_TOPIC, { type: isSent ? 'ShipmentSent' : 'ShipmentRefused', order });
    },
  },
});

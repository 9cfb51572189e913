/** Payment in the orchestration: does what it is told, and tells what came of it. */
import { runService } from '../../support/service.ts';
import { COMMAND_TOPICS, OUTCOMES_TOPIC, type SagaMessage } from '../messages.ts';
import { say } from '../say.ts';
import { ACCOUNTS_SCHEMA, charge, refund } from './accounts.ts';

await runService<SagaMessage>({
  name: 'payment',
  group: 'orchestration.payment',
  schema: ACCOUNTS_SCHEMA,
  listensTo: [COMMAND_TOPICS.payment],
  handlers: {
    ChargePayment(database, { order, because }) {
      const isPaid = charge(database, order, because!);
      say(database, OUTCOMES_TOPIC, { type: isPaid ? 'PaymentCharged' : 'PaymentDeclined', order });
    },
    RefundPayment(database, { order, because }) {
      refund(database, order, because!);
      say(database, OUTCOMES_TOPIC, { type: 'PaymentRefunded', order });
    },
  },
});

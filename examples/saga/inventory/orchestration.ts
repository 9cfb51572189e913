/** Inventory in the orchestration: does what it is told, and tells what came of it. */
import { runService } from '../../support/service.ts';
import { COMMAND_TOPICS, OUTCOMES_TOPIC, type SagaMessage } from '../messages.ts';
import { say } from '../say.ts';
import { release, reserve, STOCK_SCHEMA } from './stock.ts';

await runService<SagaMessage>({
  name: 'inventory',
  group: 'orchestration.inventory',
  schema: STOCK_SCHEMA,
  listensTo: [COMMAND_TOPICS.inventory],
  handlers: {
    ReserveStock(database, { order, because }) {
      const isReserved = reserve(database, order, because!);
      say(database, OUTCOMES_TOPIC, { type: isReserved ? 'StockReserved' : 'StockRejected', order });
    },
    ReleaseStock(database, { order, because }) {
      release(database, order, because!);
      say(database, OUTCOMES_TOPIC, { type: 'StockReleased', order });
    },
  },
});

/** Billing: enters each order into its customer's account, once. */
import { runService } from '../../support/service.ts';
import { ORDERS_TOPIC, type OrderPlaced } from '../events.ts';
import { ACCOUNTS_SCHEMA, enter } from './accounts.ts';

await runService<OrderPlaced>({
  name: 'billing',
  group: 'billing',
  schema: ACCOUNTS_SCHEMA,
  listensTo: [ORDERS_TOPIC],
  handlers: { OrderPlaced: enter },
});

/** All scenarios of the side-by-side run. */
import { CHANNEL_SCENARIOS } from './channel-scenarios.ts';
import { CONNECTION_SCENARIOS } from './connection-scenarios.ts';
import { CONSUMING_SCENARIOS } from './consuming-scenarios.ts';
import { DEAD_LETTER_SCENARIOS } from './dead-letter-scenarios.ts';
import { EXCHANGE_SCENARIOS } from './exchange-scenarios.ts';
import { PUBLISHING_SCENARIOS } from './publishing-scenarios.ts';
import { QUEUE_SCENARIOS } from './queue-scenarios.ts';
import { ROUTING_SCENARIOS } from './routing-scenarios.ts';
import type { Scenario } from './scenario.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...CONNECTION_SCENARIOS,
  ...CHANNEL_SCENARIOS,
  ...EXCHANGE_SCENARIOS,
  ...ROUTING_SCENARIOS,
  ...QUEUE_SCENARIOS,
  ...CONSUMING_SCENARIOS,
  ...PUBLISHING_SCENARIOS,
  ...DEAD_LETTER_SCENARIOS,
];

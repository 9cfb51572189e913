/** What every AMQP client must be able to do with this broker: one list, run with each client's adapter. */
import { CONSUMING } from './consuming.ts';
import { DEAD_LETTERING } from './dead-lettering.ts';
import { EXCEPTIONS } from './exceptions.ts';
import { LIFE_CYCLES } from './life-cycles.ts';
import { PUBLISHING } from './publishing.ts';
import { RESTARTS } from './restarts.ts';
import type { Scenario } from './scenario.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...PUBLISHING,
  ...CONSUMING,
  ...DEAD_LETTERING,
  ...LIFE_CYCLES,
  ...EXCEPTIONS,
  // Last, since they restart the broker that all share.
  ...RESTARTS,
];

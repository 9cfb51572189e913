import { ensureAmqpTools } from '../../support/foreign-clients.ts';
import { amqpTools } from './clients/amqp-tools.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('amqp-tools', await ensureAmqpTools(), amqpTools);

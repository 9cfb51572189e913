import { rabbitmqClient } from './clients/rabbitmq-client.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('rabbitmq-client', undefined, () => rabbitmqClient);

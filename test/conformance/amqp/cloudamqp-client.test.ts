import { cloudamqpOverTcp } from './clients/cloudamqp-client.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('@cloudamqp/amqp-client', undefined, () => cloudamqpOverTcp);

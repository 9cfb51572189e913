import { amqplibPromises } from './clients/amqplib-promises.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('amqplib, promises', undefined, () => amqplibPromises);

import { amqplibCallbacks } from './clients/amqplib-callbacks.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('amqplib, callbacks', undefined, () => amqplibCallbacks);

import { fileURLToPath } from 'node:url';
import { ensureGoClient } from '../../support/foreign-clients.ts';
import { drivenClient } from './clients/driven-client.ts';
import { runScenarios } from './run-scenarios.ts';

const MODULE = fileURLToPath(new URL('clients/go', import.meta.url));

runScenarios('amqp091-go', await ensureGoClient(MODULE), (driver) => drivenClient([driver], { cannot: {} }));

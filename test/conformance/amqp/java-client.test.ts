import { fileURLToPath } from 'node:url';
import { ensureJavaClient } from '../../support/foreign-clients.ts';
import { drivenClient } from './clients/driven-client.ts';
import { runScenarios } from './run-scenarios.ts';

const SOURCE = fileURLToPath(new URL('clients/java/AmqpDriver.java', import.meta.url));

runScenarios('the Java client', await ensureJavaClient(SOURCE), (classPath) =>
  drivenClient(['java', '-XX:TieredStopAtLevel=1', '-cp', classPath, 'AmqpDriver'], { cannot: {} }),
);

import { fileURLToPath } from 'node:url';
import { ensurePika } from '../../support/foreign-clients.ts';
import { drivenClient } from './clients/driven-client.ts';
import { runScenarios } from './run-scenarios.ts';

const SCRIPT = fileURLToPath(new URL('clients/pika_driver.py', import.meta.url));

/** It cuts fractions off. */
const WITHOUT_FRACTIONS = { f: 0, d: 2 };

runScenarios('pika', await ensurePika(), (python) =>
  drivenClient([python, SCRIPT], {
    cannot: { survivors: 'its users connect again themselves' },
    readsOtherwise: WITHOUT_FRACTIONS,
    writesOtherwise: WITHOUT_FRACTIONS,
  }),
);

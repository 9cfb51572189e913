/** librdkafka twice: Debian's, which checks exact versions of APIs, and a new one, which fetches by topic id. */
import { ensureConfluentKafka, ensureNewConfluentKafka } from '../../support/foreign-clients.ts';
import { pythonAdapter } from './clients/python.ts';
import { runScenarios } from './run-scenarios.ts';

const adapterOf = (python: string) => pythonAdapter(python, 'confluent_kafka_client.py');

runScenarios('confluent-kafka of the system', await ensureConfluentKafka(), adapterOf);
runScenarios('confluent-kafka, new', await ensureNewConfluentKafka(), adapterOf);

import { ensureConfluentKafka } from '../../support/foreign-clients.ts';
import { pythonAdapter } from './clients/python.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('confluent-kafka', await ensureConfluentKafka(), (python) =>
  pythonAdapter(python, 'confluent_kafka_client.py'),
);

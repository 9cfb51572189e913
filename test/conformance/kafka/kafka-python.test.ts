import { ensureKafkaPython } from '../../support/foreign-clients.ts';
import { pythonAdapter } from './clients/python.ts';
import { runScenarios } from './run-scenarios.ts';

runScenarios('kafka-python', await ensureKafkaPython(), (python) => pythonAdapter(python, 'kafka_python_client.py'));

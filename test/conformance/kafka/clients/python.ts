/** Clients in Python: a script per client takes one command as JSON and answers in JSON. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { KafkaTarget } from '../../../support/kafka-target.ts';
import type { ClientAdapter, ConsumedMessage } from '../client-adapter.ts';

const TIMEOUT_MS = 30_000;

export function pythonAdapter(
  python: string,
  script: 'confluent_kafka_client.py' | 'kafka_python_client.py',
): ClientAdapter {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const command = (target: KafkaTarget, name: string, options: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const child = execFile(python, [path], { timeout: TIMEOUT_MS, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
        if (error === null) resolve(JSON.parse(stdout));
        else reject(new Error(`${script} ${name} failed: ${stderr}`, { cause: error }));
      });
      const bootstrap = `${target.host}:${target.port}`;
      child.stdin!.end(JSON.stringify({ command: name, bootstrap, ...options }));
    });
  return {
    timestamps: true,
    async produce(target, options) {
      await command(target, 'produce', { codec: 'none', idempotent: false, ...options });
    },
    async consume(target, topic, partition, fromOffset) {
      return (await command(target, 'consume', { topic, partition, fromOffset })) as ConsumedMessage[];
    },
    async offsetForTime(target, topic, partition, timestampMs) {
      return (await command(target, 'offsetForTime', { topic, partition, timestampMs })) as number;
    },
  };
}

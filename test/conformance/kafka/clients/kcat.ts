/** kcat (librdkafka), one process per call. It has one set of headers per process and takes no timestamps. */
import { execFile } from 'node:child_process';
import type { KafkaTarget } from '../../../support/kafka-target.ts';
import type { ClientAdapter, ConsumedMessage, Message } from '../client-adapter.ts';

const KEY_DELIMITER = '\t';
const TIMEOUT_MS = 20_000;

export interface KcatResult {
  readonly stdout: string;
  readonly stderr: string;
}

export function runKcat(
  program: string,
  target: KafkaTarget,
  args: readonly string[],
  input = '',
): Promise<KcatResult> {
  return new Promise((resolve, reject) => {
    const all = ['-b', `${target.host}:${target.port}`, ...args];
    const options = { timeout: TIMEOUT_MS, maxBuffer: 64 << 20 };
    const child = execFile(program, all, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr });
      else reject(new Error(`kcat ${args.join(' ')} failed: ${stderr}`, { cause: error }));
    });
    child.stdin!.end(input);
  });
}

/** Runs of messages with equal headers, which can go through one process. */
function groupByHeaders(messages: readonly Message[]): Message[][] {
  const groups: Message[][] = [];
  for (const message of messages) {
    const group = groups.at(-1);
    if (group !== undefined && JSON.stringify(group[0]!.headers) === JSON.stringify(message.headers))
      group.push(message);
    else groups.push([message]);
  }
  return groups;
}

interface KcatRecord {
  readonly partition: number;
  readonly offset: number;
  readonly ts: number;
  readonly key: string | null;
  readonly payload: string | null;
  readonly headers?: readonly string[];
}

function fromKcat({ partition, offset, ts, key, payload, headers = [] }: KcatRecord): ConsumedMessage {
  const pairs: Array<[string, string]> = [];
  for (let index = 0; index < headers.length; index += 2) pairs.push([headers[index]!, headers[index + 1]!]);
  return { partition, offset, key, value: payload, headers: pairs, timestampMs: ts };
}

export function kcatAdapter(program: string): ClientAdapter {
  return {
    timestamps: false,
    async produce(target, { topic, partition, codec = 'none', idempotent = false, messages }) {
      for (const group of groupByHeaders(messages)) {
        const headers = group[0]!.headers.flatMap(([name, value]) => ['-H', `${name}=${value}`]);
        const where = partition === undefined ? [] : ['-p', String(partition)];
        const settings = ['-X', `enable.idempotence=${idempotent}`, '-X', 'partitioner=murmur2_random'];
        const args = ['-P', '-t', topic, ...where, '-z', codec, '-K', KEY_DELIMITER, '-Z', ...headers, ...settings];
        const lines = group.map(({ key, value }) => `${key ?? ''}${KEY_DELIMITER}${value ?? ''}\n`);
        await runKcat(program, target, args, lines.join(''));
      }
    },
    async consume(target, topic, partition, fromOffset) {
      const args = ['-C', '-t', topic, '-p', String(partition), '-o', String(fromOffset), '-e', '-q', '-J'];
      const { stdout } = await runKcat(program, target, args);
      const lines = stdout.split('\n').filter((line) => line !== '');
      return lines.map((line) => fromKcat(JSON.parse(line) as KcatRecord));
    },
    async offsetForTime(target, topic, partition, timestampMs) {
      const { stdout } = await runKcat(program, target, ['-Q', '-t', `${topic}:${partition}:${timestampMs}`]);
      return Number(/offset (-?\d+)/.exec(stdout)![1]);
    },
  };
}

/** Members of consumer groups that nobody here wrote, each in a process of its own, so that it can be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { AssignorName } from '../../client/index.ts';
import { ensureKcat, ensureNewConfluentKafka, type ForeignClient } from './foreign-clients.ts';
import type { KafkajsMemberOptions } from './kafkajs-member.ts';

export interface MemberOptions {
  readonly address: string;
  readonly nativeUrl: string;
  readonly group: string;
  readonly topic: string;
  readonly assignor: AssignorName;
  readonly sessionTimeoutMs: number;
}

export interface ForeignMemberKind {
  readonly name: string;
  /** As `describeGroup` shows it. */
  readonly clientId: string;
  readonly client: ForeignClient;
  readonly assignors: readonly AssignorName[];
  /** Whether it goes on by itself when its only broker was away. */
  readonly outlivesBroker: boolean;
  command(options: MemberOptions): readonly string[];
}

const HEARTBEAT_INTERVAL_MS = 100;
const COMMIT_INTERVAL_MS = 100;

/** kcat and confluent-kafka are both librdkafka. */
function librdkafkaSettings({ address, group, assignor, sessionTimeoutMs }: MemberOptions): Record<string, string> {
  return {
    'bootstrap.servers': address,
    'group.id': group,
    'partition.assignment.strategy': assignor,
    'session.timeout.ms': String(sessionTimeoutMs),
    'heartbeat.interval.ms': String(HEARTBEAT_INTERVAL_MS),
    // kcat takes this for the topic's property of that name, and commits every 5 s.
    'auto.commit.interval.ms': String(COMMIT_INTERVAL_MS),
    'auto.offset.reset': 'earliest',
    'reconnect.backoff.ms': '20',
    'reconnect.backoff.max.ms': '200',
  };
}

const LIBRDKAFKA = {
  clientId: 'rdkafka',
  assignors: ['range', 'roundrobin', 'cooperative-sticky'],
} satisfies Partial<ForeignMemberKind>;

/** Debian's, with an old librdkafka. */
const kcat: ForeignMemberKind = {
  ...LIBRDKAFKA,
  name: 'kcat',
  client: await ensureKcat(),
  // It ends when all brokers are down.
  outlivesBroker: false,
  command(options) {
    const settings = Object.entries(librdkafkaSettings(options)).flatMap(([name, value]) => ['-X', `${name}=${value}`]);
    return [...settings, '-u', '-f', '%p/%o\n', '-G', options.group, options.topic];
  },
};

/** With the librdkafka of today. */
const confluentKafka: ForeignMemberKind = {
  ...LIBRDKAFKA,
  name: 'confluent-kafka',
  client: await ensureNewConfluentKafka(),
  outlivesBroker: true,
  command(options) {
    const script = new URL('../conformance/kafka/clients/confluent_kafka_member.py', import.meta.url);
    return [fileURLToPath(script), JSON.stringify({ topic: options.topic, settings: librdkafkaSettings(options) })];
  },
};

/** Needs the built code for its process (`npm test` builds). */
const kafkajs: ForeignMemberKind = {
  name: 'kafkajs',
  clientId: 'kafkajs',
  client: { program: process.execPath },
  assignors: ['RoundRobinAssigner'],
  outlivesBroker: true,
  command({ address, group, topic, sessionTimeoutMs }) {
    const options: KafkajsMemberOptions = {
      address,
      group,
      topic,
      sessionTimeoutMs,
      heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
      commitIntervalMs: COMMIT_INTERVAL_MS,
    };
    const script = new URL('../../dist/test/support/kafkajs-member.js', import.meta.url);
    return [fileURLToPath(script), JSON.stringify(options)];
  },
};

export const FOREIGN_MEMBERS: readonly ForeignMemberKind[] = [kcat, confluentKafka, kafkajs];

/** Starts it; gone at the end of the test. SIGTERM makes it leave. `onRecord` gets `partition/offset` of each record. */
export function startForeignMember(
  kind: ForeignMemberKind,
  options: MemberOptions,
  onRecord: (place: string) => void,
): ChildProcess {
  const { program } = kind.client as { program: string };
  const child = spawn(program, kind.command(options), { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  createInterface({ input: child.stdout }).on('line', onRecord);
  return child;
}

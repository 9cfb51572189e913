/** The broker's settings under the names that Kafka's tools know, for DescribeConfigs. Read-only; what is absent here has no Kafka name. */
import { type BrokerSettings, OPTION_TABLE, type OptionName } from '../options.ts';
import type { TopicConfigEntry } from './broker-service.ts';

type Row = readonly [
  key: string,
  type: TopicConfigEntry['type'],
  option: OptionName,
  value: (from: BrokerSettings) => unknown,
];

const ROWS: readonly Row[] = [
  ['auto.create.topics.enable', 'boolean', 'auto-create-topics', (from) => from.autoCreateTopics],
  ['broker.id', 'int', 'node-id', (from) => from.nodeId],
  ['broker.rack', 'string', 'rack', (from) => from.rack],
  ['connections.max.idle.ms', 'long', 'idle-timeout-ms', (from) => from.idleTimeoutMs],
  ['default.replication.factor', 'int', 'default-replication-factor', (from) => from.defaultReplicationFactor],
  ['fetch.max.bytes', 'int', 'fetch-bytes-max', (from) => from.fetchBytesMax],
  ['log.retention.bytes', 'long', 'retention-bytes', (from) => from.retentionBytes],
  ['log.retention.check.interval.ms', 'long', 'retention-check-interval-ms', (from) => from.retentionCheckIntervalMs],
  ['log.retention.ms', 'long', 'retention-ms', (from) => from.retentionMs],
  ['log.roll.ms', 'long', 'segment-ms', (from) => from.segmentMs],
  ['log.segment.bytes', 'int', 'segment-bytes', (from) => from.segmentBytes],
  ['max.connections', 'int', 'connections-max', (from) => from.connectionsMax],
  ['max.connections.per.ip', 'int', 'connections-per-ip-max', (from) => from.connectionsPerIpMax],
  ['message.max.bytes', 'int', 'max-message-bytes', (from) => from.maxMessageBytes],
  ['min.insync.replicas', 'int', 'min-insync-replicas', (from) => from.minInsyncReplicas],
  ['node.id', 'int', 'node-id', (from) => from.nodeId],
  ['num.partitions', 'int', 'default-partitions', (from) => from.defaultPartitions],
  ['socket.request.max.bytes', 'int', 'kafka-request-bytes-max', (from) => from.kafkaRequestBytesMax],
];

export function describeBrokerConfigs(settings: BrokerSettings): TopicConfigEntry[] {
  return ROWS.map(([key, type, option, read]) => {
    const row = OPTION_TABLE.get(option)!;
    const value = read(settings);
    return {
      key,
      value: String(value ?? ''),
      isDefault: value === row.default,
      type,
      documentation: `${row.sentence} Option --${option}.`,
    };
  });
}

/** Topic configs for what a topic does not set itself. */
export function topicConfigDefaults(settings: BrokerSettings): Map<string, string> {
  return new Map([
    ['segment.bytes', String(settings.segmentBytes)],
    ['segment.ms', String(settings.segmentMs)],
    ['retention.ms', String(settings.retentionMs)],
    ['retention.bytes', String(settings.retentionBytes)],
    ['max.message.bytes', String(settings.maxMessageBytes)],
    ['min.insync.replicas', String(settings.minInsyncReplicas)],
  ]);
}

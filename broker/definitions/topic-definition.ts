/**
 * A topic as the coordinator keeps it: the value under `topics/<name>`, and the rules it follows.
 *
 *     {"format":1, "topicId":"<32 hex digits>", "createdAtMs":…,
 *      "partitions":[[leader, leaderEpoch, [replica, …]], …],     the index is the partition's number
 *      "configs":[["retention.ms","1000"], …]}
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import { checkTopicName } from '../../src/names.ts';
import { checkTopicConfigs } from './topic-configs.ts';

const FORMAT = 1;

export interface PartitionAssignment {
  /** Node ids, the preferred leader first. At least one, none twice. */
  readonly replicas: readonly number[];
  /** One of the replicas, or -1 while there is none. */
  readonly leader: number;
  /** Grows by one with each change of the leader. */
  readonly leaderEpoch: number;
}

export interface TopicDefinition {
  readonly name: string;
  /** 16 bytes, another one for each topic that ever had this name. */
  readonly topicId: Buffer;
  readonly createdAtMs: number;
  readonly partitions: readonly PartitionAssignment[];
  /** Checked, and only what differs from the defaults of the broker. */
  readonly configs: ReadonlyMap<string, string>;
  /** Of the coordinator, when this was written. */
  readonly revision: number;
}

export function encodeTopic(topic: Omit<TopicDefinition, 'revision' | 'name'>): string {
  return JSON.stringify({
    format: FORMAT,
    topicId: topic.topicId.toString('hex'),
    createdAtMs: topic.createdAtMs,
    partitions: topic.partitions.map(({ leader, leaderEpoch, replicas }) => [leader, leaderEpoch, replicas]),
    configs: [...topic.configs],
  });
}

/**
 * @param key - in the coordinator, for the error
 * @throws BurrowError STORAGE_CORRUPT if the value is not what {@link encodeTopic} writes, DATA_FOLDER_VERSION if a
 * newer version wrote it
 */
export function decodeTopic(key: string, name: string, value: string, revision: number): TopicDefinition {
  const fields = parseObject(value);
  if (fields === undefined) throw corrupt(key, 'is not a JSON object');
  const { format, topicId, createdAtMs, partitions, configs } = fields;
  if (typeof format === 'number' && format > FORMAT) {
    throw new BurrowError(
      'DATA_FOLDER_VERSION',
      `The definition of topic ${name} has format ${format}; this version reads up to ${FORMAT}.`,
    );
  }
  if (format !== FORMAT) throw corrupt(key, 'has no format');
  if (typeof topicId !== 'string' || !/^[0-9a-f]{32}$/.test(topicId)) throw corrupt(key, 'has no topic id');
  if (!isCount(createdAtMs)) throw corrupt(key, 'has no time of creation');
  if (!Array.isArray(partitions)) throw corrupt(key, 'has no partitions');
  if (!Array.isArray(configs) || !configs.every(isPair)) throw corrupt(key, 'has no configs');
  try {
    checkTopicName(name);
    const assignments = partitions.map(decodeAssignment);
    checkAssignments(name, assignments);
    return {
      name,
      topicId: Buffer.from(topicId, 'hex'),
      createdAtMs,
      partitions: assignments,
      configs: checkTopicConfigs(new Map(configs)),
      revision,
    };
  } catch (error) {
    if (isBurrowError(error)) throw corrupt(key, `breaks a rule: ${error.message}`);
    throw error;
  }
}

/** Throws INVALID_PARTITIONS or INVALID_REPLICATION_FACTOR unless these can be the partitions of a topic. */
export function checkAssignments(name: string, partitions: readonly PartitionAssignment[]): void {
  if (partitions.length === 0) {
    throw new BurrowError('INVALID_PARTITIONS', `Topic ${name} needs at least one partition.`);
  }
  for (const [index, { replicas, leader, leaderEpoch }] of partitions.entries()) {
    const where = `Partition ${index} of topic ${name}`;
    if (replicas.length === 0) throw new BurrowError('INVALID_REPLICATION_FACTOR', `${where} has no replica.`);
    if (!replicas.every(isCount) || new Set(replicas).size < replicas.length) {
      throw new BurrowError('INVALID_REPLICATION_FACTOR', `${where} has a replica twice or one that is no node id.`);
    }
    if (leader !== -1 && !replicas.includes(leader)) {
      throw new BurrowError('INVALID_PARTITIONS', `${where} is led by node ${leader}, which is no replica.`);
    }
    if (!isCount(leaderEpoch)) throw new BurrowError('INVALID_PARTITIONS', `${where} has no valid leader epoch.`);
  }
}

function decodeAssignment(value: unknown): PartitionAssignment {
  const [leader, leaderEpoch, replicas] = Array.isArray(value) ? (value as unknown[]) : [];
  if (typeof leader !== 'number' || typeof leaderEpoch !== 'number' || !Array.isArray(replicas)) {
    throw new BurrowError('INVALID_PARTITIONS', 'A partition is not a list of leader, epoch and replicas.');
  }
  return { leader, leaderEpoch, replicas: replicas as number[] };
}

/** The fields of a JSON object, or undefined if the text is none. */
export function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A safe integer from 0 on. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function corrupt(key: string, problem: string): BurrowError {
  return new BurrowError('STORAGE_CORRUPT', `The stored definition ${JSON.stringify(key)} ${problem}.`, {
    fields: { key },
  });
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'string';
}

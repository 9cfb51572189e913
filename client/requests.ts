/** Requests of the native protocol in the client's terms: one function each, which knows what an answer means. */
import { BurrowError } from '../src/errors/burrow-error.ts';
import { errorNameByNumber } from '../src/errors/table.ts';
import { entryError } from '../src/protocol/frame.ts';
import type { RecordsPush, RequestOf, ResponseOf } from '../src/protocol/messages.ts';
import type { ClientClock } from './clock.ts';
import type { Connection } from './connection.ts';
import type { Credit } from './consumer/credit-state.ts';
import type { FetchAnswer, Isolation } from './consumer/cursor-feed.ts';
import type { FetchCall, FetchLimits, FetchTarget } from './consumer/fetcher.ts';
import type { PushHandlers, PushTarget } from './consumer/push-receiver.ts';
import { type ClusterMetadata, type TopicMetadata, unknownTopic } from './metadata.ts';
import type { ProducerIdentity } from './producer/idempotence-state.ts';
import type { ProducerBatch } from './producer/producer-batch.ts';
import type { Acks, ProduceResult } from './producer/sender.ts';
import { PushChannel } from './push-channel.ts';
import type { TopicPartition } from './topic-partition.ts';

/** Special times of listOffsets. */
export const EARLIEST_TIMESTAMP = -2;
export const LATEST_TIMESTAMP = -1;

const NO_BYTES = new Uint8Array(0);

export interface ConfigEntry {
  readonly key: string;
  readonly value: string;
  readonly isDefault: boolean;
  /** 'boolean', 'string', 'int', 'long', 'double' or 'list'. */
  readonly type: string;
  readonly documentation: string;
}

export interface PartitionStatus {
  readonly partition: number;
  readonly logStartOffset: number;
  /** End of what consumers may read. */
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logEndOffset: number;
  readonly bytes: number;
  readonly segments: number;
  /** Set when the partition has stopped accepting writes until its broker is restarted. */
  readonly failure: BurrowError | undefined;
}

/** `topics: undefined` asks for all. */
export async function metadataRequest(
  connection: Connection,
  asked: { readonly topics: readonly string[] | undefined; readonly autoCreate: boolean },
  timeoutMs: number,
): Promise<ClusterMetadata> {
  const request = { topics: asked.topics ?? null, autoCreate: asked.autoCreate };
  const answer = await connection.request('metadata', request, timeoutMs);
  const topics = new Map<string, TopicMetadata | BurrowError>();
  for (const topic of answer.topics) topics.set(topic.name, topicOf(topic));
  return { clusterId: answer.clusterId, controllerId: answer.controllerId, brokers: answer.brokers, topics };
}

function topicOf(topic: ResponseOf<'metadata'>['topics'][number]): TopicMetadata | BurrowError {
  const { name, errorNumber, internal } = topic;
  if (errorNumber !== 0) {
    const code = errorNameByNumber(errorNumber);
    if (code === 'UNKNOWN_TOPIC_OR_PARTITION') return unknownTopic(name);
    return new BurrowError(code, undefined, { fields: { topic: name } });
  }
  const partitions = [...topic.partitions].sort((a, b) => a.partition - b.partition);
  return { name, topicId: topic.topicId === null ? '' : uuidText(topic.topicId), internal, partitions };
}

function uuidText(bytes: Uint8Array): string {
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Resolves once written with `acks: 0`, to which brokers do not answer. Per request, with many batches. */
export async function produceRequest(
  connection: Connection,
  produced: { readonly acks: Acks; readonly acksTimeoutMs: number; readonly batches: readonly ProducerBatch[] },
  timeoutMs: number,
): Promise<readonly ProduceResult[]> {
  const { acks, batches } = produced;
  const request = {
    acks,
    timeoutMs: produced.acksTimeoutMs,
    partitions: batches.map(({ topic, partition, bytes }) => ({ topic, partition, records: [bytes!] })),
  };
  if (acks === 0) {
    await connection.notify('produce', request, timeoutMs);
    return batches.map(() => ({ error: undefined, outcome: { baseOffset: -1, logAppendTimeMs: -1 } }));
  }
  const { partitions } = await connection.request('produce', request, timeoutMs);
  return inOrder(batches, partitions, (answer) => ({
    error: entryError(answer),
    outcome: { baseOffset: answer.baseOffset, logAppendTimeMs: answer.logAppendTimeMs },
  }));
}

export function fetchRequest(
  connection: Connection,
  targets: ReadonlyArray<FetchTarget & { readonly currentLeaderEpoch: number }>,
  limits: FetchLimits,
  timeoutMs: number,
): FetchCall {
  const { waitMs, bytesMin, bytesMax } = limits;
  const call = connection.fetch(
    { waitMs, bytesMin, bytesMax, isolation: isolationNumber(limits.isolation), partitions: targets },
    timeoutMs,
  );
  const done = call.done.then(({ partitions }) =>
    inOrder(
      targets,
      partitions,
      (answer): FetchAnswer => ({
        error: entryError(answer),
        highWatermark: answer.highWatermark,
        logStartOffset: answer.logStartOffset,
        records: answer.records[0] ?? NO_BYTES,
      }),
    ),
  );
  return { done, cancel: call.cancel };
}

type EpochTarget = PushTarget & { readonly currentLeaderEpoch: number };

/** Opens a push stream. */
export function openPushRequest(
  connection: Connection,
  opened: {
    readonly targets: readonly EpochTarget[];
    readonly credit: Credit;
    readonly isolation: Isolation;
  },
  handlers: PushHandlers,
  options: { readonly clock: ClientClock; readonly timeoutMs: number },
): PushChannel {
  const { targets, credit, isolation } = opened;
  const [first = [], ...more] = inParts(targets);
  const request = {
    isolation: isolationNumber(isolation),
    recordsCredit: credit.records,
    bytesCredit: credit.bytes,
    partitions: first,
  };
  const onRecords = ({ partitions }: RecordsPush): void => {
    handlers.onAnswers(
      partitions.map((entry) => ({ ...entry, error: entryError(entry), records: entry.records[0] ?? NO_BYTES })),
    );
  };
  const channel = new PushChannel(connection, request, { onRecords, onLost: handlers.onLost }, options);
  for (const add of more) channel.change({ remove: [], add });
  return channel;
}

/** Moves partitions from where they are, if they are in the stream; and takes others out. */
export function changePushRequest(
  channel: PushChannel,
  removed: readonly TopicPartition[],
  added: readonly EpochTarget[],
): void {
  for (const remove of inParts(removed)) channel.change({ remove, add: [] });
  for (const add of inParts(added)) {
    // Also those that have just left with an error that is still on its way: to remove them does no harm.
    channel.change({ remove: add.map(({ topic, partition }) => ({ topic, partition })), add });
  }
}

export interface ListedOffset {
  /** -1 if no record has the time asked for, or a later one. */
  readonly offset: number;
  readonly timestampMs: number;
}

export async function listOffsetRequest(
  connection: Connection,
  asked: RequestOf<'listOffsets'>['partitions'][number],
  isolation: Isolation,
  timeoutMs: number,
): Promise<ListedOffset> {
  const request = { isolation: isolationNumber(isolation), partitions: [asked] };
  const { partitions } = await connection.request('listOffsets', request, timeoutMs);
  return succeeded(partitions[0]);
}

/** Of many partitions at one leader, in order; -1 where no record has the time asked for. Rejects with the first error. */
export async function listOffsetsRequest(
  connection: Connection,
  partitions: ReadonlyArray<{ readonly topic: string; readonly partition: number }>,
  timestampMs: number,
  timeoutMs: number,
): Promise<number[]> {
  const found: number[] = [];
  for (const part of inParts(partitions)) {
    const asked = part.map(({ topic, partition }) => ({ topic, partition, currentLeaderEpoch: -1, timestampMs }));
    const request = { isolation: isolationNumber('read_uncommitted'), partitions: asked };
    const answer = await connection.request('listOffsets', request, timeoutMs);
    found.push(...inOrder(part, answer.partitions, (entry) => succeeded(entry).offset));
  }
  return found;
}

export async function initProducerIdRequest(connection: Connection, timeoutMs: number): Promise<ProducerIdentity> {
  const request = { transactionalId: null, transactionTimeoutMs: 0, producerId: -1, producerEpoch: -1 };
  return connection.request('initProducerId', request, timeoutMs);
}

export async function createTopicsRequest(
  connection: Connection,
  request: RequestOf<'createTopics'>,
  timeoutMs: number,
): Promise<void> {
  const { topics } = await connection.request('createTopics', request, timeoutMs);
  topics.forEach(succeeded);
}

export async function deleteTopicsRequest(
  connection: Connection,
  names: readonly string[],
  timeoutMs: number,
): Promise<void> {
  const { topics } = await connection.request('deleteTopics', { names }, timeoutMs);
  topics.forEach(succeeded);
}

export async function describeConfigsRequest(
  connection: Connection,
  name: string,
  timeoutMs: number,
): Promise<readonly ConfigEntry[]> {
  const { topics } = await connection.request('describeConfigs', { names: [name] }, timeoutMs);
  return succeeded(topics[0]).configs;
}

export async function alterConfigsRequest(
  connection: Connection,
  request: RequestOf<'alterConfigs'>,
  timeoutMs: number,
): Promise<void> {
  const { topics } = await connection.request('alterConfigs', request, timeoutMs);
  topics.forEach(succeeded);
}

export async function createPartitionsRequest(
  connection: Connection,
  request: RequestOf<'createPartitions'>,
  timeoutMs: number,
): Promise<void> {
  const { topics } = await connection.request('createPartitions', request, timeoutMs);
  topics.forEach(succeeded);
}

export async function deleteRecordsRequest(
  connection: Connection,
  asked: RequestOf<'deleteRecords'>['partitions'][number],
  timeoutMs: number,
): Promise<number> {
  const { partitions } = await connection.request('deleteRecords', { partitions: [asked] }, timeoutMs);
  return succeeded(partitions[0]).logStartOffset;
}

export async function partitionStatusRequest(
  connection: Connection,
  name: string,
  timeoutMs: number,
): Promise<readonly PartitionStatus[]> {
  const { topics } = await connection.request('partitionStatus', { names: [name] }, timeoutMs);
  return succeeded(topics[0]).partitions.map(({ failureErrorNumber, failureMessage, ...status }) => ({
    ...status,
    failure: entryError({ errorNumber: failureErrorNumber, message: failureMessage }),
  }));
}

/** The entry, if it is there and tells of success; throws its error otherwise. */
export function succeeded<T extends { readonly errorNumber: number; readonly message: string | null }>(
  entry: T | undefined,
): T {
  if (entry === undefined) throw new BurrowError('INTERNAL_ERROR', 'The broker’s answer lacks what was asked for.');
  const error = entryError(entry);
  if (error !== undefined) throw error;
  return entry;
}

interface OfPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Answers in the order of what was asked; brokers keep it, but the protocol does not promise that. */
export function inOrder<A extends OfPartition, T>(
  asked: readonly OfPartition[],
  answers: readonly A[],
  convert: (answer: A) => T,
): T[] {
  return asked.map(({ topic, partition }, index) => {
    const isSame = (answer: A | undefined) => answer?.topic === topic && answer.partition === partition;
    const answer = isSame(answers[index]) ? answers[index] : answers.find(isSame);
    if (answer === undefined) {
      throw new BurrowError('INTERNAL_ERROR', `The broker's answer lacks ${topic}-${partition}.`);
    }
    return convert(answer);
  });
}

/** A message has at most 100,000 values: so many partitions with what is said of them fit into one. */
const PARTITIONS_PER_REQUEST = 10_000;

export function inParts<T>(all: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let at = 0; at < all.length; at += PARTITIONS_PER_REQUEST)
    parts.push(all.slice(at, at + PARTITIONS_PER_REQUEST));
  return parts;
}

function isolationNumber(isolation: Isolation): number {
  return isolation === 'read_committed' ? 1 : 0;
}

/**
 * The topic behind a stream queue. With the argument `x-topic` a stream is a view of that topic, which stays when the stream goes.
 * Without, the stream has a topic of its own, with its name: made with it and deleted with it. A topic that was there before is
 * never taken for its own, or deleting the stream would delete what others have written.
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import type { QueueSettings } from '../definitions/queue-settings.ts';
import type { BrokerService } from '../partitions/broker-service.ts';

type TopicSettings = Pick<QueueSettings, 'topic' | 'maxAgeMs' | 'maxLengthBytes' | 'streamMaxSegmentSizeBytes'>;

/** Of segment.bytes, which Kafka has as 32 bits. */
const SEGMENT_BYTES_MAX = 2 ** 31 - 1;

/** The name of the topic that a stream reads. */
export function streamTopic(queue: string, settings: Pick<QueueSettings, 'topic'>): string {
  return settings.topic ?? queue;
}

/** Whether a stream's topic goes with it. */
export function ownsTopic(settings: Pick<QueueSettings, 'topic'>): boolean {
  return settings.topic === undefined;
}

/**
 * Creates the topic, with one partition and the stream's limits. One that `x-topic` names and that is there stays as it is, whatever
 * the other arguments say: it may have other users.
 * @throws BurrowError INVALID_NAME if the queue has a name that no topic can have and no argument `x-topic`; ALREADY_EXISTS if
 * there is a topic with the queue's name; INVALID_ARGUMENT if `x-topic` names one that the broker itself writes
 */
export async function ensureStreamTopic(
  service: Pick<BrokerService, 'describeTopic' | 'createTopic'>,
  queue: string,
  settings: TopicSettings,
): Promise<void> {
  const name = streamTopic(queue, settings);
  const found = service.describeTopic(name);
  if (found?.internal === true) {
    throw new BurrowError('INVALID_ARGUMENT', `Topic ${name} is internal; no stream can be a view of it.`, {
      fields: { argument: 'x-topic' },
    });
  }
  if (found !== undefined && !ownsTopic(settings)) return;
  const configs = new Map([['cleanup.policy', 'delete'], ...limitsOf(settings)]);
  try {
    await service.createTopic({ name, partitions: 1, replicationFactor: -1, configs }, { validateOnly: false });
  } catch (error) {
    if (!isBurrowError(error, 'ALREADY_EXISTS')) throw error;
    // Another queue, or a client, was faster.
    if (!ownsTopic(settings)) return;
    throw new BurrowError(
      'ALREADY_EXISTS',
      `There is a topic ${name} already; with the argument x-topic the stream becomes a view of it.`,
      { fields: { topic: name } },
    );
  }
}

/** A policy has changed: the stream's own topic gets its new limits, if they are others. */
export async function reconfigureStreamTopic(
  service: Pick<BrokerService, 'alterTopicConfigs'>,
  queue: string,
  before: TopicSettings,
  after: TopicSettings,
): Promise<void> {
  if (!ownsTopic(after)) return;
  const had = new Map(limitsOf(before));
  const limits = new Map(limitsOf(after));
  const changes = new Map<string, string | undefined>();
  for (const key of new Set([...had.keys(), ...limits.keys()])) {
    if (had.get(key) !== limits.get(key)) changes.set(key, limits.get(key));
  }
  if (changes.size > 0) await service.alterTopicConfigs(streamTopic(queue, after), changes, { validateOnly: false });
}

/** Deletes the topic with its records, if it is the stream's own and still there. */
export async function deleteStreamTopic(
  service: Pick<BrokerService, 'deleteTopic'>,
  queue: string,
  settings: TopicSettings,
): Promise<void> {
  if (!ownsTopic(settings)) return;
  try {
    await service.deleteTopic(streamTopic(queue, settings));
  } catch (error) {
    if (!isBurrowError(error, 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
  }
}

function limitsOf({
  maxAgeMs = -1,
  maxLengthBytes = -1,
  streamMaxSegmentSizeBytes,
}: TopicSettings): Array<[string, string]> {
  const limits: Array<[string, string]> = [
    ['retention.ms', String(maxAgeMs)],
    ['retention.bytes', String(maxLengthBytes)],
  ];
  if (streamMaxSegmentSizeBytes !== undefined) {
    limits.push(['segment.bytes', String(Math.min(streamMaxSegmentSizeBytes, SEGMENT_BYTES_MAX))]);
  }
  return limits;
}

/** The topic behind a stream queue. */
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import type { QueueSettings } from '../definitions/queue-settings.ts';
import type { BrokerService } from '../partitions/broker-service.ts';

/** Of segment.bytes, which Kafka has as 32 bits. */
const SEGMENT_BYTES_MAX = 2 ** 31 - 1;

/** The name of the topic that a stream is a view of. */
export function streamTopic(queue: string, settings: Pick<QueueSettings, 'topic'>): string {
  return settings.topic ?? queue;
}

/**
 * Creates the topic if it is not there, with one partition and the stream's limits. One that is there stays as it is, whatever the
 * arguments of the queue say: it may have other users.
 * @throws BurrowError INVALID_NAME if the queue has a name that no topic can have and no argument `x-topic`
 */
export async function ensureStreamTopic(
  service: Pick<BrokerService, 'describeTopic' | 'createTopic'>,
  queue: string,
  settings: Pick<QueueSettings, 'topic' | 'maxAgeMs' | 'maxLengthBytes' | 'streamMaxSegmentSizeBytes'>,
): Promise<void> {
  const name = streamTopic(queue, settings);
  if (service.describeTopic(name) !== undefined) return;
  const { maxAgeMs = -1, maxLengthBytes = -1, streamMaxSegmentSizeBytes } = settings;
  const configs = new Map([
    ['cleanup.policy', 'delete'],
    ['retention.ms', String(maxAgeMs)],
    ['retention.bytes', String(maxLengthBytes)],
  ]);
  if (streamMaxSegmentSizeBytes !== undefined) {
    configs.set('segment.bytes', String(Math.min(streamMaxSegmentSizeBytes, SEGMENT_BYTES_MAX)));
  }
  try {
    await service.createTopic({ name, partitions: 1, replicationFactor: -1, configs }, { validateOnly: false });
  } catch (error) {
    // Another queue, or a client, was faster.
    if (!isBurrowError(error, 'ALREADY_EXISTS')) throw error;
  }
}

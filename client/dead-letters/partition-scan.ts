/** Reads a stretch of one partition, once, from an offset to the end that it had. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { ClientClock } from '../clock.ts';
import type { Consumer } from '../consumer/consumer.ts';
import type { ConsumerRecord } from '../consumer/consumer-record.ts';

export interface Stretch {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  /** Exclusive. */
  readonly end: number;
}

const POLL_TIMEOUT_MS = 100;
const RECORDS_MAX = 500;

/**
 * The records of a stretch, some at a time. `consumer` serves one scan after the other, with `onOutOfRange: 'earliest'`, since
 * records may be removed meanwhile. Throws REQUEST_TIMED_OUT if nothing comes for `stallMs`.
 */
export async function* scanPartition(
  consumer: Consumer,
  { topic, partition, from, end }: Stretch,
  clock: ClientClock,
  stallMs: number,
): AsyncGenerator<readonly ConsumerRecord[], void, undefined> {
  if (from >= end) return;
  await consumer.assign([{ topic, partition, from: { offset: from } }]);
  let position = from;
  let movedAtMs = clock.monotonic();
  while (position < end) {
    const records = await consumer.poll({ timeoutMs: POLL_TIMEOUT_MS, maxRecords: RECORDS_MAX });
    // The position tells, not the last record: the end may follow offsets that hold no records.
    const next = await consumer.position(topic, partition);
    if (next !== position) {
      position = next;
      movedAtMs = clock.monotonic();
    } else if (clock.monotonic() - movedAtMs > stallMs) {
      const text = `Nothing came of ${topic}-${partition} from offset ${position} on within ${stallMs} ms.`;
      throw new BurrowError('REQUEST_TIMED_OUT', text, { fields: { topic, partition, offset: position } });
    }
    const within = position <= end ? records : records.filter(({ offset }) => offset < end);
    if (within.length > 0) yield within;
  }
}

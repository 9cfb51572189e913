/**
 * What members of a `consumer` group put into the bytes that the group protocol carries for them: the subscription each
 * sends when it joins, and the assignment the leader makes for each. Kafka's ConsumerProtocolSubscription and
 * ConsumerProtocolAssignment, versions 0 to 3; so members of any client share one group.
 *
 *     subscription = version int16
 *                    topics [STRING]
 *                    userData NULLABLE_BYTES
 *                    ownedPartitions [topic STRING, partitions [int32]]     since 1 (KIP-429)
 *                    generationId int32                                     since 2 (KIP-792)
 *                    rackId NULLABLE_STRING                                 since 3 (KIP-881)
 *     assignment   = version int16
 *                    assignedPartitions [topic STRING, partitions [int32]]
 *                    userData NULLABLE_BYTES
 *
 * The bytes come from other clients and are untrusted. As in Kafka, a version that is newer than known is read as the newest
 * that is known, since new versions only add fields at the end. Byte strings that are handed out are views, not copies.
 */
import { ByteReader } from '../bytes/reader.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { BurrowError } from '../errors/burrow-error.ts';

/** The protocol type of groups whose members speak this. */
export const CONSUMER_PROTOCOL_TYPE = 'consumer';

const VERSION_NEWEST = 3;

export type ConsumerProtocolVersion = 0 | 1 | 2 | 3;

export interface TopicPartitions {
  readonly topic: string;
  readonly partitions: readonly number[];
}

export interface ConsumerSubscription {
  readonly topics: readonly string[];
  /** For the assignor. */
  readonly userData: Uint8Array | undefined;
  /** What the member holds while it joins (cooperative rebalancing). */
  readonly ownedPartitions: readonly TopicPartitions[];
  /** In which it came to own them; -1 if unknown. */
  readonly generationId: number;
  readonly rackId: string | undefined;
}

export interface ConsumerAssignment {
  readonly assignedPartitions: readonly TopicPartitions[];
  readonly userData: Uint8Array | undefined;
}

/** What `version` has no room for is left out. */
export function encodeSubscription(
  subscription: ConsumerSubscription,
  version: ConsumerProtocolVersion = VERSION_NEWEST,
): Uint8Array {
  const { topics, userData, ownedPartitions, generationId, rackId } = subscription;
  const writer = new ByteWriter().int16(version).arrayLength(topics.length);
  for (const topic of topics) writer.sizedString(topic);
  writer.nullableBytes(userData ?? null);
  if (version >= 1) writeTopicPartitions(writer, ownedPartitions);
  if (version >= 2) writer.int32(generationId);
  if (version >= 3) writer.nullableString(rackId ?? null);
  return writer.finish();
}

/** @throws BurrowError INVALID_ARGUMENT if the bytes are no subscription */
export function decodeSubscription(bytes: Uint8Array): ConsumerSubscription {
  const reader = new ByteReader(bytes);
  const version = reader.int16();
  const topics = readArray(reader, 2, () => reader.sizedString());
  const userData = reader.nullableBytes() ?? undefined;
  // Some clients announce a version and leave out what it added (Sarama once sent 1 without ownedPartitions): then what is
  // missing has its default, as in franz-go.
  const has = (since: ConsumerProtocolVersion) => version >= since && reader.remaining > 0;
  const ownedPartitions = has(1) ? readTopicPartitions(reader) : [];
  const generationId = has(2) ? reader.int32() : -1;
  const rackId = has(3) ? (reader.nullableString() ?? undefined) : undefined;
  if (!reader.ok || version < 0) throw malformed('subscription');
  return { topics, userData, ownedPartitions, generationId, rackId };
}

export function encodeAssignment(
  assignment: ConsumerAssignment,
  version: ConsumerProtocolVersion = VERSION_NEWEST,
): Uint8Array {
  const writer = new ByteWriter().int16(version);
  writeTopicPartitions(writer, assignment.assignedPartitions);
  return writer.nullableBytes(assignment.userData ?? null).finish();
}

/**
 * No bytes at all are an assignment of nothing: that is what a member gets which the leader has forgotten.
 * @throws BurrowError INVALID_ARGUMENT if the bytes are no assignment
 */
export function decodeAssignment(bytes: Uint8Array): ConsumerAssignment {
  if (bytes.length === 0) return { assignedPartitions: [], userData: undefined };
  const reader = new ByteReader(bytes);
  const version = reader.int16();
  const assignedPartitions = readTopicPartitions(reader);
  const userData = reader.nullableBytes() ?? undefined;
  if (!reader.ok || version < 0) throw malformed('assignment');
  return { assignedPartitions, userData };
}

function writeTopicPartitions(writer: ByteWriter, all: readonly TopicPartitions[]): void {
  writer.arrayLength(all.length);
  for (const { topic, partitions } of all) {
    writer.sizedString(topic).arrayLength(partitions.length);
    for (const partition of partitions) writer.int32(partition);
  }
}

function readTopicPartitions(reader: ByteReader): TopicPartitions[] {
  return readArray(reader, 6, () => ({
    topic: reader.sizedString(),
    partitions: readArray(reader, 4, () => reader.int32()),
  }));
}

/** An array that is not null. Its count is backed by the bytes that are there, so it cannot lie about memory. */
function readArray<T>(reader: ByteReader, elementBytesMin: number, readElement: () => T): T[] {
  const count = reader.arrayLength(elementBytesMin);
  if (count < 0) reader.fail();
  const elements: T[] = [];
  for (let index = 0; index < count && reader.ok; index++) elements.push(readElement());
  return elements;
}

function malformed(what: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', `The bytes are no ${what} of a consumer group member.`);
}

/**
 * The records of the internal topic `__consumer_offsets`, in Kafka's formats (OffsetCommitKey/Value, GroupMetadataKey/Value),
 * so that tools that read Kafka's topic read this one. A record without a value deletes what its key names. Strings are
 * Kafka's STRING (int16 length), integers big-endian; versions are those Kafka writes by default and the older ones.
 *
 *     offset key     = version int16 (0, 1), group STRING, topic STRING, partition int32
 *     offset value   = version int16 (0–3), offset int64, leaderEpoch int32 (since 3), metadata STRING,
 *                      commitTimestamp int64, expireTimestamp int64 (only 1)
 *     group key      = version int16 (2), group STRING
 *     group value    = version int16 (0–3), protocolType STRING, generation int32, protocol NULLABLE_STRING,
 *                      leader NULLABLE_STRING, currentStateTimestamp int64 (since 2), members [member]
 *     member         = memberId STRING, groupInstanceId NULLABLE_STRING (since 3), clientId STRING, clientHost STRING,
 *                      rebalanceTimeout int32 (since 1), sessionTimeout int32, subscription BYTES, assignment BYTES
 */
import { writeInt16, writeInt32, writeInt64 } from '../../src/bytes/big-endian.ts';
import { ByteReader } from '../../src/bytes/reader.ts';
import { encodeUtf8Into, utf8Bytes } from '../../src/bytes/utf8.ts';
import { ByteWriter } from '../../src/bytes/writer.ts';

const OFFSET_KEY_VERSION = 1;
const OFFSET_VALUE_VERSION = 3;
const GROUP_KEY_VERSION = 2;
const GROUP_VALUE_VERSION = 3;
/** The smallest member: its strings empty. */
const MEMBER_BYTES_MIN = 18;

export interface StoredOffset {
  readonly offset: number;
  /** -1 if unknown. */
  readonly leaderEpoch: number;
  readonly metadata: string;
  readonly commitTimestampMs: number;
}

export interface StoredMember {
  readonly memberId: string;
  readonly groupInstanceId: string | undefined;
  readonly clientId: string;
  readonly clientHost: string;
  readonly rebalanceTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  /** What it sent for the chosen protocol. */
  readonly subscription: Uint8Array;
  readonly assignment: Uint8Array;
}

export interface StoredGroup {
  readonly protocolType: string;
  readonly generationId: number;
  readonly protocolName: string | undefined;
  readonly leader: string | undefined;
  /** Since when it is as it is; -1 if unknown. */
  readonly stateTimestampMs: number;
  readonly members: readonly StoredMember[];
}

export type GroupRecordKey =
  | { readonly kind: 'offset'; readonly groupId: string; readonly topic: string; readonly partition: number }
  | { readonly kind: 'group'; readonly groupId: string };

/** Bytes that {@link writeOffsetKey} and {@link writeOffsetValue} need together. */
export function offsetRecordBytes(groupId: string, topic: string, metadata: string): number {
  return 10 + utf8Bytes(groupId) + utf8Bytes(topic) + 24 + utf8Bytes(metadata);
}

/** Returns the position behind it. Per committed offset. */
export function writeOffsetKey(
  bytes: Uint8Array,
  position: number,
  groupId: string,
  topic: string,
  partition: number,
): number {
  writeInt16(bytes, position, OFFSET_KEY_VERSION);
  position = writeString(bytes, position + 2, groupId);
  position = writeString(bytes, position, topic);
  writeInt32(bytes, position, partition);
  return position + 4;
}

/** Returns the position behind it. Per committed offset. */
export function writeOffsetValue(bytes: Uint8Array, position: number, value: StoredOffset): number {
  writeInt16(bytes, position, OFFSET_VALUE_VERSION);
  writeInt64(bytes, position + 2, value.offset);
  writeInt32(bytes, position + 10, value.leaderEpoch);
  position = writeString(bytes, position + 14, value.metadata);
  writeInt64(bytes, position, value.commitTimestampMs);
  return position + 8;
}

function writeString(bytes: Uint8Array, position: number, text: string): number {
  const end = encodeUtf8Into(text, bytes, position + 2);
  writeInt16(bytes, position, end - position - 2);
  return end;
}

export function encodeGroupKey(groupId: string): Uint8Array {
  return new ByteWriter(64).int16(GROUP_KEY_VERSION).sizedString(groupId).finish();
}

export function encodeGroupValue(group: StoredGroup): Uint8Array {
  const writer = new ByteWriter(512)
    .int16(GROUP_VALUE_VERSION)
    .sizedString(group.protocolType)
    .int32(group.generationId)
    .nullableString(group.protocolName ?? null)
    .nullableString(group.leader ?? null)
    .int64(group.stateTimestampMs)
    .arrayLength(group.members.length);
  for (const member of group.members) {
    writer
      .sizedString(member.memberId)
      .nullableString(member.groupInstanceId ?? null)
      .sizedString(member.clientId)
      .sizedString(member.clientHost)
      .int32(member.rebalanceTimeoutMs)
      .int32(member.sessionTimeoutMs)
      .sizedBytes(member.subscription)
      .sizedBytes(member.assignment);
  }
  return writer.finish();
}

/** Undefined for keys of other or newer kinds. */
export function decodeKey(bytes: Uint8Array): GroupRecordKey | undefined {
  const reader = new ByteReader(bytes);
  const version = reader.int16();
  const groupId = reader.sizedString();
  if (version === GROUP_KEY_VERSION) return reader.ok ? { kind: 'group', groupId } : undefined;
  if (version < 0 || version > OFFSET_KEY_VERSION) return undefined;
  const topic = reader.sizedString();
  const partition = reader.int32();
  return reader.ok ? { kind: 'offset', groupId, topic, partition } : undefined;
}

/** Undefined if the bytes are of a newer version or damaged. */
export function decodeOffsetValue(bytes: Uint8Array): StoredOffset | undefined {
  const reader = new ByteReader(bytes);
  const version = reader.int16();
  const offset = reader.int64();
  const leaderEpoch = version >= 3 ? reader.int32() : -1;
  const metadata = reader.sizedString();
  const commitTimestampMs = reader.int64();
  if (!reader.ok || version < 0 || version > OFFSET_VALUE_VERSION) return undefined;
  return { offset, leaderEpoch, metadata, commitTimestampMs };
}

/** Undefined if the bytes are of a newer version or damaged. Byte strings are views. */
export function decodeGroupValue(bytes: Uint8Array): StoredGroup | undefined {
  const reader = new ByteReader(bytes);
  const version = reader.int16();
  const protocolType = reader.sizedString();
  const generationId = reader.int32();
  const protocolName = reader.nullableString() ?? undefined;
  const leader = reader.nullableString() ?? undefined;
  const stateTimestampMs = version >= 2 ? reader.int64() : -1;
  const count = reader.arrayLength(MEMBER_BYTES_MIN);
  const members: StoredMember[] = [];
  for (let index = 0; index < count && reader.ok; index++) members.push(readMember(reader, version));
  if (!reader.ok || version < 0 || version > GROUP_VALUE_VERSION) return undefined;
  return { protocolType, generationId, protocolName, leader, stateTimestampMs, members };
}

function readMember(reader: ByteReader, version: number): StoredMember {
  const memberId = reader.sizedString();
  const groupInstanceId = version >= 3 ? (reader.nullableString() ?? undefined) : undefined;
  const clientId = reader.sizedString();
  const clientHost = reader.sizedString();
  const rebalanceTimeoutMs = version >= 1 ? reader.int32() : -1;
  const sessionTimeoutMs = reader.int32();
  return {
    memberId,
    groupInstanceId,
    clientId,
    clientHost,
    // Version 0 knew only one timeout.
    rebalanceTimeoutMs: rebalanceTimeoutMs === -1 ? sessionTimeoutMs : rebalanceTimeoutMs,
    sessionTimeoutMs,
    subscription: reader.sizedBytes(),
    assignment: reader.sizedBytes(),
  };
}

/**
 * The markers that end a transaction in a partition: a control batch with one record (Kafka's EndTransactionMarker).
 *
 *     key   = version int16 = 0, type int16 (0 abort, 1 commit)
 *     value = version int16 = 0, coordinator epoch int32
 *
 * Later versions may append fields to either (KIP-98), so longer ones are read too; other types are not ours.
 */
import { readInt16, readInt32, writeInt16, writeInt32 } from '../bytes/big-endian.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { BatchBuilder } from './batch-builder.ts';
import { ATTRIBUTES_POSITION, CONTROL_FLAG, getAttributes, resealBatch } from './batch-header.ts';

const ABORT = 0;
const COMMIT = 1;

const KEY_BYTES = 4;
const VALUE_BYTES = 6;

interface ControlRecord {
  readonly type: 'abort' | 'commit';
  readonly coordinatorEpoch: number;
}

/** Key and value of a marker. Throws INVALID_RECORD if they are none; undefined for a type that this version does not know. */
export function decodeControlRecord(key: Uint8Array | null, value: Uint8Array | null): ControlRecord | undefined {
  if (key === null || key.length < KEY_BYTES || readInt16(key, 0) < 0) throw malformed('key');
  const type = readInt16(key, 2);
  if (type !== ABORT && type !== COMMIT) return undefined;
  if (value === null || value.length < VALUE_BYTES || readInt16(value, 0) < 0) throw malformed('value');
  return { type: type === COMMIT ? 'commit' : 'abort', coordinatorEpoch: readInt32(value, 2) };
}

interface ControlBatchFields extends ControlRecord {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly timestampMs: number;
}

/** A batch that ends the producer's transaction in a partition. The log stamps offset and leader epoch. */
export function encodeControlBatch(fields: ControlBatchFields): Uint8Array {
  const key = new Uint8Array(KEY_BYTES);
  writeInt16(key, 2, fields.type === 'commit' ? COMMIT : ABORT);
  const value = new Uint8Array(VALUE_BYTES);
  writeInt32(value, 2, fields.coordinatorEpoch);
  const builder = new BatchBuilder({ bytesInitial: 128 });
  builder.append(fields.timestampMs, key, value);
  const { producerId, producerEpoch } = fields;
  const bytes = builder.finish({ producerId, producerEpoch, transactional: true });
  writeInt16(bytes, ATTRIBUTES_POSITION, getAttributes(bytes, 0) | CONTROL_FLAG);
  resealBatch(bytes, 0);
  return bytes;
}

function malformed(part: string): BurrowError {
  return new BurrowError('INVALID_RECORD', `The ${part} of a control record is malformed.`);
}

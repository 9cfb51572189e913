/** Record batches for tests, written byte by byte and independently of the product's builder. */
import { crc32c } from '@node-rs/crc32';

export interface TestBatchOptions {
  readonly timestampMs?: number;
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  /** Applies to all records; undefined is a null key. */
  readonly key?: string;
}

/** An uncompressed batch v2 with one record per value; base offset 0, as producers send it. */
export function testBatch(values: readonly string[], options: TestBatchOptions = {}): Buffer {
  const records = values.map((value, index) => encodeRecord(index, value, options.key));
  const body = Buffer.concat(records);
  const batch = Buffer.alloc(61 + body.length);
  const timestampMs = BigInt(options.timestampMs ?? 1_000);
  batch.writeBigInt64BE(0n, 0);
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt32BE(-1, 12);
  batch.writeInt8(2, 16);
  batch.writeInt16BE(0, 21);
  batch.writeInt32BE(values.length - 1, 23);
  batch.writeBigInt64BE(timestampMs, 27);
  batch.writeBigInt64BE(timestampMs, 35);
  batch.writeBigInt64BE(BigInt(options.producerId ?? -1), 43);
  batch.writeInt16BE(options.producerEpoch ?? -1, 51);
  batch.writeInt32BE(options.baseSequence ?? -1, 53);
  batch.writeInt32BE(values.length, 57);
  body.copy(batch, 61);
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
}

export interface DecodedTestBatch {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly intact: boolean;
  readonly values: readonly string[];
}

/** Decodes what {@link testBatch} wrote, as stored; damaged batches are marked, not thrown. */
export function decodeTestBatches(bytes: Buffer): DecodedTestBatch[] {
  const batches: DecodedTestBatch[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 12 + bytes.readInt32BE(at + 8);
    const batch = bytes.subarray(at, at + size);
    const baseOffset = Number(batch.readBigInt64BE(0));
    const intact = batch.length === size && batch.readUInt32BE(17) === crc32c(batch.subarray(21));
    batches.push({
      baseOffset,
      nextOffset: baseOffset + batch.readInt32BE(23) + 1,
      intact,
      values: intact ? decodeRecords(batch) : [],
    });
    at += size;
  }
  return batches;
}

function encodeRecord(offsetDelta: number, value: string, key: string | undefined): Buffer {
  const bytes = Buffer.from(value);
  const keyBytes = key === undefined ? undefined : Buffer.from(key);
  const inner = Buffer.concat([
    Buffer.from([0]),
    varint(0),
    varint(offsetDelta),
    varint(keyBytes === undefined ? -1 : keyBytes.length),
    keyBytes ?? Buffer.alloc(0),
    varint(bytes.length),
    bytes,
    varint(0),
  ]);
  return Buffer.concat([varint(inner.length), inner]);
}

function decodeRecords(batch: Buffer): string[] {
  const values: string[] = [];
  let at = 61;
  const read = (): number => {
    let result = 0;
    let shift = 0;
    for (;;) {
      const byte = batch[at++]!;
      result |= (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return (result >>> 1) ^ -(result & 1);
      shift += 7;
    }
  };
  while (at < batch.length) {
    read();
    at++;
    read();
    read();
    const keyLength = read();
    if (keyLength > 0) at += keyLength;
    const length = read();
    values.push(batch.toString('utf8', at, at + length));
    at += length;
    read();
  }
  return values;
}

function varint(value: number): Buffer {
  let zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  const bytes: number[] = [];
  while (zigzag >= 0x80) {
    bytes.push((zigzag & 0x7f) | 0x80);
    zigzag >>>= 7;
  }
  bytes.push(zigzag);
  return Buffer.from(bytes);
}

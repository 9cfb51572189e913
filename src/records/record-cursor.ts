/**
 * Walks the records of a batch, uncompressed, without an object per record: after each `next()` the cursor's fields
 * tell where the parts of the current record lie. For checks, compaction and whatever else needs no record objects.
 *
 *     record  = length varint                (bytes behind this field)
 *               attributes int8              (unused)
 *               timestampDelta varlong       (from the batch's baseTimestamp)
 *               offsetDelta varint           (from the batch's baseOffset)
 *               keyLength varint, key        (-1: null)
 *               valueLength varint, value    (-1: null)
 *               headersCount varint, header …
 *     header  = keyLength varint, key UTF-8, valueLength varint, value (-1: null)
 *
 * The bytes are untrusted: every length is held against the record's end and every record against the section's end,
 * and a record's parts must fill it exactly. The first record that breaks this ends the walk with `ok` false.
 * Per record: no objects, no exceptions.
 */

/** The smallest record: seven fields of one byte each. */
export const RECORD_BYTES_MIN = 7;

export class RecordCursor {
  /** First byte of the current record, its length field included, and the byte behind it. */
  recordPosition = 0;
  recordEnd = 0;
  timestampDelta = 0;
  /** Where the rest of the record begins, which does not depend on the batch's base timestamp. */
  offsetDeltaPosition = 0;
  offsetDelta = 0;
  keyPosition = 0;
  /** -1 for null; likewise below. */
  keyBytes = -1;
  valuePosition = 0;
  valueBytes = -1;
  headersCount = 0;
  /** The first header, behind the count. */
  headersPosition = 0;

  readonly bytes: Uint8Array;
  readonly #end: number;
  #ok = true;
  /** Where the next primitive is read. */
  #position: number;
  /** What the next primitive must not reach beyond: the section's end, then the record's. */
  #limit: number;

  /** Walks the records in `bytes[start, end)`. */
  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.#position = start;
    this.#end = end;
    this.#limit = end;
    this.recordEnd = start;
  }

  /** False if the walk ended at a malformed record instead of at the end. */
  get ok(): boolean {
    return this.#ok;
  }

  /** Moves to the next record. False at the end, and at a record that is malformed (then `ok` is false). */
  next(): boolean {
    const start = this.recordEnd;
    if (start >= this.#end || !this.#ok) return false;
    this.#position = start;
    this.#limit = this.#end;
    const length = this.#varint();
    const end = this.#position + length;
    if (length < RECORD_BYTES_MIN - 1 || end > this.#end) return this.#fail();
    this.#limit = end;
    this.recordPosition = start;
    this.recordEnd = end;
    this.#position++; // attributes
    this.timestampDelta = this.#varlong();
    this.offsetDeltaPosition = this.#position;
    this.offsetDelta = this.#varint();
    this.keyBytes = this.#varint();
    this.keyPosition = this.#position;
    this.#skip(this.keyBytes);
    this.valueBytes = this.#varint();
    this.valuePosition = this.#position;
    this.#skip(this.valueBytes);
    this.headersCount = this.#varint();
    this.headersPosition = this.#position;
    if (this.headersCount !== 0) this.#skipHeaders();
    if (this.#position !== end) this.#ok = false;
    return this.#ok;
  }

  /** The current record's key, as a view. */
  key(): Uint8Array | null {
    return this.keyBytes < 0 ? null : this.bytes.subarray(this.keyPosition, this.keyPosition + this.keyBytes);
  }

  /** The current record's value, as a view. */
  value(): Uint8Array | null {
    return this.valueBytes < 0 ? null : this.bytes.subarray(this.valuePosition, this.valuePosition + this.valueBytes);
  }

  #fail(): false {
    this.#ok = false;
    return false;
  }

  #skipHeaders(): void {
    // A header takes at least two bytes; so a count that lies cannot make this loop long.
    if (this.headersCount < 0 || this.headersCount > (this.#limit - this.#position) >> 1) {
      this.#ok = false;
      return;
    }
    for (let index = 0; index < this.headersCount && this.#ok; index++) {
      const keyBytes = this.#varint();
      if (keyBytes < 0) this.#ok = false;
      this.#skip(keyBytes);
      this.#skip(this.#varint());
    }
  }

  /** Skips a key or value of `count` bytes; -1 is null and takes none. */
  #skip(count: number): void {
    if (count >= 0) {
      if (count > this.#limit - this.#position) this.#ok = false;
      else this.#position += count;
    } else if (count !== -1) this.#ok = false;
  }

  /** A zigzag varint; 0 and `ok` false if it does not fit. One and two bytes, nearly all, take the short way. */
  #varint(): number {
    const position = this.#position;
    if (position < this.#limit) {
      const first = this.bytes[position]!;
      if (first < 0x80) {
        this.#position = position + 1;
        return (first >>> 1) ^ -(first & 1);
      }
      if (position + 1 < this.#limit) {
        const second = this.bytes[position + 1]!;
        if (second < 0x80) {
          this.#position = position + 2;
          const value = (first & 0x7f) | (second << 7);
          return (value >>> 1) ^ -(value & 1);
        }
      }
    }
    return this.#longVarint();
  }

  #longVarint(): number {
    let position = this.#position;
    let value = 0;
    for (let shift = 0; shift < 35 && position < this.#limit; shift += 7) {
      const byte = this.bytes[position++]!;
      if (shift === 28 && byte > 0x0f) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#position = position;
        return (value >>> 1) ^ -(value & 1);
      }
    }
    this.#ok = false;
    return 0;
  }

  /** A zigzag varlong; 0 and `ok` false if it does not fit or is no safe integer. */
  #varlong(): number {
    let position = this.#position;
    if (position < this.#limit) {
      const first = this.bytes[position]!;
      if (first < 0x80) {
        this.#position = position + 1;
        return (first >>> 1) ^ -(first & 1);
      }
    }
    // All but the last bit, which is the sign; so the sum is exact wherever the value is a safe integer.
    let half = 0;
    let scale = 0.5;
    let negative = false;
    for (let count = 0; count < 10 && position < this.#limit; count++) {
      const byte = this.bytes[position++]!;
      if (count === 0) {
        negative = (byte & 1) === 1;
        half = (byte & 0x7f) >>> 1;
      } else half += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) {
        const value = negative ? -half - 1 : half;
        if (!Number.isSafeInteger(value)) break;
        this.#position = position;
        return value;
      }
    }
    this.#ok = false;
    return 0;
  }
}

/**
 * Field tables and content properties as the side-by-side run writes and reads them: with the type of each value, so that a broker that
 * passes an int16 on as an int32 is seen. A codec of its own: the broker's cannot judge itself.
 */

/** A value with the letter of its type on the wire (`field-table.ts` lists them). */
export class Typed {
  readonly letter: string;
  readonly value: number | bigint | string | Buffer;

  constructor(letter: string, value: number | bigint | string | Buffer) {
    this.letter = letter;
    this.value = value;
  }
}

/** Plain values get the type that most clients give them: text S, integers I or l, others d. */
export type Field = string | number | boolean | null | Typed | readonly Field[] | { readonly [name: string]: Field };
export type Fields = { readonly [name: string]: Field };

export function typed(letter: string, value: Typed['value']): Typed {
  return new Typed(letter, value);
}

export interface Properties {
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly headers?: Fields;
  readonly deliveryMode?: number;
  readonly priority?: number;
  readonly correlationId?: string;
  readonly replyTo?: string;
  readonly expiration?: string;
  readonly messageId?: string;
  readonly timestamp?: number;
  readonly type?: string;
  readonly userId?: string;
  readonly appId?: string;
  readonly clusterId?: string;
}

/** Strings of names are changed on their way out, so that scenarios that run at the same time do not meet. */
export type Rename = (text: string) => string;

const PROPERTIES: ReadonlyArray<readonly [keyof Properties, 'short' | 'table' | 'octet' | 'time']> = [
  ['contentType', 'short'],
  ['contentEncoding', 'short'],
  ['headers', 'table'],
  ['deliveryMode', 'octet'],
  ['priority', 'octet'],
  ['correlationId', 'short'],
  ['replyTo', 'short'],
  ['expiration', 'short'],
  ['messageId', 'short'],
  ['timestamp', 'time'],
  ['type', 'short'],
  ['userId', 'short'],
  ['appId', 'short'],
  ['clusterId', 'short'],
];

// Writing

export function shortString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function sized(bytes: Uint8Array): Buffer {
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

/** With its length in front. */
export function encodeTable(fields: Fields, rename: Rename): Buffer {
  const entries = Object.entries(fields).flatMap(([name, value]) => [
    shortString(rename(name)),
    encodeField(value, rename),
  ]);
  return sized(Buffer.concat(entries));
}

function encodeField(field: Field, rename: Rename): Buffer {
  const { letter, value } = withType(field);
  return Buffer.concat([Buffer.from(letter), encodeValue(letter, value, rename)]);
}

function withType(field: Field): { letter: string; value: unknown } {
  if (field instanceof Typed) return field;
  if (typeof field === 'string') return { letter: 'S', value: field };
  if (typeof field === 'boolean') return { letter: 't', value: field };
  if (field === null) return { letter: 'V', value: field };
  if (Array.isArray(field)) return { letter: 'A', value: field };
  if (typeof field !== 'number') return { letter: 'F', value: field };
  if (!Number.isInteger(field)) return { letter: 'd', value: field };
  return { letter: field === (field | 0) ? 'I' : 'l', value: field };
}

function encodeValue(letter: string, value: unknown, rename: Rename): Buffer {
  const number = Number(value);
  const bytes = Buffer.alloc(8);
  switch (letter) {
    case 'S':
      return sized(Buffer.isBuffer(value) ? value : Buffer.from(rename(String(value))));
    case 'x':
      return sized(Buffer.isBuffer(value) ? value : Buffer.from(String(value)));
    case 'A':
      return sized(Buffer.concat((value as Field[]).map((each) => encodeField(each, rename))));
    case 'F':
      return encodeTable(value as Fields, rename);
    case 't':
    case 'b':
    case 'B':
      return Buffer.of(number & 0xff);
    case 's':
      return bytes.subarray(0, bytes.writeInt16BE(number));
    case 'u':
      return bytes.subarray(0, bytes.writeUInt16BE(number));
    case 'I':
      return bytes.subarray(0, bytes.writeInt32BE(number));
    case 'i':
      return bytes.subarray(0, bytes.writeUInt32BE(number));
    case 'f':
      return bytes.subarray(0, bytes.writeFloatBE(number));
    case 'd':
      return bytes.subarray(0, bytes.writeDoubleBE(number));
    case 'l':
    case 'L':
    case 'T':
      return int64(BigInt(value as number));
    case 'D':
      // Two digits behind the point.
      bytes.writeUInt8(2);
      return bytes.subarray(0, bytes.writeInt32BE(number, 1));
    default:
      return Buffer.alloc(0);
  }
}

/** Flags and values. */
export function encodeProperties(properties: Properties, rename: Rename): Buffer {
  let flags = 0;
  const values: Buffer[] = [];
  PROPERTIES.forEach(([name, form], index) => {
    const value = properties[name];
    if (value === undefined) return;
    flags |= 1 << (15 - index);
    if (form === 'table') values.push(encodeTable(value as Fields, rename));
    else if (form === 'short') values.push(shortString(rename(value as string)));
    else if (form === 'octet') values.push(Buffer.of(value as number));
    else values.push(int64(BigInt(value as number)));
  });
  return Buffer.concat([Buffer.of(flags >> 8, flags & 0xff), ...values]);
}

// Reading

/** Reads what a broker sent, whose bytes are taken as they are. */
export class FieldReader {
  readonly #bytes: Buffer;
  position: number;

  constructor(bytes: Buffer, position = 0) {
    this.#bytes = bytes;
    this.position = position;
  }

  take(count: number): Buffer {
    const start = this.position;
    this.position += count;
    if (this.position > this.#bytes.length) throw new RangeError('the broker sent something that is cut off');
    return this.#bytes.subarray(start, this.position);
  }

  uint8(): number {
    return this.take(1)[0]!;
  }

  uint16(): number {
    return this.take(2).readUInt16BE();
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  uint64(): number {
    return Number(this.take(8).readBigUInt64BE());
  }

  shortString(): string {
    return this.take(this.uint8()).toString();
  }

  longString(): Buffer {
    return this.take(this.uint32());
  }

  /** `{name: type value, …}`, by name: the order of a table means nothing. */
  table(): string {
    const end = this.uint32() + this.position;
    const entries: string[] = [];
    while (this.position < end) {
      const name = this.shortString();
      entries.push(`${name}: ${this.#field()}`);
    }
    return `{${entries.sort().join(', ')}}`;
  }

  #field(): string {
    const letter = String.fromCharCode(this.uint8());
    switch (letter) {
      case 'F':
        return this.table();
      case 'A': {
        const end = this.uint32() + this.position;
        const elements: string[] = [];
        while (this.position < end) elements.push(this.#field());
        return `[${elements.join(', ')}]`;
      }
      case 'S':
        return JSON.stringify(this.longString().toString());
      case 'V':
        return 'V';
      default:
        return `${letter} ${this.#plainValue(letter)}`;
    }
  }

  #plainValue(letter: string): string {
    switch (letter) {
      case 'x':
        return this.longString().toString('hex');
      case 't':
        return String(this.uint8() !== 0);
      case 'b':
        return String(this.take(1).readInt8());
      case 'B':
        return String(this.uint8());
      case 's':
        return String(this.take(2).readInt16BE());
      case 'u':
        return String(this.uint16());
      case 'I':
        return String(this.take(4).readInt32BE());
      case 'i':
        return String(this.uint32());
      case 'f':
        return String(this.take(4).readFloatBE());
      case 'd':
        return String(this.take(8).readDoubleBE());
      case 'D':
        return `${this.uint8()}/${this.take(4).readInt32BE()}`;
      case 'l':
      case 'L':
      case 'T':
        return String(this.take(8).readBigInt64BE());
      default:
        throw new RangeError(`the broker sent a field of type ${JSON.stringify(letter)}`);
    }
  }

  /** What is set, in the order of the protocol: `contentType="text/plain" priority=5`. */
  properties(): Map<string, string> {
    const flags = this.uint16();
    const found = new Map<string, string>();
    PROPERTIES.forEach(([name, form], index) => {
      if ((flags & (1 << (15 - index))) === 0) return;
      if (form === 'table') found.set(name, this.table());
      else if (form === 'short') found.set(name, this.shortString());
      else if (form === 'octet') found.set(name, String(this.uint8()));
      else found.set(name, String(this.uint64()));
    });
    return found;
  }
}

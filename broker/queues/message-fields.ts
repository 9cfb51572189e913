/**
 * Single fields of AMQP content properties, read without decoding the rest (AMQP 0-9-1, section 4.2.6.1: flags, then the
 * fields whose flags are set, in order). Bytes that are malformed have no such field: they were checked when they came in.
 */

const CONTENT_TYPE = 1 << 15;
const CONTENT_ENCODING = 1 << 14;
const HEADERS = 1 << 13;
const DELIVERY_MODE = 1 << 12;
const PRIORITY = 1 << 11;
const CORRELATION_ID = 1 << 10;
const REPLY_TO = 1 << 9;
const EXPIRATION = 1 << 8;

/** Where a field begins, or -1 if it is not there. `end` is exclusive. */
function fieldPosition(bytes: Uint8Array, position: number, end: number, field: number): number {
  if (end - position < 2) return -1;
  const flags = (bytes[position]! << 8) | bytes[position + 1]!;
  if ((flags & field) === 0) return -1;
  let at = position + 2;
  const shortString = (flag: number): void => {
    if ((flags & flag) !== 0 && flag > field) at += 1 + (bytes[at] ?? 0);
  };
  shortString(CONTENT_TYPE);
  shortString(CONTENT_ENCODING);
  if ((flags & HEADERS) !== 0 && HEADERS > field) at += 4 + uint32(bytes, at);
  if ((flags & DELIVERY_MODE) !== 0 && DELIVERY_MODE > field) at += 1;
  if ((flags & PRIORITY) !== 0 && PRIORITY > field) at += 1;
  shortString(CORRELATION_ID);
  shortString(REPLY_TO);
  return at < end ? at : -1;
}

/** 0 if there is none. Per message. */
export function priorityOf(bytes: Uint8Array, position: number, byteCount: number): number {
  const at = fieldPosition(bytes, position, position + byteCount, PRIORITY);
  return at === -1 ? 0 : bytes[at]!;
}

/** Milliseconds; -1 if there is none, or none that is a number. Per message. */
export function expirationOf(bytes: Uint8Array, position: number, byteCount: number): number {
  const end = position + byteCount;
  const at = fieldPosition(bytes, position, end, EXPIRATION);
  if (at === -1) return -1;
  const textEnd = at + 1 + bytes[at]!;
  if (textEnd > end || textEnd === at + 1) return -1;
  let value = 0;
  for (let index = at + 1; index < textEnd; index++) {
    const digit = bytes[index]! - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** A header that is a string, undefined otherwise. Looks at the top level of the table only. */
export function textHeaderOf(bytes: Buffer, position: number, byteCount: number, name: string): string | undefined {
  const end = position + byteCount;
  const at = fieldPosition(bytes, position, end, HEADERS);
  if (at === -1) return undefined;
  const tableEnd = Math.min(at + 4 + uint32(bytes, at), end);
  for (let index = at + 4; index < tableEnd; ) {
    const nameEnd = index + 1 + bytes[index]!;
    const isWanted = bytes.toString('utf8', index + 1, nameEnd) === name;
    const valueBytes = bytesOfValue(bytes, nameEnd, tableEnd);
    if (valueBytes === -1) return undefined;
    if (isWanted) {
      if (bytes[nameEnd] !== 0x53) return undefined; // 'S'
      return bytes.toString('utf8', nameEnd + 5, nameEnd + valueBytes);
    }
    index = nameEnd + valueBytes;
  }
  return undefined;
}

/** Bytes of a field value, its type included; -1 if it is malformed. */
function bytesOfValue(bytes: Uint8Array, at: number, end: number): number {
  const count = valueBytesAt(bytes, at);
  return count === -1 || at + count > end ? -1 : count;
}

/** Types as RabbitMQ has them. */
function valueBytesAt(bytes: Uint8Array, at: number): number {
  switch (String.fromCharCode(bytes[at] ?? 0)) {
    case 'V':
      return 1;
    case 't':
    case 'b':
    case 'B':
      return 2;
    case 's':
    case 'u':
      return 3;
    case 'I':
    case 'i':
    case 'f':
      return 5;
    case 'D':
      return 6;
    case 'l':
    case 'L':
    case 'd':
    case 'T':
      return 9;
    case 'S':
    case 'x':
    case 'A':
    case 'F':
      return 5 + uint32(bytes, at + 1);
    default:
      return -1;
  }
}

function uint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) * 0x100_0000 + (((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0))
  );
}

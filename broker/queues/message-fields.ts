/** What queues look at of a message's content properties, which were checked when the message came in. */
import { fieldTableValue } from '../../src/messages/field-table.ts';
import type { FieldValue } from '../../src/messages/field-value.ts';
import { propertyPosition } from '../../src/messages/message-properties.ts';
import type { MessageView } from './message-batch.ts';

const PLUS = '+'.charCodeAt(0);
const DIGIT_ZERO = 0x30;

/** 0 if there is none. Per message. */
export function priorityOf(bytes: Uint8Array, position: number, byteCount: number): number {
  const at = propertyPosition(bytes, position, position + byteCount, 'priority');
  return at === -1 ? 0 : bytes[at]!;
}

/** Milliseconds; -1 if there is none, or none that is a number. Per message. */
export function expirationOf(bytes: Uint8Array, position: number, byteCount: number): number {
  const at = propertyPosition(bytes, position, position + byteCount, 'expiration');
  if (at === -1 || bytes[at] === 0) return -1;
  const end = at + 1 + bytes[at]!;
  let value = 0;
  // A plus is allowed (see checkExpiration of AMQP's channels).
  for (let index = bytes[at + 1] === PLUS ? at + 2 : at + 1; index < end; index++) {
    const digit = bytes[index]! - DIGIT_ZERO;
    if (!(digit >= 0 && digit <= 9)) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** A header that is a string, undefined otherwise. Looks at the top level of the table only. */
export function textHeaderOf(bytes: Uint8Array, position: number, byteCount: number, name: string): string | undefined {
  const value = headerOf(bytes, position, byteCount, name);
  return typeof value === 'string' ? value : undefined;
}

/**
 * What tells the message group: the header of this name, or the routing key for ''. A number is as good as its digits. Undefined: it is
 * in no group. Per message.
 */
export function groupKeyOf(view: MessageView, header: string): string | undefined {
  if (header === '') return view.routingKey;
  const value = headerOf(view.bytes, view.propertiesPosition, view.propertiesBytes, header);
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : undefined;
}

function headerOf(bytes: Uint8Array, position: number, byteCount: number, name: string): FieldValue | undefined {
  const at = propertyPosition(bytes, position, position + byteCount, 'headers');
  if (at === -1) return undefined;
  const tableBytes = bytes[at]! * 0x100_0000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
  return fieldTableValue(bytes, at + 4, at + 4 + tableBytes, name);
}

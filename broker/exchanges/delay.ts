/**
 * The header `x-delay` of messages to an x-delayed-message exchange, as RabbitMQ's plugin reads it: milliseconds as a
 * number or as text. Only delays from 1 to 2^32 - 1 count; a message with another value, or none, is not delayed.
 */
import type { FieldTable } from '../../src/messages/field-value.ts';

/** Of the plugin: the longest timer of Erlang, 49.7 days. */
const DELAY_MS_MAX = 2 ** 32 - 1;

/** 0 if the message is not to be delayed. */
export function delayMs(headers: FieldTable | undefined): number {
  const value = headers?.get('x-delay');
  let delay = 0;
  if (typeof value === 'number') delay = Math.trunc(value);
  else if (typeof value === 'string' && /^[0-9]{1,10}$/.test(value)) delay = Number(value);
  return delay > 0 && delay <= DELAY_MS_MAX ? delay : 0;
}

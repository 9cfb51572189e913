/**
 * The headers CC and BCC: lists of more routing keys for a message (RabbitMQ's sender-selected distribution). The
 * strings among the items count, others do not. Who stores the message removes BCC first.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';

/**
 * Appends the extra routing keys.
 * @throws BurrowError INVALID_ARGUMENT if CC or BCC is no list
 */
export function addExtraRoutingKeys(headers: FieldTable, into: string[]): void {
  addKeys(headers, 'CC', into);
  addKeys(headers, 'BCC', into);
}

function addKeys(headers: FieldTable, name: string, into: string[]): void {
  const value = headers.get(name);
  if (value === undefined) return;
  if (!Array.isArray(value)) {
    throw new BurrowError('INVALID_ARGUMENT', `The header ${name} must be a list of routing keys.`, {
      fields: { header: name },
    });
  }
  for (const key of value) if (typeof key === 'string') into.push(key);
}

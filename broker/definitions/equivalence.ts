/**
 * A declaration of what exists must say what it is: else DECLARED_DIFFERENTLY, in RabbitMQ's words, which clients and
 * their users know ("inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'").
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { comparableValue } from '../../src/messages/field-equality.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';

/** "exchange 'logs' in vhost '/'", as RabbitMQ names it in all its errors. */
export function resourceText(kind: 'exchange' | 'queue', name: string, virtualHost: string): string {
  return `${kind} '${name}' in vhost '${virtualHost}'`;
}

/** @throws BurrowError DECLARED_DIFFERENTLY */
export function checkSame(resource: string, property: string, received: unknown, current: unknown): void {
  if (received !== current) throw differs(resource, property, `'${received}'`, `'${current}'`);
}

/**
 * Compares the arguments in `names`; others are free to differ.
 * @throws BurrowError DECLARED_DIFFERENTLY
 */
export function checkSameArguments(
  resource: string,
  names: Iterable<string>,
  received: FieldTable,
  current: FieldTable,
): void {
  for (const name of names) {
    const first = received.get(name);
    const second = current.get(name);
    if (first === second) continue;
    if (first === undefined || second === undefined) {
      throw differs(resource, name, described(first), described(second));
    }
    if (typeClass(first) !== typeClass(second) || comparableValue(first) !== comparableValue(second)) {
      throw differs(resource, name, `'${shown(first)}'`, `'${shown(second)}'`);
    }
  }
}

function differs(resource: string, argument: string, received: string, current: string): BurrowError {
  return new BurrowError(
    'DECLARED_DIFFERENTLY',
    `inequivalent arg '${argument}' for ${resource}: received ${received} but current is ${current}`,
    { fields: { argument } },
  );
}

function described(value: FieldValue | undefined): string {
  return value === undefined ? 'none' : `the value '${shown(value)}' of type '${fieldTypeName(value)}'`;
}

function shown(value: FieldValue): string {
  return typeof value === 'object' ? String(comparableValue(value)) : String(value);
}

/** RabbitMQ's names. How many bits a number was sent with is not known any more. */
export function fieldTypeName(value: FieldValue): string {
  if (value === null) return 'void';
  switch (typeof value) {
    case 'string':
      return 'longstr';
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'long';
    case 'number':
      if (!Number.isInteger(value)) return 'double';
      return Math.abs(value) < 2 ** 31 ? 'signedint' : 'long';
  }
  if (value instanceof Uint8Array) return 'binary';
  if (Array.isArray(value)) return 'array';
  return value instanceof Map ? 'table' : (value as { readonly type: string }).type;
}

/** Numbers of all sizes are one class: 10 as a byte and as a long are the same argument. */
function typeClass(value: FieldValue): string {
  return typeof value === 'bigint' ? 'number' : typeof value === 'object' ? fieldTypeName(value) : typeof value;
}

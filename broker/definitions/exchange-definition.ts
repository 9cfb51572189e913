/**
 * An exchange: what a client declares, its rules, and the value under `amqp/exchanges/<virtual host id>/<name>`:
 *
 *     {"format":1, "kind":"topic", "autoDelete":false, "internal":false, "arguments":{…}}     (stored-table.ts)
 *
 * Only durable ones are stored. Each virtual host has the exchanges of {@link PREDECLARED_EXCHANGES} besides.
 */

import { didYouMean } from '../../src/closest-name.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import { checkAmqpName } from '../../src/names.ts';
import { checkSame, checkSameArguments, fieldTypeName, resourceText } from './equivalence.ts';
import { decodeStored, encodeStored, storedBoolean } from './stored-definition.ts';

export const EXCHANGE_KINDS = [
  'direct',
  'fanout',
  'topic',
  'headers',
  'x-consistent-hash',
  'x-delayed-message',
] as const;

export type ExchangeKind = (typeof EXCHANGE_KINDS)[number];

export interface ExchangeDefinition {
  readonly name: string;
  readonly kind: ExchangeKind;
  readonly durable: boolean;
  /** Goes when its last binding as a source goes. */
  readonly autoDelete: boolean;
  /** Takes messages from other exchanges only, not from publishers. */
  readonly internal: boolean;
  readonly arguments: FieldTable;
}

/** The default exchange: every queue is bound to it by its name, and nothing else can be. */
export const DEFAULT_EXCHANGE = '';

const NO_ARGUMENTS: FieldTable = new Map();
const HASH_PROPERTIES = ['correlation_id', 'message_id', 'timestamp'];

export const PREDECLARED_EXCHANGES: readonly ExchangeDefinition[] = (
  [
    [DEFAULT_EXCHANGE, 'direct'],
    ['amq.direct', 'direct'],
    ['amq.fanout', 'fanout'],
    ['amq.headers', 'headers'],
    ['amq.match', 'headers'],
    ['amq.topic', 'topic'],
  ] as const
).map(([name, kind]) => ({
  name,
  kind,
  durable: true,
  autoDelete: false,
  internal: false,
  arguments: NO_ARGUMENTS,
}));

/** @throws BurrowError COMMAND_INVALID (AMQP 0-9-1, exchange.declare: "type") */
export function checkExchangeKind(kind: string): ExchangeKind {
  const known = EXCHANGE_KINDS.find((candidate) => candidate === kind);
  if (known !== undefined) return known;
  throw new BurrowError('COMMAND_INVALID', `unknown exchange type '${kind}'.${didYouMean(kind, EXCHANGE_KINDS)}`);
}

/**
 * Checks the name and the arguments for the kind.
 * @throws BurrowError INVALID_NAME, INVALID_ARGUMENT, COMMAND_INVALID
 */
export function checkExchange(virtualHost: string, exchange: ExchangeDefinition): void {
  const { name, kind, arguments: table } = exchange;
  checkAmqpName(name, 'exchange');
  checkText(virtualHost, exchange, 'alternate-exchange');
  const alternate = table.get('alternate-exchange');
  if (typeof alternate === 'string') checkAmqpName(alternate, 'alternate exchange');
  if (kind === 'x-delayed-message') {
    const inner = table.get('x-delayed-type');
    if (typeof inner !== 'string' || inner === kind) {
      throw invalid(virtualHost, name, 'x-delayed-type', 'it must name an exchange type that is not x-delayed-message');
    }
    checkExchangeKind(inner);
  }
  if (matchingKind(exchange) === 'x-consistent-hash') checkHashArguments(virtualHost, exchange);
}

/** The kind whose rules decide which bindings match: that of `x-delayed-type` for a delayed exchange. */
export function matchingKind({ kind, arguments: table }: ExchangeDefinition): ExchangeKind {
  return kind === 'x-delayed-message' ? checkExchangeKind(String(table.get('x-delayed-type'))) : kind;
}

/**
 * For a declaration of an exchange that exists. Of the arguments only `alternate-exchange` counts, as in RabbitMQ.
 * @throws BurrowError DECLARED_DIFFERENTLY naming the first difference and both values
 */
export function checkSameExchange(
  virtualHost: string,
  current: ExchangeDefinition,
  declared: ExchangeDefinition,
): void {
  const resource = resourceText('exchange', current.name, virtualHost);
  checkSame(resource, 'type', declared.kind, current.kind);
  checkSame(resource, 'durable', declared.durable, current.durable);
  checkSame(resource, 'auto_delete', declared.autoDelete, current.autoDelete);
  checkSame(resource, 'internal', declared.internal, current.internal);
  checkSameArguments(resource, ['alternate-exchange'], declared.arguments, current.arguments);
}

export function encodeExchange({ kind, autoDelete, internal, arguments: table }: ExchangeDefinition): string {
  return encodeStored({ kind, autoDelete, internal }, table);
}

/** @throws BurrowError STORAGE_CORRUPT, DATA_FOLDER_VERSION */
export function decodeExchange(key: string, name: string, value: string): ExchangeDefinition {
  return decodeStored(key, value, (fields, table) => {
    const exchange = {
      name,
      kind: checkExchangeKind(String(fields['kind'])),
      durable: true,
      autoDelete: storedBoolean(fields, 'autoDelete'),
      internal: storedBoolean(fields, 'internal'),
      arguments: table,
    };
    checkExchange('', exchange);
    return exchange;
  });
}

function checkHashArguments(virtualHost: string, exchange: ExchangeDefinition): void {
  checkText(virtualHost, exchange, 'hash-header');
  checkText(virtualHost, exchange, 'hash-property');
  const { name, arguments: table } = exchange;
  const property = table.get('hash-property');
  if (property === undefined) return;
  if (table.has('hash-header')) {
    throw invalid(virtualHost, name, 'hash-property', 'hash-header and hash-property are mutually exclusive');
  }
  if (!HASH_PROPERTIES.includes(String(property))) {
    throw invalid(virtualHost, name, 'hash-property', `only ${HASH_PROPERTIES.join(', ')} can be hashed`);
  }
}

function checkText(virtualHost: string, { name, arguments: table }: ExchangeDefinition, argument: string): void {
  const value = table.get(argument);
  if (value === undefined || typeof value === 'string') return;
  throw new BurrowError(
    'INVALID_ARGUMENT',
    `invalid type '${fieldTypeName(value)}' for arg '${argument}' in ${resourceText('exchange', name, virtualHost)}`,
    { fields: { argument } },
  );
}

function invalid(virtualHost: string, name: string, argument: string, problem: string): BurrowError {
  return new BurrowError(
    'INVALID_ARGUMENT',
    `invalid arg '${argument}' for ${resourceText('exchange', name, virtualHost)}: ${problem}`,
    { fields: { argument } },
  );
}

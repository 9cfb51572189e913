/**
 * A binding: from an exchange to a queue, another exchange or a topic. There is one per source, destination, key and
 * arguments. The value under `amqp/bindings/<virtual host id>/<hash>`:
 *
 *     {"format":1, "source":["logs", 12], "destination":["queue", "errors", 17], "bindingKey":"#.error", "arguments":{…}}
 *
 * The numbers are incarnations: the coordinator's revision at which the exchange or queue was created, 0 for what every
 * virtual host has, and for topics (which have ids instead) nothing. A binding whose number is not that of the exchange
 * or queue of that name belonged to an earlier one that was deleted, and means nothing. So deleting an exchange or a
 * queue is one change, whatever is bound to it; what is left of its bindings is swept up afterwards.
 */

import { BurrowError } from '../../src/errors/burrow-error.ts';
import { canonicalTable } from '../../src/messages/field-equality.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import { checkAmqpName, checkRoutingKey, checkTopicName } from '../../src/names.ts';
import { hashKey } from '../log/key-hash.ts';
import { resourceText } from './equivalence.ts';
import { type ExchangeDefinition, matchingKind } from './exchange-definition.ts';
import { decodeStored, encodeStored } from './stored-definition.ts';
import { isCount } from './topic-definition.ts';

export const DESTINATION_KINDS = ['queue', 'exchange', 'topic'] as const;

export type DestinationKind = (typeof DESTINATION_KINDS)[number];

export interface BindingDefinition {
  readonly source: string;
  readonly destinationKind: DestinationKind;
  readonly destination: string;
  readonly bindingKey: string;
  readonly arguments: FieldTable;
}

/** A binding with the incarnations of its ends. */
export interface StoredBinding extends BindingDefinition {
  readonly sourceIncarnation: number;
  /** Of a topic: the id as 32 hex digits. */
  readonly destinationIncarnation: number | string;
}

const HEADER_MATCH_KINDS = ['all', 'any', 'all-with-x', 'any-with-x'];
/** Of a binding key that is a weight. More than that would cost a megabyte of memory. */
const HASH_WEIGHT_MAX = 1000;

/** The same text for the same binding, and only for it. */
export function bindingIdentity(binding: BindingDefinition): string {
  const { source, destinationKind, destination, bindingKey, arguments: table } = binding;
  return JSON.stringify([
    source,
    destinationKind,
    destination,
    bindingKey,
    table.size === 0 ? '' : canonicalTable(table),
  ]);
}

/**
 * The binding's part of its key in the coordinator: 32 hex digits. Two bindings of one hash would need about 2^64
 * bindings, or malice that harms its author only: the second of them is refused.
 */
export function bindingHash(binding: BindingDefinition): string {
  const bytes = Buffer.from(bindingIdentity(binding));
  const words = new Uint32Array(4);
  hashKey(bytes, 0, bytes.length, 0, words);
  let hex = '';
  for (const word of words) hex += word.toString(16).padStart(8, '0');
  return hex;
}

/**
 * Checks names, key and arguments, and what the kind of the source asks of them.
 * @throws BurrowError INVALID_NAME, INVALID_ARGUMENT
 */
export function checkBinding(virtualHost: string, source: ExchangeDefinition, binding: BindingDefinition): void {
  const { destinationKind, destination, bindingKey, arguments: table } = binding;
  checkRoutingKey(bindingKey);
  if (destinationKind === 'topic') checkTopicName(destination);
  else checkAmqpName(destination, destinationKind);
  const kind = matchingKind(source);
  const where = `from ${resourceText('exchange', source.name, virtualHost)}`;
  if (kind === 'headers') {
    const match = table.get('x-match');
    if (match !== undefined && !HEADER_MATCH_KINDS.includes(match as string)) {
      throw invalid(`Invalid x-match field value; expected one of ${HEADER_MATCH_KINDS.join(', ')}`);
    }
  }
  if (kind === 'x-consistent-hash' && !(/^[0-9]{1,4}$/.test(bindingKey) && isWeight(Number(bindingKey)))) {
    throw invalid(
      `Binding ${where}: the binding key is a weight here, from 1 to ${HASH_WEIGHT_MAX}, and not ${JSON.stringify(bindingKey)}.`,
    );
  }
}

export function encodeBinding(binding: StoredBinding): string {
  const { source, sourceIncarnation, destinationKind, destination, destinationIncarnation, bindingKey } = binding;
  return encodeStored(
    {
      source: [source, sourceIncarnation],
      destination: [destinationKind, destination, destinationIncarnation],
      bindingKey,
    },
    binding.arguments,
  );
}

/** @throws BurrowError STORAGE_CORRUPT, DATA_FOLDER_VERSION */
export function decodeBinding(key: string, value: string): StoredBinding {
  return decodeStored(key, value, (fields, table) => {
    const [source, sourceIncarnation] = listOf(fields['source']);
    const [kind, destination, destinationIncarnation] = listOf(fields['destination']);
    const destinationKind = DESTINATION_KINDS.find((candidate) => candidate === kind);
    const { bindingKey } = fields;
    if (
      typeof source !== 'string' ||
      !isCount(sourceIncarnation) ||
      destinationKind === undefined ||
      typeof destination !== 'string' ||
      !(isCount(destinationIncarnation) || typeof destinationIncarnation === 'string') ||
      typeof bindingKey !== 'string'
    ) {
      throw invalid('It is no binding.');
    }
    return {
      source,
      sourceIncarnation,
      destinationKind,
      destination,
      destinationIncarnation,
      bindingKey,
      arguments: table,
    };
  });
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

function isWeight(weight: number): boolean {
  return weight >= 1 && weight <= HASH_WEIGHT_MAX;
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}

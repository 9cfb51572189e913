/**
 * How definitions with field tables are written as JSON: what JSON has no type for is an object with one key.
 *
 *     "text"  true  12  null  [ … ]        as they are
 *     {"long":"9223372036854775807"}       an integer that is not safe in JSON
 *     {"double":"NaN"}                     NaN, Infinity, -Infinity
 *     {"bytes":"…"}                        base64
 *     {"timestamp":1700000000}             seconds
 *     {"decimal":[scale, value]}
 *     {"table":{ … }}
 *
 * The arguments of a definition are the field `arguments`, a table without the wrapper.
 */
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable, FieldValue, TypedValue } from '../../src/messages/field-value.ts';
import { corrupt, isCount, parseObject } from './topic-definition.ts';

const FORMAT = 1;

export function encodeStored(fields: Readonly<Record<string, unknown>>, table: FieldTable): string {
  return JSON.stringify({ format: FORMAT, ...fields, arguments: encodeTable(table) });
}

/**
 * @param key - in the coordinator, for the error
 * @param decode - makes the definition of the fields; any BurrowError it throws means that they are damaged
 * @throws BurrowError STORAGE_CORRUPT, DATA_FOLDER_VERSION if a newer version wrote it
 */
export function decodeStored<T>(
  key: string,
  value: string,
  decode: (fields: Readonly<Record<string, unknown>>, table: FieldTable) => T,
): T {
  const fields = parseObject(value);
  if (fields === undefined) throw corrupt(key, 'is not a JSON object');
  const { format } = fields;
  if (typeof format === 'number' && format > FORMAT) {
    throw new BurrowError(
      'DATA_FOLDER_VERSION',
      `The stored definition ${JSON.stringify(key)} has format ${format}; this version reads up to ${FORMAT}.`,
    );
  }
  if (format !== FORMAT) throw corrupt(key, 'has no format');
  try {
    return decode(fields, decodeTable(fields['arguments']));
  } catch (error) {
    if (isBurrowError(error)) throw corrupt(key, `breaks a rule: ${error.message}`);
    throw error;
  }
}

/** @throws BurrowError INVALID_ARGUMENT */
export function storedBoolean(fields: Readonly<Record<string, unknown>>, name: string): boolean {
  const value = fields[name];
  if (typeof value !== 'boolean') throw invalid(`${name} is not true or false.`);
  return value;
}

function encodeTable(table: FieldTable): unknown {
  // Object.fromEntries defines own properties, so a client's "__proto__" is a name like any other.
  return Object.fromEntries(Array.from(table, ([name, value]) => [name, encodeValue(value)]));
}

function encodeValue(value: FieldValue): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : { double: String(value) };
  if (typeof value === 'bigint') return { long: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(encodeValue);
  if (value instanceof Map) return { table: encodeTable(value) };
  const typed = value as TypedValue;
  return typed.type === 'timestamp' ? { timestamp: typed.seconds } : { decimal: [typed.scale, typed.value] };
}

function decodeTable(value: unknown): FieldTable {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('A table is not an object.');
  return new Map(Object.entries(value).map(([name, item]) => [name, decodeValue(item)]));
}

function decodeValue(value: unknown): FieldValue {
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number') {
    return value;
  }
  if (Array.isArray(value)) return value.map(decodeValue);
  const [entry, ...more] = Object.entries(value as object);
  if (entry === undefined || more.length > 0) throw invalid('A value has not one type.');
  const [type, content] = entry as [string, unknown];
  switch (type) {
    case 'long':
      if (typeof content === 'string' && /^-?[0-9]{1,20}$/.test(content)) return BigInt(content);
      break;
    case 'double':
      if (content === 'NaN' || content === 'Infinity' || content === '-Infinity') return Number(content);
      break;
    case 'bytes':
      if (typeof content === 'string') return new Uint8Array(Buffer.from(content, 'base64'));
      break;
    case 'timestamp':
      if (isCount(content)) return { type: 'timestamp', seconds: content };
      break;
    case 'decimal':
      if (Array.isArray(content) && content.length === 2 && isCount(content[0]) && Number.isSafeInteger(content[1])) {
        return { type: 'decimal', scale: content[0], value: content[1] as number };
      }
      break;
    case 'table':
      return decodeTable(content);
  }
  throw invalid(`A value of type ${JSON.stringify(type)} cannot be read.`);
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}

/** Arbitrary messages, derived from their tables: fields that a version lacks have their defaults. */
import fc from 'fast-check';
import type { Field, Fields, ScalarKind } from '../../../broker/listeners/kafka/schema/field.ts';

type Message = { [name: string]: unknown };

export function messageArbitrary(fields: Fields, version: number): fc.Arbitrary<Message> {
  const entries = Object.entries(fields).map(([name, field]) => [name, fieldArbitrary(field, version)] as const);
  return fc.record(Object.fromEntries(entries));
}

function fieldArbitrary(field: Field<unknown, boolean>, version: number): fc.Arbitrary<unknown> {
  if (version < field.since || version > field.until) return fc.constant(field.default);
  const value = valueArbitrary(field, version);
  return version >= field.nullableSince ? fc.oneof({ weight: 4, arbitrary: value }, fc.constant(null)) : value;
}

function valueArbitrary({ type }: Field<unknown, boolean>, version: number): fc.Arbitrary<unknown> {
  if (type.kind === 'struct') return messageArbitrary(type.fields, version);
  if (type.kind === 'array') return fc.array(valueArbitrary(type.element, version), { maxLength: 3 });
  return scalarArbitrary(type.kind);
}

const buffer = (options: { minLength?: number; maxLength: number }) =>
  fc.uint8Array(options).map((bytes) => Buffer.from(bytes));

function scalarArbitrary(kind: ScalarKind): fc.Arbitrary<unknown> {
  switch (kind) {
    case 'bool':
      return fc.boolean();
    case 'int8':
      return fc.integer({ min: -128, max: 127 });
    case 'int16':
      return fc.integer({ min: -0x8000, max: 0x7fff });
    case 'uint16':
      return fc.integer({ min: 0, max: 0xffff });
    case 'int32':
      return fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
    case 'int64':
      return fc.maxSafeInteger();
    case 'float64':
      return fc.double({ noNaN: true });
    case 'uuid':
      return buffer({ minLength: 16, maxLength: 16 });
    case 'string':
      return fc.string({ unit: 'grapheme', maxLength: 20 });
    case 'recordSlices':
      return buffer({ maxLength: 200 }).map((bytes) => [bytes]);
    default:
      return buffer({ maxLength: 200 });
  }
}

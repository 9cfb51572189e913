/**
 * Values of AMQP field tables (headers of messages, arguments of declarations) in decoded form, as everything but the
 * codec handles them. All integers that are safe are numbers, greater ones bigints; strings are AMQP's long strings.
 */
export type TypedValue =
  | { readonly type: 'timestamp'; readonly seconds: number }
  | { readonly type: 'decimal'; readonly scale: number; readonly value: number };

export type FieldValue =
  | string
  | boolean
  | number
  | bigint
  | null
  | Uint8Array
  | TypedValue
  | FieldTable
  | readonly FieldValue[];

export type FieldTable = ReadonlyMap<string, FieldValue>;

export const NO_FIELDS: FieldTable = new Map();

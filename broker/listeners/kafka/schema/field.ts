/**
 * The words in which message tables are written: a message is an ordered list of named fields, each with a type and the
 * versions that have it. `codec.ts` compiles tables; TypeScript derives the messages' types from them.
 *
 * Wire format: https://kafka.apache.org/protocol#protocol_types; flexible versions and tagged fields: KIP-482.
 */

export type ScalarKind =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'int64'
  | 'float64'
  | 'uuid'
  | 'string'
  | 'bytes'
  /** Record batches, read as a view of the frame. */
  | 'records'
  /** Record batches, written as a list of buffers that are never copied. */
  | 'recordSlices';

export type FieldType =
  | { readonly kind: ScalarKind }
  | { readonly kind: 'array'; readonly element: Field<unknown, boolean> }
  | { readonly kind: 'struct'; readonly fields: Fields };

/** A field of a table. `T` is its value; if `Defaulted`, who writes the message may leave it out. */
export interface Field<T, Defaulted extends boolean = false> {
  readonly type: FieldType;
  /** First and last version of the message that have the field. */
  readonly since: number;
  readonly until: number;
  /** First version in which null is allowed; Infinity for never. */
  readonly nullableSince: number;
  /** Where set, the field is a tagged one: left out when it has its default. */
  readonly tag: number | undefined;
  /** A string with an int16 length even in flexible versions: only the client id of the request header. */
  readonly classic: boolean;
  /** Value where the version or the sender leaves the field out. */
  readonly default: T;
  /** Never set: carries the type parameter. */
  readonly defaulted?: Defaulted;
}

export type Fields = { readonly [name: string]: Field<unknown, boolean> };

/** What decoding gives: every field, absent ones at their default. */
export type Decoded<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T, boolean> ? T : never;
};

type DefaultedKeys<F extends Fields> = { [K in keyof F]: F[K] extends Field<unknown, true> ? K : never }[keyof F];

/** What encoding takes: fields with a stated default may be left out. */
export type Encodable<F extends Fields> = {
  readonly [K in Exclude<keyof F, DefaultedKeys<F>>]: EncodableValue<F[K]>;
} & { readonly [K in DefaultedKeys<F>]?: EncodableValue<F[K]> | undefined };

type EncodableValue<X> =
  X extends ArrayField<infer E, infer N, boolean>
    ? ReadonlyArray<Encodable<E>> | N
    : X extends StructField<infer S, boolean>
      ? Encodable<S>
      : X extends Field<infer T, boolean>
        ? T
        : never;

export interface ArrayField<F extends Fields, N, D extends boolean> extends Field<ReadonlyArray<Decoded<F>> | N, D> {
  readonly elementFields: F;
}

export interface StructField<F extends Fields, D extends boolean> extends Field<Decoded<F>, D> {
  readonly structFields: F;
}

export interface FieldOptions<T> {
  readonly since?: number;
  readonly until?: number;
  readonly tag?: number;
  readonly default?: T;
}

export interface NullableOptions<T> extends FieldOptions<T | null> {
  /** First version in which null is allowed; by default all that have the field. */
  readonly nullableSince?: number;
}

type IsDefaulted<O> = O extends { readonly default: unknown } ? true : false;

function field<T>(type: FieldType, zero: T, options: NullableOptions<T>, nullable: boolean): Field<T, never> {
  return {
    type,
    since: options.since ?? 0,
    until: options.until ?? Number.POSITIVE_INFINITY,
    nullableSince: nullable ? (options.nullableSince ?? options.since ?? 0) : Number.POSITIVE_INFINITY,
    tag: options.tag,
    classic: false,
    default: (options.default === undefined ? zero : options.default) as T,
  };
}

const none = {};

function scalar<T>(kind: ScalarKind, zero: T) {
  return <const O extends FieldOptions<T>>(options: O = none as O): Field<T, IsDefaulted<O>> =>
    field<T>({ kind }, zero, options, false);
}

function nullableScalar<T>(kind: ScalarKind, zero: T | null) {
  return <const O extends NullableOptions<T>>(options: O = none as O): Field<T | null, IsDefaulted<O>> =>
    field<T | null>({ kind }, zero, options, true);
}

const NO_BYTES = Buffer.alloc(0);
/** Means "no topic id" and the like. */
export const ZERO_UUID = Buffer.alloc(16);

export const bool = scalar<boolean>('bool', false);
export const int8 = scalar<number>('int8', 0);
export const int16 = scalar<number>('int16', 0);
export const uint16 = scalar<number>('uint16', 0);
export const int32 = scalar<number>('int32', 0);
/** A safe integer: a frame with another one is malformed. */
export const int64 = scalar<number>('int64', 0);
export const float64 = scalar<number>('float64', 0);
export const uuid = scalar<Buffer>('uuid', ZERO_UUID);
export const string = scalar<string>('string', '');
export const nullableString = nullableScalar<string>('string', '');
export const bytes = scalar<Buffer>('bytes', NO_BYTES);
export const nullableBytes = nullableScalar<Buffer>('bytes', null);
export const records = nullableScalar<Buffer>('records', null);
export const recordSlices = nullableScalar<readonly Buffer[]>('recordSlices', null);

/** A list of scalars. */
export function list<T, const O extends FieldOptions<readonly T[]>>(
  element: Field<T>,
  options: O = none as O,
): Field<readonly T[], IsDefaulted<O>> {
  return field<readonly T[]>({ kind: 'array', element }, Object.freeze([]), options, false);
}

export function nullableList<T, const O extends NullableOptions<readonly T[]>>(
  element: Field<T>,
  options: O = none as O,
): Field<readonly T[] | null, IsDefaulted<O>> {
  return field<readonly T[] | null>({ kind: 'array', element }, Object.freeze([]), options, true);
}

/** A list of structures. */
export function array<F extends Fields, const O extends FieldOptions<readonly never[]>>(
  fields: F,
  options: O = none as O,
): ArrayField<F, never, IsDefaulted<O>> {
  return {
    ...field({ kind: 'array', element: struct(fields) }, Object.freeze([]), options, false),
    elementFields: fields,
  };
}

export function nullableArray<F extends Fields, const O extends NullableOptions<readonly never[]>>(
  fields: F,
  options: O = none as O,
): ArrayField<F, null, IsDefaulted<O>> {
  return {
    ...field({ kind: 'array', element: struct(fields) }, Object.freeze([]), options, true),
    elementFields: fields,
  };
}

/** A structure within a structure. Its default has all fields at their defaults. */
export function struct<F extends Fields, const O extends FieldOptions<Decoded<F>>>(
  fields: F,
  options: O = none as O,
): StructField<F, IsDefaulted<O>> {
  return { ...field({ kind: 'struct', fields }, defaultsOf(fields), options, false), structFields: fields };
}

/** The client id of the request header keeps the old form of strings in flexible versions (KIP-511). */
export function classicNullableString(): Field<string | null> {
  return { ...field<string | null>({ kind: 'string' }, null, none, true), classic: true };
}

/** All fields at their defaults, in the order of the table: the shape that decoded messages get. */
export function defaultsOf<F extends Fields>(fields: F): Decoded<F> {
  const defaults = Object.fromEntries(Object.entries(fields).map(([name, { default: value }]) => [name, value]));
  return Object.freeze(defaults) as Decoded<F>;
}

export interface MessageTable<F extends Fields> {
  readonly name: string;
  /** Versions that the table describes; what is announced to clients stands in the API's handler. */
  readonly versions: VersionRange;
  /** First version with compact lengths and tagged fields (KIP-482); Infinity for none. */
  readonly flexibleSince: number;
  readonly fields: F;
}

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

export function message<F extends Fields>(
  name: string,
  options: { versions: readonly [min: number, max: number]; flexibleSince?: number },
  fields: F,
): MessageTable<F> {
  const [min, max] = options.versions;
  return { name, versions: { min, max }, flexibleSince: options.flexibleSince ?? Number.POSITIVE_INFINITY, fields };
}

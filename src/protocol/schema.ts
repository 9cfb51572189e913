/**
 * Small building blocks for message tables: each knows how its value looks in MessagePack, and checks what comes in.
 * Structures are positional arrays; a longer array is accepted and the rest ignored, so that later versions may add fields.
 */
import { BurrowError } from '../errors/burrow-error.ts';

export interface Schema<T> {
  /** Checks a decoded MessagePack value. Throws INVALID_ARGUMENT naming `path`. */
  decode(value: unknown, path: string): T;
  /** The MessagePack value; binaries and lists of binaries stay as they are. */
  encode(value: T): unknown;
  /** For the documentation and for tests: `string ≤ 255`, `int32 | nil`, `[name: int8, names: [string ≤ 255, …]]`. */
  readonly notation: string;
}

export type Infer<S> = S extends Schema<infer T> ? T : never;

function refuse(path: string, expected: string, value: unknown): never {
  const found = value === null ? 'nil' : Array.isArray(value) ? `an array of ${value.length}` : typeof value;
  const shown = typeof value === 'number' ? String(value) : found;
  throw new BurrowError('INVALID_ARGUMENT', `${path} must be ${expected}, not ${shown}.`, { fields: { path } });
}

/** An integer in [min, max]. */
export function integer(min: number, max: number, notation: string): Schema<number> {
  return {
    notation,
    decode: (value, path) =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
        ? value + 0 // -0 becomes 0
        : refuse(path, `an integer from ${min} to ${max}`, value),
    encode: (value) => value,
  };
}

export const int8 = integer(-128, 127, 'int8');
export const int16 = integer(-0x8000, 0x7fff, 'int16');
export const int32 = integer(-0x8000_0000, 0x7fff_ffff, 'int32');
export const uint32 = integer(0, 0xffff_ffff, 'uint32');
/** An integer that a double holds exactly. */
export const int53 = integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 'int53');

export const bool: Schema<boolean> = {
  notation: 'bool',
  decode: (value, path) => (typeof value === 'boolean' ? value : refuse(path, 'a boolean', value)),
  encode: (value) => value,
};

/** A string of at most `max` UTF-16 code units. */
export function string(max: number): Schema<string> {
  return {
    notation: `string ≤ ${max}`,
    decode: (value, path) =>
      typeof value === 'string' && value.length <= max
        ? value
        : refuse(path, `a string of at most ${max} characters`, value),
    encode: (value) => value,
  };
}

/** Bytes, at most `max`; decoded without copying. */
export function binary(max: number): Schema<Uint8Array> {
  return {
    notation: `binary ≤ ${max}`,
    decode: (value, path) =>
      value instanceof Uint8Array && value.length <= max
        ? value
        : refuse(path, `binary of at most ${max} bytes`, value),
    encode: (value) => value,
  };
}

/** Bytes that may be handed over in pieces and arrive in one. */
export function pieces(max: number): Schema<readonly Uint8Array[]> {
  const whole = binary(max);
  return {
    notation: whole.notation,
    decode: (value, path) => [whole.decode(value, path)],
    encode: (value) => new Pieces(value),
  };
}

/** Marks a list of byte pieces for the encoder, which writes them as one binary. */
export class Pieces {
  readonly list: readonly Uint8Array[];

  constructor(list: readonly Uint8Array[]) {
    this.list = list;
  }
}

export function nullable<T>(schema: Schema<T>): Schema<T | null> {
  return {
    notation: `${schema.notation} | nil`,
    decode: (value, path) => (value === null ? null : schema.decode(value, path)),
    encode: (value) => (value === null ? null : schema.encode(value)),
  };
}

/** An array of at most `max` elements. */
export function list<T>(element: Schema<T>, max: number): Schema<readonly T[]> {
  return {
    notation: `[${element.notation}, …]`,
    decode: (value, path) => {
      if (!Array.isArray(value) || value.length > max)
        return refuse(path, `an array of at most ${max} elements`, value);
      return value.map((item, index) => element.decode(item, `${path}[${index}]`));
    },
    encode: (value) => value.map((item) => element.encode(item)),
  };
}

type Fields = Readonly<Record<string, Schema<never>>>;
type AnyFields = { readonly [name: string]: Schema<unknown> };

/** A positional array; the order of the fields is the order on the wire. */
export function struct<F extends Fields | AnyFields>(fields: F): Schema<{ readonly [K in keyof F]: Infer<F[K]> }> {
  const entries = Object.entries(fields) as Array<[string, Schema<unknown>]>;
  return {
    notation: `[${entries.map(([name, schema]) => `${name}: ${schema.notation}`).join(', ')}]`,
    decode: (value, path) => {
      if (!Array.isArray(value) || value.length < entries.length) {
        return refuse(path, `an array of ${entries.length} fields`, value);
      }
      const decoded: Record<string, unknown> = {};
      for (let i = 0; i < entries.length; i++) {
        const [name, schema] = entries[i]!;
        decoded[name] = schema.decode(value[i], `${path}.${name}`);
      }
      return decoded as { readonly [K in keyof F]: Infer<F[K]> };
    },
    encode: (value) => {
      const encoded: unknown[] = new Array(entries.length);
      for (let i = 0; i < entries.length; i++) {
        const [name, schema] = entries[i]!;
        encoded[i] = schema.encode((value as Record<string, unknown>)[name]);
      }
      return encoded;
    },
  };
}

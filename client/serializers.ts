/**
 * Turning values into bytes and back. A serializer is any object with the two methods; these four cover common needs.
 * Text uses UTF-8. Failures reach the user as SERIALIZATION_FAILED with topic (and offset, when reading) in its fields.
 */
import { Packr } from 'msgpackr';
import { BurrowError } from '../src/errors/burrow-error.ts';

export interface Serializer<T> {
  /** Must return bytes that nobody changes before the record is sent. */
  serialize(value: T): Uint8Array;
  /** `bytes` may be a view into a larger buffer: copy what is kept for long. */
  deserialize(bytes: Uint8Array): T;
}

/** Half a {@link Serializer}: what a consumer needs. */
export type Deserializer<T> = Pick<Serializer<T>, 'deserialize'>;

const encoder = new TextEncoder();
// fatal: bytes that are not UTF-8 are an error, not U+FFFD.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes as they are. The default. */
export const bytesSerializer: Serializer<Uint8Array> = {
  serialize: (value) => {
    if (!(value instanceof Uint8Array)) throw new TypeError(`expected a Uint8Array, got ${typeof value}`);
    return value;
  },
  deserialize: (bytes) => bytes,
};

/** UTF-8 text. Refuses bytes that are not valid UTF-8. */
export const stringSerializer: Serializer<string> = {
  serialize: (value) => {
    if (typeof value !== 'string') throw new TypeError(`expected a string, got ${typeof value}`);
    return encoder.encode(value);
  },
  deserialize: (bytes) => decoder.decode(bytes),
};

/** JSON text in UTF-8. Refuses values that JSON has no form for, such as undefined and functions. */
export function jsonSerializer<T = unknown>(): Serializer<T> {
  return {
    serialize: (value) => {
      const text: string | undefined = JSON.stringify(value);
      if (text === undefined) throw new TypeError(`JSON has no form for a value of type ${typeof value}`);
      return encoder.encode(text);
    },
    deserialize: (bytes) => JSON.parse(decoder.decode(bytes)) as T,
  };
}

/**
 * MessagePack. No record extension: it would compile code from what a stranger wrote. Maps become plain objects;
 * a key `__proto__` is renamed by the decoder and never reaches a prototype.
 */
export function messagePackSerializer<T = unknown>(): Serializer<T> {
  const packr = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: false, copyBuffers: true });
  return {
    serialize: (value) => {
      if (value === undefined) throw new TypeError('MessagePack has no form for undefined');
      // A copy: msgpackr packs into a shared slab, which one small retained view would keep alive.
      return new Uint8Array(packr.pack(value));
    },
    deserialize: (bytes) => packr.unpack(bytes) as T,
  };
}

/** Serializes, or throws SERIALIZATION_FAILED with the topic. `null` stays null: it has no bytes. */
export function serializeField<T>(
  serializer: Serializer<T>,
  value: T,
  field: 'key' | 'value',
  topic: string,
): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = serializer.serialize(value);
  } catch (cause) {
    throw serializationError('serialize', field, { topic }, cause);
  }
  if (!(bytes instanceof Uint8Array)) {
    throw serializationError(
      'serialize',
      field,
      { topic },
      new TypeError('the serializer did not return a Uint8Array'),
    );
  }
  return bytes;
}

export function deserializeField<T>(
  serializer: Deserializer<T>,
  bytes: Uint8Array,
  field: 'key' | 'value',
  topic: string,
  partition: number,
  offset: number,
): T {
  try {
    return serializer.deserialize(bytes);
  } catch (cause) {
    throw serializationError('deserialize', field, { topic, partition, offset }, cause);
  }
}

function serializationError(
  verb: 'serialize' | 'deserialize',
  field: 'key' | 'value',
  where: Record<string, string | number>,
  cause: unknown,
): BurrowError {
  const place = Object.entries(where)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
  const text = cause instanceof Error ? cause.message : String(cause);
  return new BurrowError('SERIALIZATION_FAILED', `Cannot ${verb} the ${field} (${place}): ${text}`, {
    cause,
    fields: { ...where, field },
  });
}

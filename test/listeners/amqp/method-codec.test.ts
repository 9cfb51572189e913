/** Methods against amqplib's codec, which is generated from the specification. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeMethod, encodeMethod, methodNameOf } from '../../../broker/listeners/amqp/method-codec.ts';
import { type ArgumentKind, METHODS, type Method, type MethodName } from '../../../broker/listeners/amqp/methods.ts';
import { AmqpException } from '../../../broker/listeners/amqp/reply-codes.ts';
import { ByteWriter } from '../../../src/bytes/writer.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

interface ForeignCodec {
  encodeMethod(id: number, channel: number, fields: Record<string, unknown>): Buffer;
  decode(id: number, payload: Buffer): Record<string, unknown>;
  info(id: number): { name: string; args: ReadonlyArray<{ name: string; type: string }> };
}

// By its path: the package does not export it.
const load = createRequire(import.meta.url);
const amqplib = load(
  fileURLToPath(new URL('../../../node_modules/amqplib/lib/defs.js', import.meta.url)),
) as ForeignCodec;

const text = fc.string({ unit: 'binary', maxLength: 60 });
/** Values of tables for which both codecs choose the same types. */
const table = fc.dictionary(
  fc
    .string({ unit: 'binary', maxLength: 20 })
    .filter((name) => name !== '__proto__' && !/^\d+$/.test(name) && name !== '!'),
  fc.oneof(text, fc.boolean(), fc.integer({ min: 2 ** 20, max: 2 ** 31 - 1 }), fc.constant(null)),
);

function arbitraryOf(kind: ArgumentKind): fc.Arbitrary<unknown> {
  switch (kind) {
    case 'octet':
      return fc.nat(255);
    case 'short':
      return fc.nat(65_535);
    case 'long':
      return fc.nat(2 ** 32 - 1);
    case 'longlong':
      return fc.maxSafeNat();
    case 'bit':
      return fc.boolean();
    case 'shortstr':
      return text;
    case 'longstr':
      return fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
    case 'table':
      return table;
  }
}

const NAMES = Object.keys(METHODS) as MethodName[];
const keptArguments = (name: MethodName) =>
  Object.entries((METHODS[name] as Method).args).filter(([, { reserved }]) => !reserved);

/** Values as amqplib has them: tables are objects there. */
function argumentsOf(name: MethodName): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(Object.fromEntries(keptArguments(name).map(([key, { kind }]) => [key, arbitraryOf(kind)])));
}

function asOurs(name: MethodName, values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    keptArguments(name).map(([key, { kind }]) => [
      key,
      kind === 'table' ? new Map(Object.entries(values[key] as object)) : values[key],
    ]),
  );
}

function asForeign(values: Record<string, unknown>): Record<string, unknown> {
  const { noWait, ...rest } = values;
  return { ...rest, ...(noWait === undefined ? {} : { nowait: noWait }) };
}

function encode(name: MethodName, values: Record<string, unknown>): Buffer {
  const writer = new ByteWriter();
  encodeMethod(writer, name, values as never);
  return Buffer.from(writer.finish());
}

describe('methods', () => {
  test.each(NAMES)('%s is encoded and decoded as amqplib does', (name) => {
    const { classId, methodId } = METHODS[name];
    const id = classId * 65_536 + methodId;
    fc.assert(
      fc.property(argumentsOf(name), (values) => {
        const payload = encode(name, asOurs(name, values));
        expect(decodeMethod(payload)).toEqual({ name, args: asOurs(name, values) });
        const fields = asForeign(values);
        expect(payload.toString('hex')).toBe(amqplib.encodeMethod(id, 0, fields).subarray(7, -1).toString('hex'));
        expect(amqplib.decode(id, payload.subarray(4))).toMatchObject(fields);
      }),
      { numRuns: 50 },
    );
  });

  test('are all that the specification has', () => {
    const ids = NAMES.map((name) => METHODS[name].classId * 65_536 + METHODS[name].methodId);
    expect(new Set(ids).size).toBe(NAMES.length);
    for (const name of NAMES) {
      const { classId, methodId, args } = METHODS[name];
      const info = amqplib.info(classId * 65_536 + methodId);
      expect(info.name.toLowerCase()).toBe(name.replace(/[.-]/g, ''));
      // What the messages' tables call reserved is in its place, too.
      const names = Object.keys(args).map((key) => (key === 'noWait' ? 'nowait' : key));
      expect(info.args.map((argument) => argument.name)).toEqual(names);
    }
    const foreign = Object.values(amqplib).filter((value) => typeof value === 'number' && value > 65_536);
    expect(foreign.length).toBe(NAMES.length);
  });

  test('that are cut off anywhere are refused', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...NAMES).chain((name) => fc.tuple(fc.constant(name), argumentsOf(name), fc.nat())),
        ([name, values, cut]) => {
          const payload = encode(name, asOurs(name, values));
          expect(() => decodeMethod(payload.subarray(0, cut % payload.length))).toThrow();
        },
      ),
    );
  });

  test('of any bytes are refused by type, or decoded', () => {
    const spoilt = fc
      .constantFrom(...NAMES)
      .chain((name) =>
        fc.tuple(fc.constant(name), argumentsOf(name), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 })),
      )
      .map(([name, values, changes]) => {
        const payload = encode(name, asOurs(name, values));
        for (const [at, byte] of changes) payload[at % payload.length] = byte;
        return payload;
      });
    fc.assert(
      fc.property(spoilt, (payload) => {
        try {
          decodeMethod(payload);
        } catch (error) {
          expect(error instanceof AmqpException || isBurrowError(error, 'MALFORMED_FRAME')).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test('that nobody knows are not implemented; too few bytes are a frame error', () => {
    expect(() => methodNameOf(Buffer.from([0, 60, 0, 99]))).toThrow(
      expect.objectContaining({ reply: 'NOT_IMPLEMENTED' }),
    );
    expect(() => methodNameOf(Buffer.from([0, 60, 0]))).toThrow(expect.objectContaining({ reply: 'FRAME_ERROR' }));
  });
});

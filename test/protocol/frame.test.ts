import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { ERROR_TABLE, type ErrorName } from '../../src/errors/table.ts';
import { encodeValue } from '../../src/protocol/encode-value.ts';
import {
  decodeRequest,
  decodeRequestFrame,
  decodeResponse,
  decodeServerFrame,
  encodeErrorResponse,
  encodeGoingAway,
  encodeRequest,
  encodeResponse,
  entryError,
} from '../../src/protocol/frame.ts';
import { MESSAGES, type MessageName, messageName } from '../../src/protocol/messages.ts';
import { arbitraryOf, OBJECT_PROTOTYPE_NAMES, parseNotation } from './notation.ts';

const NAMES = Object.keys(MESSAGES) as MessageName[];
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });

/** Binaries as plain arrays of one piece, so that pieces compare with what came of them. */
function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) {
    const isPieces = value.length > 0 && value.every((item) => item instanceof Uint8Array);
    return isPieces ? value.flatMap((piece: Uint8Array) => [...piece]) : value.map(comparable);
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, comparable(item)]));
}

function refusal(run: () => unknown): BurrowError {
  try {
    run();
  } catch (error) {
    if (error instanceof BurrowError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe.each(NAMES)('%s', (name) => {
  test('as a request arrives as it was sent', () => {
    const request = arbitraryOf(parseNotation(MESSAGES[name].request.notation));
    fc.assert(
      fc.property(uint32, request, (correlationId, sent) => {
        const frame = decodeRequestFrame(encodeRequest(name, correlationId, sent as never));
        expect([frame.api, frame.correlationId]).toEqual([MESSAGES[name].api, correlationId]);
        expect(comparable(decodeRequest(name, frame.body))).toEqual(comparable(sent));
      }),
    );
  });

  test('as a response arrives as it was sent', () => {
    const response = arbitraryOf(parseNotation(MESSAGES[name].response.notation));
    fc.assert(
      fc.property(uint32, response, (correlationId, sent) => {
        const frame = decodeServerFrame(encodeResponse(name, correlationId, sent as never));
        expect(frame).toMatchObject({ kind: 'response', correlationId, error: undefined });
        expect(comparable(decodeResponse(name, frame.body))).toEqual(comparable(sent));
      }),
    );
  });
});

test('each message has an api number of its own, and the numbers lead back to the names', () => {
  for (const name of NAMES) expect(messageName(MESSAGES[name].api)).toBe(name);
  expect(messageName(0)).toBeUndefined();
  expect(messageName(99)).toBeUndefined();
});

test('records handed over in pieces arrive as one binary, which is a slice of the frame', () => {
  const records = [Buffer.from('one'), new Uint8Array(0), Buffer.from('two')];
  const sent = encodeRequest('produce', 1, {
    acks: 1,
    timeoutMs: 1,
    partitions: [{ topic: 't', partition: 0, records }],
  });
  const [arrived] = decodeRequest('produce', decodeRequestFrame(sent).body).partitions[0]!.records;
  expect(Buffer.from(arrived!).toString()).toBe('onetwo');
  expect(arrived!.buffer).toBe(sent.buffer);
});

test('frames encoded in one turn share no memory with each other or with what went into them', () => {
  const records = [Buffer.alloc(1000, 1)];
  const fetched = (fill: number) => ({
    partitions: [
      {
        topic: 't',
        partition: fill,
        errorNumber: 0,
        message: null,
        highWatermark: 1,
        lastStableOffset: 1,
        logStartOffset: 0,
        records,
      },
    ],
  });
  const first = encodeResponse('fetch', 1, fetched(1));
  const copy = Buffer.from(first);
  const second = encodeResponse('fetch', 2, fetched(2));
  records[0]!.fill(9);
  second.fill(0xff);
  expect(Buffer.compare(first, copy)).toBe(0);
  expect(first.buffer).not.toBe(second.buffer);
});

test('a later version may add fields at the end of any structure', () => {
  const body = [0, [['t', 0, -1, -1, 'new', ['more']]], 'new'];
  const { body: arrived } = decodeRequestFrame(encodeValue([5, 1, body, 'and here']));
  expect(decodeRequest('listOffsets', arrived)).toEqual({
    isolation: 0,
    partitions: [{ topic: 't', partition: 0, currentLeaderEpoch: -1, timestampMs: -1 }],
  });
});

test.each<[string, MessageName, unknown, string]>([
  ['no array', 'fetch', 7, 'fetch must be an array of 5 fields, not 7.'],
  ['too few fields', 'deleteTopics', [], 'deleteTopics must be an array of 1 fields, not an array of 0.'],
  ['no list', 'deleteTopics', ['x'], 'deleteTopics.names must be an array of at most 100000 elements, not string.'],
  [
    'a number as a name',
    'deleteTopics',
    [['a', 7]],
    'deleteTopics.names[1] must be a string of at most 255 characters',
  ],
  ['a long name', 'deleteTopics', [['x'.repeat(256)]], 'deleteTopics.names[0] must be a string of at most 255'],
  [
    'nil as a name',
    'deleteTopics',
    [[null]],
    'deleteTopics.names[0] must be a string of at most 255 characters, not nil',
  ],
  ['a fraction', 'produce', [0.5, 0, []], 'produce.acks must be an integer from -128 to 127, not 0.5.'],
  ['NaN', 'produce', [Number.NaN, 0, []], 'produce.acks must be an integer from -128 to 127, not NaN.'],
  ['infinity', 'produce', [0, Infinity, []], 'produce.timeoutMs must be an integer from -2147483648 to 2147483647'],
  ['1e400', 'produce', [0, JSON.parse('1e400'), []], 'produce.timeoutMs must be'],
  ['int8 out of range', 'produce', [128, 0, []], 'produce.acks must be an integer from -128 to 127, not 128.'],
  [
    'an offset of 2^53',
    'deleteRecords',
    [[['t', 0, 2 ** 53]]],
    'deleteRecords.partitions[0].offset must be an integer from -9007199254740991 to 9007199254740991',
  ],
  ['text as records', 'produce', [1, 0, [['t', 0, 'r']]], 'produce.partitions[0].records must be binary'],
  ['1 as a boolean', 'metadata', [null, 1], 'metadata.autoCreate must be a boolean, not 1.'],
])('%s is refused with the path of the field', (_, name, body, text) => {
  const error = refusal(() => decodeRequest(name, body));
  expect(error.code).toBe('INVALID_ARGUMENT');
  expect(error.message).toContain(text);
  expect(text).toContain(error.fields['path']);
});

test('numbers of any MessagePack type are taken if they are integers in range', () => {
  // deleteRecords of partition 0 of "t", but for the offset.
  const frame = (offset: string): Buffer => Buffer.from(`930c01919193a17400${offset}`, 'hex');
  const offsetOf = (hex: string) =>
    decodeRequest('deleteRecords', decodeRequestFrame(frame(hex)).body).partitions[0]!.offset;
  expect(offsetOf('05')).toBe(5);
  expect(offsetOf('cc05')).toBe(5);
  expect(offsetOf('cd0005')).toBe(5);
  expect(offsetOf('ce00000005')).toBe(5);
  expect(offsetOf('cf0000000000000005')).toBe(5);
  expect(offsetOf('d0fb')).toBe(-5);
  expect(offsetOf('d1fffb')).toBe(-5);
  expect(offsetOf('d2fffffffb')).toBe(-5);
  expect(offsetOf('d3fffffffffffffffb')).toBe(-5);
  expect(offsetOf('ca40a00000')).toBe(5);
  expect(offsetOf('cb4014000000000000')).toBe(5);
  expect(offsetOf('cf001fffffffffffff')).toBe(Number.MAX_SAFE_INTEGER);
  expect(Object.is(offsetOf('cb8000000000000000'), 0)).toBe(true);
  for (const hex of [
    'cf0020000000000000',
    'cf0020000000000001',
    'cfffffffffffffffff',
    'd38000000000000000',
    'cb7ff8000000000000',
  ]) {
    expect(refusal(() => offsetOf(hex)).code).toBe('INVALID_ARGUMENT');
  }
});

test('names from Object.prototype are names like any other', () => {
  const names = [...OBJECT_PROTOTYPE_NAMES];
  expect(names).toContain('__proto__');
  const frame = decodeRequestFrame(encodeRequest('deleteTopics', 1, { names }));
  expect(decodeRequest('deleteTopics', frame.body).names).toEqual(names);
  const configs = names.map((key) => ({ key, value: key }));
  const topics = names.map((name) => ({ name, partitions: 1, replicationFactor: 1, configs }));
  const created = decodeRequestFrame(encodeRequest('createTopics', 1, { topics, validateOnly: true }));
  expect(decodeRequest('createTopics', created.body).topics).toEqual(topics);
  const error = new BurrowError('CONFLICT', 'x', {
    fields: Object.fromEntries([
      ['__proto__', 'a'],
      ['toString', 1],
    ]),
  });
  const answered = decodeServerFrame(encodeErrorResponse(1, error));
  expect(answered.kind === 'response' && Object.entries(answered.error!.fields)).toEqual([
    ['__proto__', 'a'],
    ['toString', 1],
  ]);
  expect({}.toString()).toBe('[object Object]');
});

test('an error arrives with its name, text and fields', () => {
  for (const name of ERROR_TABLE.keys()) {
    const sent = new BurrowError(name as ErrorName, 'What happened: ü', {
      fields: { topic: 't', partition: 3, last: true },
    });
    const frame = decodeServerFrame(encodeErrorResponse(9, sent));
    if (frame.kind !== 'response') throw new Error('not a response');
    expect([frame.error?.code, frame.error?.message]).toEqual([name, 'What happened: ü']);
    expect({ ...frame.error?.fields }).toEqual({ topic: 't', partition: 3, last: true });
  }
});

test('an error of a number from a newer broker is an INTERNAL_ERROR with its text', () => {
  const frame = decodeServerFrame(encodeValue([0, 1, 9999, ['Too purple.', [['shade', 3], ['bad', []], 7]]]));
  expect(frame.kind === 'response' && frame.error).toMatchObject({ code: 'INTERNAL_ERROR', message: 'Too purple.' });
  expect(entryError({ errorNumber: 42, message: null })?.code).toBe('ALREADY_EXISTS');
  expect(entryError({ errorNumber: 0, message: null })).toBeUndefined();
});

test('a push is told from a response', () => {
  expect(decodeServerFrame(encodeGoingAway())).toEqual({ kind: 'push', type: 1, streamId: 0, body: [] });
});

test.each([
  ['not an array', 5],
  ['too short', [3, 1]],
  ['an api that is no number', ['3', 1, []]],
  ['a negative correlation id', [3, -1, []]],
  ['a correlation id over 32 bits', [3, 2 ** 32, []]],
  ['a fraction as correlation id', [3, 1.5, []]],
])('a request that is %s is malformed', (_, value) => {
  expect(refusal(() => decodeRequestFrame(encodeValue(value))).code).toBe('MALFORMED_FRAME');
});

test.each([
  ['not an array', 'x'],
  ['empty', []],
  ['without an error number', [0, 1]],
  ['of a type that is no number', [null, 1, 0, []]],
])('a server frame that is %s is malformed', (_, value) => {
  expect(refusal(() => decodeServerFrame(encodeValue(value))).code).toBe('MALFORMED_FRAME');
});

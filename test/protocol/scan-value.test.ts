import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { encodeValue } from '../../src/protocol/encode-value.ts';
import { decodeRequestFrame, decodeServerFrame } from '../../src/protocol/frame.ts';
import { REQUEST_SCAN_LIMITS, SCAN_LIMITS, scanValue } from '../../src/protocol/scan-value.ts';

const LIMITS = { depthMax: 4, valuesMax: 30 };

/** The same rules as plain recursion over the types of the MessagePack specification. Throws for what breaks one. */
function model(bytes: Uint8Array): void {
  const view = Buffer.from(bytes);
  let values = 0;
  const need = (at: number, count: number): void => {
    if (at + count > view.length) throw new Error('short');
  };
  const length = (at: number, width: number): number => {
    need(at, width);
    return view.readUIntBE(at, width);
  };
  const array = (at: number, count: number, depth: number): number => {
    if (depth > LIMITS.depthMax) throw new Error('deep');
    for (let i = 0; i < count; i++) at = read(at, depth);
    return at;
  };
  const skip = (at: number, count: number): number => {
    need(at, count);
    return at + count;
  };
  const read = (at: number, depth: number): number => {
    need(at, 1);
    values++;
    if (values > LIMITS.valuesMax) throw new Error('many');
    const code = view[at]!;
    const next = at + 1;
    if (code <= 0x7f || code >= 0xe0 || [0xc0, 0xc2, 0xc3].includes(code)) return next;
    if (code >= 0x90 && code <= 0x9f) return array(next, code - 0x90, depth + 1);
    if (code >= 0xa0 && code <= 0xbf) return skip(next, code - 0xa0);
    if (code === 0xdc) return array(next + 2, length(next, 2), depth + 1);
    if (code === 0xdd) return array(next + 4, length(next, 4), depth + 1);
    for (const [codes, width] of [
      [[0xc4, 0xd9], 1],
      [[0xc5, 0xda], 2],
      [[0xc6, 0xdb], 4],
    ] as const) {
      if ((codes as readonly number[]).includes(code)) return skip(next + width, length(next, width));
    }
    const fixed = new Map([
      [0xcc, 1],
      [0xcd, 2],
      [0xce, 4],
      [0xcf, 8],
      [0xd0, 1],
      [0xd1, 2],
      [0xd2, 4],
      [0xd3, 8],
      [0xca, 4],
      [0xcb, 8],
    ]).get(code);
    if (fixed === undefined) throw new Error('type');
    return skip(next, fixed);
  };
  if (read(0, 0) !== view.length) throw new Error('left over');
}

function verdict(run: () => void): 'sound' | 'malformed' {
  try {
    run();
    return 'sound';
  } catch (error) {
    if (error instanceof BurrowError) expect(error.code).toBe('MALFORMED_FRAME');
    return 'malformed';
  }
}

const tree = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 6 },
    fc.constantFrom(null, true, 1, -1, 300, 70_000, 2 ** 40, 0.5, '', 'text'),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('tree'), { maxLength: 6 }),
  ),
})).tree;

describe('the scan and a simple model agree', () => {
  test('on sound values, whole and cut short', () => {
    fc.assert(
      fc.property(tree, fc.nat(400), (value, cut) => {
        const whole = encodeValue(value);
        const bytes = whole.subarray(0, cut % 3 === 0 ? cut : whole.length);
        expect(verdict(() => scanValue(bytes, LIMITS))).toBe(verdict(() => model(bytes)));
      }),
      { numRuns: 3000 },
    );
  });

  test('on values with some bytes changed', () => {
    fc.assert(
      fc.property(
        tree,
        fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
        (value, changes) => {
          const bytes = encodeValue(value);
          for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
          expect(verdict(() => scanValue(bytes, LIMITS))).toBe(verdict(() => model(bytes)));
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('on any bytes', () => {
    const byte = fc.oneof(fc.integer({ min: 0x90, max: 0xe0 }), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 40 }), (list) => {
        const bytes = Uint8Array.from(list);
        expect(verdict(() => scanValue(bytes, LIMITS))).toBe(verdict(() => model(bytes)));
      }),
      { numRuns: 3000 },
    );
  });
});

function refused(hex: string): string {
  try {
    scanValue(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  } catch (error) {
    expect((error as BurrowError).code).toBe('MALFORMED_FRAME');
    return (error as BurrowError).message;
  }
  return 'nothing';
}

test.each([
  [
    'an array that claims four billion elements',
    'dd ffffffff',
    'an array of 4294967295 elements, but 0 bytes are left',
  ],
  ['nested arrays that claim more than there is', '92 dc 0009 01 01', 'an array of 9 elements, but 2 bytes are left'],
  ['a binary longer than the frame', 'c6 7fffffff 00', 'a value is longer than the frame'],
  ['a string longer than the frame', 'db ffffffff 61', 'a value is longer than the frame'],
  ['a head that is cut off', 'dd 00', 'an array of'],
  ['a map', '80', 'a value of type 0x80, which the protocol does not use'],
  ['a big map', 'df ffffffff', 'a value of type 0xdf'],
  ['an extension', 'd4 72 40', 'a value of type 0xd4'],
  ['a big extension', 'c9 ffffffff 01', 'a value of type 0xc9'],
  ['the code that is never used', 'c1', 'a value of type 0xc1'],
  ['a second value behind the first', '91 01 02', '1 bytes follow the message (at byte 2)'],
  ['nothing at all', '', 'it ends in the middle of a value'],
  ['thirteen arrays in each other', `${'91'.repeat(13)} 01`, 'arrays nested more than 12 deep'],
])('%s is refused by name', (_, hex, text) => {
  expect(refused(hex)).toContain(text);
});

test('twelve arrays in each other pass', () => {
  expect(refused(`${'91'.repeat(12)} 01`)).toBe('nothing');
});

test('a request has at most 100,000 values, an answer four million', () => {
  const frame = (values: number): Uint8Array => encodeValue([14, 1, new Array<number>(values - 4).fill(0)]);
  expect(REQUEST_SCAN_LIMITS.valuesMax).toBe(100_000);
  expect(decodeRequestFrame(frame(100_000)).api).toBe(14);
  expect(() => decodeRequestFrame(frame(100_001))).toThrow('more than 100000 values');
  expect(decodeServerFrame(frame(SCAN_LIMITS.valuesMax)).kind).toBe('push');
  expect(() => decodeServerFrame(frame(SCAN_LIMITS.valuesMax + 1))).toThrow('more than 4000000 values');
});

test('the worst request within the limits is refused or decoded in a fraction of a second', () => {
  const worst = [
    encodeValue([1, 1, new Array(99_990).fill([])]),
    encodeValue([1, 1, new Array(99_990).fill('ü')]),
    encodeValue([1, 1, new Array(30).fill(new Array(3_000).fill('x'.repeat(160)))]),
  ];
  for (const frame of worst) {
    const startMs = performance.now();
    decodeRequestFrame(frame);
    expect(performance.now() - startMs).toBeLessThan(500);
  }
});

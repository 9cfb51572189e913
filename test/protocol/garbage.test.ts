/** Both decoders against bytes that nobody means well with. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { encodeValue } from '../../src/protocol/encode-value.ts';
import {
  decodeRequest,
  decodeRequestFrame,
  decodeResponse,
  decodeServerFrame,
  encodeErrorResponse,
  encodeRequest,
  encodeResponse,
} from '../../src/protocol/frame.ts';
import { MESSAGES, type MessageName, messageName } from '../../src/protocol/messages.ts';
import { parseNotation, type WireType } from './notation.ts';

const FRAMES = 100_000;
const SEED = 20_260_923;
const NAMES = Object.keys(MESSAGES) as MessageName[];

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

type Random = (below: number) => number;

function sample(type: WireType, random: Random): unknown {
  switch (type.kind) {
    case 'nullable':
      return random(3) === 0 ? null : sample(type.of, random);
    case 'list':
      return Array.from({ length: random(4) }, () => sample(type.of, random));
    case 'struct':
      return Object.fromEntries(type.fields.map(([name, field]) => [name, sample(field, random)]));
    case 'scalar':
      if (type.name === 'bool') return random(2) === 1;
      if (type.name === 'string') return 'x'.repeat(random(40));
      if (type.name === 'binary') return type.max > 0xffff ? [Buffer.alloc(random(200))] : Buffer.alloc(16);
      return random(100);
  }
}

/** Sound frames of every kind, to be spoilt. */
function seedFrames(random: Random): Uint8Array[] {
  return NAMES.flatMap((name) => {
    const request = sample(parseNotation(MESSAGES[name].request.notation), random);
    const response = sample(parseNotation(MESSAGES[name].response.notation), random);
    return [encodeRequest(name, 7, request as never), encodeResponse(name, 7, response as never)];
  }).concat(
    encodeErrorResponse(7, new BurrowError('CONFLICT', 'text', { fields: { topic: 't' } })),
    encodeValue([1, 0, []]),
  );
}

/** Values of one byte: in the place of another they leave the frame sound and break its meaning. */
const SMALL_VALUES = [0xc0, 0xc3, 0x90, 0xa0, 0x05, 0xff];
const HEADS = [0xdd, 0xdc, 0xdb, 0xc6, 0xdf, 0x9f, 0xc9, 0xd9, 0xcf, 0xcb, 0xc1, 0xff];

function spoil(frame: Uint8Array, random: Random): Uint8Array {
  const bytes = Buffer.from(frame);
  switch (random(7)) {
    case 0:
      return bytes.subarray(0, random(bytes.length + 1));
    case 1:
      return Buffer.concat([bytes, Buffer.from([random(256)])]);
    case 2:
      bytes[random(bytes.length)] = HEADS[random(HEADS.length)]!;
      return bytes;
    case 3: {
      const at = random(bytes.length);
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + random(8)))]);
    }
    case 4:
      bytes[random(bytes.length)] = SMALL_VALUES[random(SMALL_VALUES.length)]!;
      return bytes;
    case 5:
      return Buffer.from(Array.from({ length: random(64) }, () => random(256)));
    default:
      for (let i = 0; i <= random(6); i++) bytes[random(bytes.length)] = random(256);
      return bytes;
  }
}

/** What became of the frame. Anything but a BurrowError escapes and fails the test. */
function outcome(run: () => void): string {
  try {
    run();
    return 'taken';
  } catch (error) {
    if (error instanceof BurrowError) return error.code;
    throw error;
  }
}

function decodeAsBroker(bytes: Uint8Array): void {
  const { api, body } = decodeRequestFrame(bytes);
  const name = messageName(api);
  if (name !== undefined) decodeRequest(name, body);
}

function decodeAsClient(bytes: Uint8Array, name: MessageName): void {
  const frame = decodeServerFrame(bytes);
  if (frame.kind === 'response' && frame.error === undefined) decodeResponse(name, frame.body);
}

test('100,000 random or spoilt frames are taken or refused by name, and leave nothing behind', () => {
  const source = new SeededRandom(SEED);
  const random: Random = (below) => source.below(below);
  const seeds = seedFrames(random);
  const outcomes = new Map<string, number>();
  const count = (key: string): void => void outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
  const run = (frames: number): void => {
    for (let i = 0; i < frames; i++) {
      const bytes = spoil(seeds[random(seeds.length)]!, random);
      count(`request ${outcome(() => decodeAsBroker(bytes))}`);
      count(`response ${outcome(() => decodeAsClient(bytes, NAMES[random(NAMES.length)]!))}`);
    }
  };
  run(FRAMES / 4);
  collectGarbage();
  const before = process.memoryUsage();
  run((FRAMES * 3) / 4);
  collectGarbage();
  const after = process.memoryUsage();
  // Every branch was taken often, or the frames were too dull.
  for (const key of ['taken', 'MALFORMED_FRAME', 'INVALID_ARGUMENT']) {
    expect(outcomes.get(`request ${key}`), key).toBeGreaterThan(FRAMES / 100);
    expect(outcomes.get(`response ${key}`), key).toBeGreaterThan(FRAMES / 100);
  }
  expect(Math.min(...outcomes.values())).toBeGreaterThan(0);
  expect(after.heapUsed - before.heapUsed).toBeLessThan(4_000_000);
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(4_000_000);
});

test('counts and lengths that lie allocate nothing', () => {
  const lies = ['ddffffffff', '93dd7fffffff', '930301dd0fffffff', '930301c6ffffffff', '930301dbffffffff', '93cf'].map(
    (hex) => Buffer.from(hex, 'hex'),
  );
  collectGarbage();
  const before = process.memoryUsage();
  for (let i = 0; i < 10_000; i++)
    for (const lie of lies) expect(outcome(() => decodeAsBroker(lie))).toBe('MALFORMED_FRAME');
  const after = process.memoryUsage();
  expect(after.rss - before.rss).toBeLessThan(150_000_000);
  collectGarbage();
  expect(process.memoryUsage().heapUsed - before.heapUsed).toBeLessThan(4_000_000);
});

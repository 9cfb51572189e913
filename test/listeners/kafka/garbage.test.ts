/** The decoder and the listener under random and mutated frames: typed errors, no crash, no growth. */
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { decodeRequest } from '../../../broker/listeners/kafka/request-frame.ts';
import type { Fields } from '../../../broker/listeners/kafka/schema/field.ts';
import { toBurrowError } from '../../../src/errors/burrow-error.ts';
import { ALL_KAFKA_APIS, KAFKA } from '../../support/kafka-apis.ts';
import { startFakeTarget } from '../../support/kafka-target.ts';
import { KafkaTestClient, requestFrame } from '../../support/kafka-test-client.ts';
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts';
import { messageArbitrary } from './message-arbitrary.ts';

const SEED = Number(process.env['GARBAGE_SEED'] ?? 20_261_123);
const ELEMENTS_MAX = 250_000;
const MEBIBYTE = 1024 * 1024;

/** mulberry32: a small generator, so that a seed gives the same garbage everywhere. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Sound requests of every API and version, without their length fields. */
function soundFrames(): Buffer[] {
  return ALL_KAFKA_APIS.flatMap((api) => {
    const { min, max } = api.request.versions;
    return Array.from({ length: max - min + 1 }, (_, index) => min + index).flatMap((version) =>
      fc
        .sample(messageArbitrary(api.request.fields as Fields, version), { numRuns: 4, seed: SEED + api.key })
        .map((message) => requestFrame(api.key, version, api.request, message as never).subarray(4)),
    );
  });
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fffe];

function mutate(sound: Buffer, random: (below: number) => number): Buffer {
  const frame = Buffer.from(sound);
  const at = random(Math.max(1, frame.length - 4));
  switch (random(6)) {
    case 0:
      for (let flips = 1 + random(4); flips > 0; flips--) frame[random(frame.length)]! ^= 1 << random(8);
      return frame;
    case 1:
      return frame.subarray(0, Math.max(8, random(frame.length)));
    case 2:
      if (frame.length >= at + 4) frame.writeUInt32BE(EXTREMES[random(EXTREMES.length)]!, at);
      return frame;
    case 3:
      return Buffer.concat([frame.subarray(0, Math.max(8, at)), frame.subarray(random(frame.length))]);
    case 4:
      // Varint of 2^32 - 1 somewhere: the largest compact length and tag count.
      return Buffer.concat([frame.subarray(0, Math.max(8, at)), Buffer.from('ffffffff0f', 'hex'), frame.subarray(at)]);
    default: {
      // The right key and version, and noise behind it.
      for (let index = 8; index < frame.length; index++) frame[index] = random(256);
      return frame;
    }
  }
}

function noise(random: (below: number) => number): Buffer {
  const frame = Buffer.alloc(8 + random(200));
  for (let index = 0; index < frame.length; index++) frame[index] = random(256);
  if (random(2) === 0) frame.writeInt16BE(random(64), 0);
  if (random(2) === 0) frame.writeInt16BE(random(13), 2);
  return frame;
}

describe(`garbage (seed ${SEED})`, () => {
  it('gives typed errors for 100,000 frames, and the heap does not grow', () => {
    const random = randomNumbers(SEED);
    const sound = soundFrames();
    const outcomes = new Map<string, number>();
    const decodeOne = (frame: Buffer): string => {
      try {
        decodeRequest(frame, ELEMENTS_MAX);
        return 'decoded';
      } catch (error) {
        return toBurrowError(error).code;
      }
    };
    for (const frame of sound) expect(decodeOne(frame)).toBe('decoded');
    globalThis.gc?.();
    const before = process.memoryUsage();
    for (let count = 0; count < 100_000; count++) {
      const frame = random(5) === 0 ? noise(random) : mutate(sound[random(sound.length)]!, random);
      const outcome = decodeOne(frame);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    globalThis.gc?.();
    const after = process.memoryUsage();
    expect([...outcomes.keys()].sort()).toEqual(['MALFORMED_FRAME', 'UNSUPPORTED_VERSION', 'decoded']);
    expect(outcomes.get('MALFORMED_FRAME')).toBeGreaterThan(30_000);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(64 * MEBIBYTE);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(64 * MEBIBYTE);
  });

  it('does not stop the listener: 4,000 frames over 400 connections, while another client is served', async () => {
    const random = randomNumbers(SEED + 1);
    const lines: LogLine[] = [];
    const target = await startFakeTarget({ logger: recordingLogger(lines), partitionsMax: 10 });
    onTestFinished(() => target.close());
    const bystander = await KafkaTestClient.connect(target.port);
    const sound = soundFrames();
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 20 }, () => sendGarbage(target.port, sound, random)));
      const response = await bystander.call(KAFKA.apiVersions, 3, {
        clientSoftwareName: '',
        clientSoftwareVersion: '',
      });
      expect(response.errorCode).toBe(0);
    }
    bystander.close();
    expect(lines.filter(({ level, text }) => level === 'error' || text.includes('unexpected'))).toEqual([]);
    expect(lines.length).toBeGreaterThan(100);
    expect(target.service.waitingFetches).toBe(0);
  });
});

async function sendGarbage(port: number, sound: readonly Buffer[], random: (below: number) => number): Promise<void> {
  const client = await KafkaTestClient.connect(port);
  for (let count = 0; count < 10; count++) {
    const frame = random(10) === 0 ? noise(random) : mutate(sound[random(sound.length)]!, random);
    const length = Buffer.alloc(4);
    length.writeInt32BE(frame.length);
    client.socket.write(Buffer.concat([length, frame]));
  }
  client.socket.end();
  await client.closed;
}

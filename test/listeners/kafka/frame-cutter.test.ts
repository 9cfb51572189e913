import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameCutter } from '../../../broker/listeners/kafka/frame-cutter.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

const LIMIT = 1024 * 1024;

function framed(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  return Buffer.concat([length, body]);
}

function cutAll(cutter: FrameCutter): Buffer[] {
  const frames: Buffer[] = [];
  for (let frame = cutter.next(); frame !== undefined; frame = cutter.next()) frames.push(frame);
  return frames;
}

/** Splits bytes at the given places. */
function chunksOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => Buffer.from(bytes.subarray(places[index], end)));
}

describe('FrameCutter', () => {
  it('cuts the same frames however the stream is split', () => {
    const body = fc.oneof(
      fc.uint8Array({ minLength: 8, maxLength: 300 }),
      // larger than a small chunk and than what small chunks are gathered in
      fc.integer({ min: 8, max: 200_000 }).map((length) => new Uint8Array(length).fill(length)),
    );
    fc.assert(
      fc.property(fc.array(body, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 40 }), (bodies, cuts) => {
        const frames = bodies.map((bytes) => Buffer.from(bytes));
        const cutter = new FrameCutter(LIMIT);
        const got: Buffer[] = [];
        for (const chunk of chunksOf(Buffer.concat(frames.map(framed)), cuts)) {
          cutter.push(chunk);
          got.push(...cutAll(cutter));
        }
        expect(got.map((frame) => frame.toString('hex'))).toEqual(frames.map((frame) => frame.toString('hex')));
        expect(cutter.partial).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  it('keeps frames intact that were cut before more chunks came', () => {
    const bodies = Array.from({ length: 200 }, (_, index) => Buffer.alloc(50 + index, index));
    const stream = Buffer.concat(bodies.map(framed));
    const cutter = new FrameCutter(LIMIT);
    const got: Buffer[] = [];
    for (let at = 0; at < stream.length; at += 7) {
      cutter.push(Buffer.from(stream.subarray(at, at + 7)));
      got.push(...cutAll(cutter));
    }
    expect(got).toEqual(bodies);
  });

  it('gives a frame within one chunk as a view', () => {
    const chunk = framed(Buffer.from('0123456789'));
    const cutter = new FrameCutter(LIMIT);
    cutter.push(chunk);
    expect(cutter.next()!.buffer).toBe(chunk.buffer);
  });

  it('holds a frame that comes byte by byte in little more memory than its bytes', () => {
    const cutter = new FrameCutter(64 * LIMIT);
    const announced = Buffer.alloc(4);
    announced.writeInt32BE(50 * LIMIT);
    cutter.push(announced);
    globalThis.gc?.();
    const before = process.memoryUsage();
    for (let count = 0; count < 2 * LIMIT; count++) cutter.push(Buffer.alloc(1, count));
    expect(cutter.next()).toBeUndefined();
    globalThis.gc?.();
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(24 * LIMIT);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(24 * LIMIT);
  });

  it.each([
    ['a negative length', 'ffffffff', 'MALFORMED_FRAME'],
    ['the smallest length', '80000000', 'MALFORMED_FRAME'],
    ['no room for a header', '00000007', 'MALFORMED_FRAME'],
    ['zero', '00000000', 'MALFORMED_FRAME'],
    ['one byte over the limit', '00100001', 'FRAME_TOO_LARGE'],
    ['the largest length', '7fffffff', 'FRAME_TOO_LARGE'],
  ])('refuses %s as soon as it is known', (_, length, code) => {
    const cutter = new FrameCutter(LIMIT);
    cutter.push(Buffer.from(length, 'hex'));
    expect(() => cutter.next()).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    ['a TLS handshake', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00])],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n')],
    ['an HTTP request', Buffer.from('PRI * HTTP/2.0\r\n')],
    ['the AMQP protocol', Buffer.from('AMQP\x00\x00\x09\x01')],
  ])('says that the client speaks %s', (name, bytes) => {
    const cutter = new FrameCutter(LIMIT);
    cutter.push(bytes);
    try {
      cutter.next();
      expect.unreachable();
    } catch (error) {
      expect(isBurrowError(error, 'MALFORMED_FRAME') && error.message).toContain(name);
    }
  });
});

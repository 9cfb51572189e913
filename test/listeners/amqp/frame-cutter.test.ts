import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameCutter } from '../../../broker/listeners/amqp/frame-cutter.ts';
import { frame, PROTOCOL_HEADER } from './raw-client.ts';

const anyFrame = fc.tuple(fc.nat(255), fc.nat(65_535), fc.uint8Array({ maxLength: 40 }));

function cutAll(cutter: FrameCutter): Array<[number, number, Uint8Array]> {
  const frames: Array<[number, number, Uint8Array]> = [];
  while (cutter.next()) frames.push([cutter.type, cutter.channel, new Uint8Array(cutter.payload)]);
  return frames;
}

describe('a frame cutter', () => {
  test('finds the same frames however the stream is chunked', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 30 })), (frames, sizes) => {
        const stream = Buffer.concat([PROTOCOL_HEADER, ...frames.map((args) => frame(...args))]);
        const cutter = new FrameCutter(4096);
        const found: Array<[number, number, Uint8Array]> = [];
        let header: Buffer | undefined;
        for (let at = 0, index = 0; at < stream.length; index++) {
          const size = sizes[index % Math.max(1, sizes.length)] ?? stream.length;
          cutter.push(Buffer.from(stream.subarray(at, at + size)));
          at += size;
          header ??= cutter.protocolHeader();
          if (header !== undefined) found.push(...cutAll(cutter));
        }
        expect(header).toEqual(PROTOCOL_HEADER);
        expect(found).toEqual(frames);
        expect(cutter.bytes).toBe(0);
      }),
    );
  });

  test('gives views of what lies within a chunk', () => {
    const chunk = Buffer.concat([frame(3, 1, Buffer.alloc(10_000, 7)), frame(8, 0, Buffer.alloc(0))]);
    const cutter = new FrameCutter(65_536);
    cutter.push(chunk);
    expect(cutter.next()).toBe(true);
    expect(cutter.payload.buffer).toBe(chunk.buffer);
    expect(cutter.payload.byteOffset).toBe(chunk.byteOffset + 7);
  });

  test('refuses a frame that is too large at its header, with the slack that RabbitMQ gives', () => {
    const cutter = new FrameCutter(4096);
    cutter.push(frame(3, 1, Buffer.alloc(4096)));
    expect(cutter.next()).toBe(true);
    // The announced bytes never come.
    cutter.push(frame(3, 1, Buffer.alloc(4097)).subarray(0, 7));
    expect(() => cutter.next()).toThrow(expect.objectContaining({ reply: 'FRAME_ERROR' }));
    const endless = new FrameCutter(4096);
    endless.push(Buffer.from([1, 0, 0, 0xff, 0xff, 0xff, 0xff]));
    expect(() => endless.next()).toThrow(/4294967295 bytes of payload/);
  });

  test('refuses a frame that does not end with 0xCE', () => {
    const bytes = frame(1, 0, Buffer.alloc(3));
    bytes[bytes.length - 1] = 0xcd;
    const cutter = new FrameCutter(4096);
    cutter.push(bytes);
    expect(() => cutter.next()).toThrow(expect.objectContaining({ reply: 'FRAME_ERROR' }));
  });

  test('has the limit that was set last', () => {
    const cutter = new FrameCutter(4096);
    cutter.frameBytesMax = 8192;
    cutter.push(frame(3, 1, Buffer.alloc(8192)));
    expect(cutter.next()).toBe(true);
  });
});

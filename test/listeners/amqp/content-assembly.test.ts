import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Content, ContentAssembly, detached } from '../../../broker/listeners/amqp/content-assembly.ts';
import { encodeProperties } from '../../../src/messages/message-properties.ts';
import { headerFrame } from './raw-client.ts';

const header = (...args: [bodySize: number, properties?: Uint8Array, classId?: number]): Buffer =>
  headerFrame(1, ...args).subarray(7, -1);
const refusal = (reply: string) => expect.objectContaining({ reply });

describe('a content', () => {
  test('is complete when as much has come as was announced, in frames of any size', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), fc.string({ maxLength: 20 }), (pieces, messageId) => {
        const assembly = new ContentAssembly(1000);
        const body = Buffer.concat(pieces);
        const properties = encodeProperties({ messageId });
        assembly.begin();
        let content: Content | undefined = assembly.onHeader(header(body.length, properties));
        for (const piece of pieces) {
          if (content !== undefined) break;
          content = assembly.onBody(Buffer.from(piece));
        }
        expect(Buffer.concat(content!.body).equals(body)).toBe(true);
        expect(content!.bodyBytes).toBe(body.length);
        expect(content!.properties.equals(Buffer.from(properties))).toBe(true);
        expect(assembly.isOpen).toBe(false);
        expect(assembly.bytes).toBe(0);
      }),
    );
  });

  test('keeps body frames as the views that they are', () => {
    const assembly = new ContentAssembly(1000);
    const piece = Buffer.alloc(10, 1);
    assembly.begin();
    assembly.onHeader(header(10));
    expect(assembly.onBody(piece)!.body[0]).toBe(piece);
  });

  test('has no more body than was announced', () => {
    const assembly = new ContentAssembly(1000);
    assembly.begin();
    assembly.onHeader(header(10));
    assembly.onBody(Buffer.alloc(6));
    expect(() => assembly.onBody(Buffer.alloc(5))).toThrow(refusal('FRAME_ERROR'));
  });

  test('that is too large is refused at its header, and nothing is kept for it', () => {
    const assembly = new ContentAssembly(1000);
    assembly.begin();
    expect(assembly.onHeader(header(1000))).toBeUndefined();
    assembly.abandon();
    assembly.begin();
    const text = 'message size 1001 is larger than configured max size 1000';
    expect(() => assembly.onHeader(header(1001))).toThrow(refusal('PRECONDITION_FAILED'));
    expect(() => assembly.onHeader(header(1001))).toThrow(text);
    expect(() => assembly.onHeader(header(2 ** 53))).toThrow(/larger than/);
    expect(assembly.bytes).toBe(0);
  });

  test.each([
    ['a header before its method', (assembly: ContentAssembly) => assembly.onHeader(header(1))],
    ['a body before its method', (assembly: ContentAssembly) => assembly.onBody(Buffer.alloc(1))],
    [
      'a body before its header',
      (assembly: ContentAssembly) => {
        assembly.begin();
        assembly.onBody(Buffer.alloc(1));
      },
    ],
    [
      'a second header',
      (assembly: ContentAssembly) => {
        assembly.begin();
        assembly.onHeader(header(1));
        assembly.onHeader(header(1));
      },
    ],
    [
      'a header of another class',
      (assembly: ContentAssembly) => {
        assembly.begin();
        assembly.onHeader(header(1, Buffer.alloc(2), 50));
      },
    ],
  ])('refuses %s', (_what, send) => {
    expect(() => send(new ContentAssembly(1000))).toThrow(refusal('UNEXPECTED_FRAME'));
  });

  test('refuses a header that is cut off, and malformed properties', () => {
    const assembly = new ContentAssembly(1000);
    assembly.begin();
    expect(() => assembly.onHeader(header(1).subarray(0, 11))).toThrow(refusal('FRAME_ERROR'));
    expect(() => assembly.onHeader(header(1, Buffer.from([0x80, 0, 9])))).toThrow(/malformed/);
  });

  test('lets go of the chunk that its first frames lie in', () => {
    const chunk = Buffer.alloc(65_536);
    const assembly = new ContentAssembly(100_000);
    assembly.begin();
    const head = header(40_100);
    head.copy(chunk, 1000);
    assembly.onHeader(chunk.subarray(1000, 1000 + head.length));
    assembly.onBody(chunk.subarray(2000, 2010));
    assembly.detach();
    const large = Buffer.alloc(40_000);
    assembly.onBody(large);
    assembly.detach();
    const content = assembly.onBody(Buffer.alloc(90))!;
    expect(content.properties.buffer).not.toBe(chunk.buffer);
    expect(content.body[0]!.buffer).not.toBe(chunk.buffer);
    expect(content.body[1]).toBe(large);
    expect(content.body.map(({ length }) => length)).toEqual([10, 40_000, 90]);
    const own = detached({ properties: chunk.subarray(0, 2), body: [chunk.subarray(2, 12)], bodyBytes: 10 });
    expect(own.body[0]!.buffer).not.toBe(chunk.buffer);
  });
});

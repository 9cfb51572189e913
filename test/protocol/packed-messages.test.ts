import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { encodeProperties } from '../../src/messages/message-properties.ts';
import { PackedDeliveriesReader, PackedDeliveriesWriter } from '../../src/protocol/packed-deliveries.ts';
import {
  checkPackedPublishes,
  PackedPublishesReader,
  PackedPublishesWriter,
} from '../../src/protocol/packed-publishes.ts';

const text = (max: number) =>
  fc.string({ maxLength: max, unit: 'grapheme' }).filter((each) => Buffer.byteLength(each) <= max);
const body = fc.uint8Array({ maxLength: 300 });
const properties = fc
  .record({ contentType: text(20), priority: fc.nat(255), messageId: text(30) }, { requiredKeys: [] })
  .map((fields) => Buffer.from(encodeProperties(fields)));

/** Anything but a BurrowError escapes. */
function outcome(run: () => void): string {
  try {
    run();
    return 'taken';
  } catch (error) {
    if (error instanceof BurrowError) return error.code;
    throw error;
  }
}

describe('packed publishes', () => {
  const publish = fc.record({
    // Few names, so that messages share them.
    exchange: fc.oneof(fc.constantFrom('', 'a'), text(255)),
    routingKey: fc.oneof(fc.constantFrom('', 'k'), text(255)),
    properties,
    body,
    mandatory: fc.boolean(),
  });

  function pack(messages: ReadonlyArray<typeof publish extends fc.Arbitrary<infer T> ? T : never>): Uint8Array {
    const writer = new PackedPublishesWriter();
    for (const each of messages)
      writer.append(each.exchange, each.routingKey, each.properties, each.body, each.mandatory);
    expect(writer.count).toBe(messages.length);
    return writer.finish();
  }

  test('come back as they were', () => {
    fc.assert(
      fc.property(fc.array(publish, { maxLength: 20 }), (messages) => {
        const packed = pack(messages);
        checkPackedPublishes(packed, messages.length);
        const reader = new PackedPublishesReader(packed);
        for (const each of messages) {
          expect(reader.next()).toBe(true);
          expect([reader.exchange, reader.routingKey, reader.mandatory]).toEqual([
            each.exchange,
            each.routingKey,
            each.mandatory,
          ]);
          expect(Buffer.from(reader.properties)).toEqual(Buffer.from(each.properties));
          expect(Buffer.from(reader.body[0])).toEqual(Buffer.from(each.body));
        }
        expect(reader.next()).toBe(false);
      }),
    );
  });

  test('that are cut off, spoilt or miscounted are refused as a whole, or are other messages', () => {
    const outcomes = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(publish, { minLength: 1, maxLength: 5 }), fc.nat(), fc.nat(255), (messages, at, byte) => {
        const packed = pack(messages);
        const note = (code: string): void => void outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
        expect(outcome(() => checkPackedPublishes(packed, messages.length + 1))).toBe('MALFORMED_FRAME');
        expect(outcome(() => checkPackedPublishes(packed, messages.length - 1))).toBe('MALFORMED_FRAME');
        expect(outcome(() => checkPackedPublishes(packed.subarray(0, at % packed.length), messages.length))).toBe(
          'MALFORMED_FRAME',
        );
        const spoilt = Uint8Array.from(packed);
        spoilt[at % packed.length] = byte;
        const result = outcome(() => checkPackedPublishes(spoilt, messages.length));
        note(result);
        expect(['taken', 'MALFORMED_FRAME']).toContain(result);
        if (result !== 'taken') return;
        const reader = new PackedPublishesReader(spoilt);
        let count = 0;
        while (reader.next()) count++;
        expect(count).toBe(messages.length);
      }),
      { numRuns: 500 },
    );
    expect(Math.min(outcomes.get('taken') ?? 0, outcomes.get('MALFORMED_FRAME') ?? 0)).toBeGreaterThan(10);
  });

  test('with names of more than 255 bytes, unknown flags or unsound properties are refused', () => {
    const long = new Uint8Array(300).fill(0x61);
    const cases: Uint8Array[] = [
      Uint8Array.of(2, 0x80, 0x02, ...long.subarray(0, 256), 0),
      Uint8Array.of(4, 0x80, 0x02, ...long.subarray(0, 256), 0),
      Uint8Array.of(16, 0),
      // Properties whose flags announce a content type that is not there.
      Uint8Array.of(8, 2, 0x80, 0x00, 0),
      // A length of four billion.
      Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff, 0x0f),
    ];
    for (const packed of cases) expect(outcome(() => checkPackedPublishes(packed, 1))).toBe('MALFORMED_FRAME');
    checkPackedPublishes(Uint8Array.of(2, 0xff, 0x01, ...long.subarray(0, 255), 0), 1);
  });
});

describe('packed deliveries', () => {
  const delivery = fc.record({
    step: fc.oneof(fc.constant(1), fc.nat(1000)),
    returns: fc.oneof(fc.constant(0), fc.nat(2 ** 31)),
    timestampMs: fc.integer({ min: 0, max: 2 ** 45 }),
    exchange: text(100),
    routingKey: text(100),
    properties,
    body,
  });

  function pack(first: number, deliveries: ReadonlyArray<typeof delivery extends fc.Arbitrary<infer T> ? T : never>) {
    const writer = new PackedDeliveriesWriter();
    let tag = first;
    const tags: number[] = [];
    for (const each of deliveries) {
      tag += tags.length === 0 ? 0 : each.step;
      tags.push(tag);
      const parts = [Buffer.from(each.exchange), Buffer.from(each.routingKey), each.properties, each.body];
      const positions = parts.map((_, index) => parts.slice(0, index).reduce((sum, { length }) => sum + length, 3));
      writer.append(tag, each.returns, {
        timestampMs: each.timestampMs,
        bytes: Buffer.concat([Buffer.alloc(3), ...parts]),
        exchangePosition: positions[0]!,
        exchangeBytes: parts[0]!.length,
        keyPosition: positions[1]!,
        keyBytes: parts[1]!.length,
        propertiesPosition: positions[2]!,
        propertiesBytes: parts[2]!.length,
        bodyPosition: positions[3]!,
        bodyBytes: parts[3]!.length,
      });
    }
    return { packed: writer.finish(), tags };
  }

  test('come back as they were', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 50 }), fc.array(delivery, { maxLength: 20 }), (first, deliveries) => {
        const { packed, tags } = pack(first, deliveries);
        const reader = new PackedDeliveriesReader(packed);
        const at = (position: number, count: number) => Buffer.from(reader.bytes).subarray(position, position + count);
        deliveries.forEach((each, index) => {
          expect(reader.next()).toBe(true);
          expect([reader.deliveryTag, reader.returns, reader.timestampMs]).toEqual([
            tags[index],
            each.returns,
            each.timestampMs,
          ]);
          expect(at(reader.exchangePosition, reader.exchangeBytes).toString()).toBe(each.exchange);
          expect(at(reader.keyPosition, reader.keyBytes).toString()).toBe(each.routingKey);
          expect(at(reader.propertiesPosition, reader.propertiesBytes)).toEqual(Buffer.from(each.properties));
          expect(at(reader.bodyPosition, reader.bodyBytes)).toEqual(Buffer.from(each.body));
        });
        expect(reader.next()).toBe(false);
      }),
    );
  });

  test('one writer after the other frame: memory of its own for each, as much as the last one took at first', () => {
    const writer = new PackedDeliveriesWriter();
    const source = { timestampMs: 1, exchangePosition: 0, exchangeBytes: 0, keyPosition: 0, keyBytes: 0 };
    const write = (count: number, byte: number) => {
      const bytes = Buffer.alloc(100, byte);
      for (let tag = 1; tag <= count; tag++) {
        const body = { bodyPosition: 0, bodyBytes: bytes.length, propertiesPosition: 0, propertiesBytes: 0 };
        writer.append(tag, 0, { ...source, ...body, bytes });
      }
      return writer.finish();
    };
    const frames = [
      write(1000, 1),
      write(1000, 2),
      write(1, 3),
      write(1, 4),
      write(1000, 5),
      write(4000, 6),
      write(1, 7),
    ];
    for (const [index, frame] of frames.entries()) {
      const reader = new PackedDeliveriesReader(frame);
      const wanted = Buffer.alloc(100, index + 1);
      let intact = 0;
      while (reader.next()) {
        const body = reader.bytes.subarray(reader.bodyPosition, reader.bodyPosition + reader.bodyBytes);
        if (wanted.equals(body)) intact++;
      }
      expect(intact).toBe(frame.count);
    }
    const memory = frames.map(({ messages }) => messages.buffer.byteLength);
    // Its first guess was right, and a small frame after a small one takes little again.
    expect(memory[1]).toBeLessThan(frames[1]!.messages.length * 1.3);
    expect(memory[3]).toBe(4096);
    // However large a frame was, the next one begins with no more than this.
    expect(memory[6]).toBe(256 * 1024);
  });

  test('that are cut off, spoilt or miscounted are refused by name, or are other messages', () => {
    fc.assert(
      fc.property(fc.array(delivery, { minLength: 1, maxLength: 5 }), fc.nat(), fc.nat(255), (deliveries, at, byte) => {
        const { packed } = pack(1, deliveries);
        const read = (messages: Uint8Array, count: number): string =>
          outcome(() => {
            const reader = new PackedDeliveriesReader({ ...packed, messages, count });
            while (reader.next());
          });
        expect(read(packed.messages, packed.count + 1)).toBe('MALFORMED_FRAME');
        expect(read(packed.messages, packed.count - 1)).toBe('MALFORMED_FRAME');
        expect(read(packed.messages.subarray(0, at % packed.messages.length), packed.count)).toBe('MALFORMED_FRAME');
        const spoilt = Uint8Array.from(packed.messages);
        spoilt[at % spoilt.length] = byte;
        expect(['taken', 'MALFORMED_FRAME']).toContain(read(spoilt, packed.count));
      }),
      { numRuns: 500 },
    );
  });
});

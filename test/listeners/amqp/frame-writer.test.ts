import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ContentAssembly } from '../../../broker/listeners/amqp/content-assembly.ts';
import { FrameCutter, METHOD_FRAME } from '../../../broker/listeners/amqp/frame-cutter.ts';
import { FrameWriter } from '../../../broker/listeners/amqp/frame-writer.ts';
import { decodeMethod } from '../../../broker/listeners/amqp/method-codec.ts';

interface Sent {
  readonly name: string;
  readonly channel: number;
  readonly args: unknown;
  /** Texts: large buffers are compared slowly. */
  readonly properties?: string;
  readonly body?: string;
}

/** What a client makes of the bytes; no frame may be larger than `frameBytesMax`. */
function read(pieces: readonly Buffer[], frameBytesMax: number): Sent[] {
  const cutter = new FrameCutter(frameBytesMax - 8);
  for (const piece of pieces) cutter.push(piece);
  const sent: Sent[] = [];
  const assembly = new ContentAssembly(Number.MAX_SAFE_INTEGER);
  while (cutter.next()) {
    const { type, channel, payload } = cutter;
    if (type === METHOD_FRAME) {
      const { name, args } = decodeMethod(payload);
      sent.push({ name, channel, args });
      if (['basic.deliver', 'basic.return', 'basic.get-ok'].includes(name)) assembly.begin();
    } else if (type === 8) sent.push({ name: 'heartbeat', channel, args: {} });
    else {
      const content = type === 2 ? assembly.onHeader(payload) : assembly.onBody(payload);
      if (content === undefined) continue;
      const body = Buffer.concat(content.body).toString('latin1');
      sent.push({ ...sent.pop()!, properties: content.properties.toString('latin1'), body });
    }
  }
  expect(cutter.bytes).toBe(0);
  return sent;
}

const name = fc.string({ unit: 'binary', maxLength: 40 });
const command = fc.oneof(
  fc.record({
    kind: fc.constant('deliver' as const),
    tag: name,
    deliveryTag: fc.maxSafeNat(),
    redelivered: fc.boolean(),
    exchange: name,
    routingKey: name,
    bodyBytes: fc.oneof(fc.nat(100), fc.nat(30_000)),
  }),
  fc.record({
    kind: fc.constantFrom('ack' as const, 'nack' as const),
    deliveryTag: fc.maxSafeNat(),
    multiple: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('method' as const), queue: name }),
  fc.record({ kind: fc.constant('heartbeat' as const) }),
);
const properties = Buffer.from([0x10, 0, 2]);

describe('a frame writer', () => {
  test('writes what a reader understands, in frames within the limit', () => {
    fc.assert(
      fc.property(
        fc.array(command),
        fc.constantFrom(4096, 8192, 131_072),
        fc.nat(5),
        (commands, frameBytesMax, every) => {
          const writer = new FrameWriter(frameBytesMax);
          const expected: Sent[] = [];
          const pieces: Buffer[] = [];
          let bytes = 0;
          commands.forEach((each, index) => {
            const channel = index + 1;
            if (each.kind === 'deliver') {
              const { tag, deliveryTag, redelivered, exchange, routingKey } = each;
              const body = Buffer.alloc(each.bodyBytes, index);
              writer.deliver(channel, tag, deliveryTag, redelivered, { exchange, routingKey, properties, body });
              const args = { consumerTag: tag, deliveryTag, redelivered, exchange, routingKey };
              expected.push({
                name: 'basic.deliver',
                channel,
                args,
                properties: properties.toString('latin1'),
                body: body.toString('latin1'),
              });
            } else if (each.kind === 'heartbeat') {
              writer.heartbeat();
              expected.push({ name: 'heartbeat', channel: 0, args: {} });
            } else if (each.kind === 'method') {
              const args = { queue: each.queue, messageCount: 1, consumerCount: 2 };
              writer.method(channel, 'queue.declare-ok', args);
              expected.push({ name: 'queue.declare-ok', channel, args });
            } else {
              const { deliveryTag, multiple } = each;
              writer[each.kind](channel, deliveryTag, multiple);
              const args = each.kind === 'ack' ? { deliveryTag, multiple } : { deliveryTag, multiple, requeue: false };
              expected.push({ name: `basic.${each.kind}`, channel, args });
            }
            if (index % (every + 1) === 0) {
              bytes += writer.bytes;
              pieces.push(...writer.take());
              expect(writer.bytes).toBe(0);
            }
          });
          bytes += writer.bytes;
          pieces.push(...writer.take());
          expect(read(pieces, frameBytesMax)).toEqual(expected);
          expect(pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(bytes);
        },
      ),
    );
  });

  test('returns messages, and gives them where they were asked for', () => {
    const writer = new FrameWriter(4096);
    const message = { exchange: 'e', routingKey: 'k', properties: Buffer.alloc(0), body: Buffer.from('hello') };
    const returned = { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'e', routingKey: 'k' };
    const got = { deliveryTag: 2 ** 40, redelivered: true, exchange: 'e', routingKey: 'k', messageCount: 9 };
    writer.content(1, 'basic.return', returned, message);
    writer.content(2, 'basic.get-ok', got, message);
    const content = { properties: '\0\0', body: 'hello' };
    expect(read(writer.take(), 4096)).toEqual([
      { name: 'basic.return', channel: 1, args: returned, ...content },
      { name: 'basic.get-ok', channel: 2, args: got, ...content },
    ]);
  });

  test('puts many small messages into few buffers, and copies no large body', () => {
    const writer = new FrameWriter(131_072);
    const small = { exchange: '', routingKey: 'q', properties, body: Buffer.alloc(100) };
    for (let index = 0; index < 1000; index++) writer.deliver(1, 'c', index, false, small);
    expect(writer.take().length).toBeLessThan(12);
    const body = Buffer.alloc(300_000);
    writer.deliver(1, 'c', 1, false, { ...small, body });
    const pieces = writer.take();
    const views = pieces.filter(({ buffer }) => buffer === body.buffer);
    expect(views.reduce((sum, { length }) => sum + length, 0)).toBe(300_000);
    expect(views.map(({ length }) => length)).toEqual([131_064, 131_064, 37_872]);
    expect(pieces.length).toBeLessThanOrEqual(7);
  });

  test('never writes into memory that it gave away', () => {
    const writer = new FrameWriter(4096);
    writer.heartbeat();
    const first = writer.take();
    const before = Buffer.concat(first).toString('hex');
    writer.ack(1, 1, true);
    expect(writer.take()[0]!.buffer).not.toBe(first[0]!.buffer);
    expect(Buffer.concat(first).toString('hex')).toBe(before);
  });

  test('cuts names that are longer than a short string, between characters', () => {
    const writer = new FrameWriter(4096);
    writer.deliver(1, 'c', 1, false, { exchange: '', routingKey: 'ä'.repeat(200), properties, body: Buffer.alloc(0) });
    expect(read(writer.take(), 4096)[0]!.args).toMatchObject({ routingKey: 'ä'.repeat(127) });
  });
});

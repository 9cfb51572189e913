/** The AMQP codec: cutting the stream, decoding methods and properties, writing deliveries and confirms. */
import { ContentAssembly } from '../../broker/listeners/amqp/content-assembly.ts';
import { FrameCutter, HEADER_FRAME, METHOD_FRAME } from '../../broker/listeners/amqp/frame-cutter.ts';
import { FrameWriter } from '../../broker/listeners/amqp/frame-writer.ts';
import { decodeMethod, encodeMethod } from '../../broker/listeners/amqp/method-codec.ts';
import { ByteWriter } from '../../src/bytes/writer.ts';
import { encodeProperties, propertyPosition, textProperty } from '../../src/messages/message-properties.ts';
import type { MicroTask } from './micro-task.ts';

const MESSAGES = 1000;
const FRAME_BYTES_MAX = 131_072;

const properties = Buffer.from(encodeProperties({ deliveryMode: 2, contentType: 'application/json' }));
const withHeaders = Buffer.from(
  encodeProperties({
    deliveryMode: 2,
    priority: 5,
    expiration: '60000',
    messageId: 'a-message-id-of-36-characters-long-00',
    headers: new Map<string, string | number>([
      ['trace-id', '0123456789abcdef'],
      ['attempt', 3],
    ]),
  }),
);
const body = Buffer.alloc(100, 'x');
const message = { exchange: 'orders', routingKey: 'orders.created', properties, body };

/** What a client sends that publishes: deliveries look the same but for the method. */
function publishes(of: Buffer): Buffer {
  const writer = new FrameWriter(FRAME_BYTES_MAX);
  for (let index = 0; index < MESSAGES; index++) {
    writer.content(
      1,
      'basic.return',
      { replyCode: 1, replyText: '', exchange: 'orders', routingKey: 'x' },
      { ...message, properties: of },
    );
  }
  return Buffer.concat(writer.take());
}

const publishPayload = (() => {
  const writer = new ByteWriter();
  encodeMethod(writer, 'basic.publish', {
    exchange: 'orders',
    routingKey: 'orders.created',
    mandatory: false,
    immediate: false,
  });
  return Buffer.from(writer.finish());
})();
const ackPayload = (() => {
  const writer = new ByteWriter();
  encodeMethod(writer, 'basic.ack', { deliveryTag: 123_456, multiple: false });
  return Buffer.from(writer.finish());
})();
const plainStream = publishes(properties);
const headersStream = publishes(withHeaders);

/** Cuts a stream into frames and puts its messages together; the method is decoded as a publish. */
function receive(stream: Buffer): number {
  const cutter = new FrameCutter(FRAME_BYTES_MAX);
  const assembly = new ContentAssembly(1_000_000);
  let bytes = 0;
  cutter.push(stream);
  while (cutter.next()) {
    const { type, payload } = cutter;
    if (type === METHOD_FRAME) {
      decodeMethod(publishPayload);
      assembly.begin();
    } else bytes += (type === HEADER_FRAME ? assembly.onHeader(payload) : assembly.onBody(payload))?.bodyBytes ?? 0;
  }
  return bytes;
}

export function amqpTasks(): MicroTask[] {
  const task = (name: string, run: () => number): MicroTask => ({ name, unit: 'message', units: MESSAGES, run });
  const writer = new FrameWriter(FRAME_BYTES_MAX);
  return [
    task('receive publishes of 100 bytes', () => receive(plainStream)),
    task('receive publishes with headers', () => receive(headersStream)),
    task('of it: decode basic.publish', () => {
      for (let index = 0; index < MESSAGES; index++) decodeMethod(publishPayload);
      return 1;
    }),
    task('decode basic.ack', () => {
      for (let index = 0; index < MESSAGES; index++) decodeMethod(ackPayload);
      return 1;
    }),
    task('read priority and expiration of properties', () => {
      let sum = 0;
      for (let index = 0; index < MESSAGES; index++) {
        sum += propertyPosition(withHeaders, 0, withHeaders.length, 'priority');
        sum += textProperty(withHeaders, 0, withHeaders.length, 'expiration')!.length;
      }
      return sum;
    }),
    task('deliver 100 bytes', () => {
      for (let index = 0; index < MESSAGES; index++) writer.deliver(1, 'consumer-tag', index, false, message);
      return writer.take().length;
    }),
    task('confirm', () => {
      for (let index = 0; index < MESSAGES; index++) writer.ack(1, index, false);
      return writer.take().length;
    }),
  ];
}

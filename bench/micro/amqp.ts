/**
 * Micro benchmark of the AMQP codec. `node dist/bench/micro/amqp.js [milliseconds per task]` after a build. Figures are per message;
 * machine and load decide, so compare within one run only.
 */
import { Bench } from 'tinybench';
import { ContentAssembly } from '../../broker/listeners/amqp/content-assembly.ts';
import { FrameCutter, HEADER_FRAME, METHOD_FRAME } from '../../broker/listeners/amqp/frame-cutter.ts';
import { FrameWriter } from '../../broker/listeners/amqp/frame-writer.ts';
import { decodeMethod, encodeMethod } from '../../broker/listeners/amqp/method-codec.ts';
import { ByteWriter } from '../../src/bytes/writer.ts';
import { encodeProperties, propertyPosition, textProperty } from '../../src/messages/message-properties.ts';

const MESSAGES = 1000;
const FRAME_BYTES_MAX = 131_072;
/** What the tasks compute, so that none of it can be left out. */
let sink = 0;

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

const bench = new Bench({ time: Number(process.argv[2] ?? 500), warmupTime: 100 });

function task(name: string, run: () => number): void {
  bench.add(name, () => {
    sink += run();
  });
}

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

task('receive publishes of 100 bytes', () => receive(plainStream));
task('receive publishes with headers', () => receive(headersStream));
task('of it: decode basic.publish', () => {
  for (let index = 0; index < MESSAGES; index++) decodeMethod(publishPayload);
  return 1;
});
task('decode basic.ack', () => {
  for (let index = 0; index < MESSAGES; index++) decodeMethod(ackPayload);
  return 1;
});
task('read priority and expiration of properties', () => {
  let sum = 0;
  for (let index = 0; index < MESSAGES; index++) {
    sum += propertyPosition(withHeaders, 0, withHeaders.length, 'priority');
    sum += textProperty(withHeaders, 0, withHeaders.length, 'expiration')!.length;
  }
  return sum;
});
const writer = new FrameWriter(FRAME_BYTES_MAX);
task('deliver 100 bytes', () => {
  for (let index = 0; index < MESSAGES; index++) writer.deliver(1, 'consumer-tag', index, false, message);
  return writer.take().length;
});
task('confirm', () => {
  for (let index = 0; index < MESSAGES; index++) writer.ack(1, index, false);
  return writer.take().length;
});

await bench.run();
for (const { name, result } of bench.tasks) {
  if (result.state !== 'completed') continue;
  const nanoseconds = (result.latency.p50 * 1e6) / MESSAGES;
  console.log(
    `${name.padEnd(48)} ${(1000 / nanoseconds).toFixed(1).padStart(8)} M/s ${nanoseconds.toFixed(0).padStart(8)} ns`,
  );
}
if (sink === 0) throw new Error('nothing was measured');

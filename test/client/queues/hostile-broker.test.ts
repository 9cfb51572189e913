/** A broker that sends nonsense, and one that answers late. */
import { expect, test } from 'vitest';
import { NO_PROPERTIES } from '../../../src/messages/message-properties.ts';
import { encodeDeliveriesPushParts } from '../../../src/protocol/frame.ts';
import { PackedDeliveriesWriter } from '../../../src/protocol/packed-deliveries.ts';
import { FakeNativeServer } from '../../support/fake-native-server.ts';
import { codeOf, connectTo, Notes } from './queue-bed.ts';

function packed(bodies: readonly string[]) {
  const writer = new PackedDeliveriesWriter();
  bodies.forEach((body, index) => {
    const bytes = Buffer.from(body);
    writer.append(index + 1, 0, {
      timestampMs: 0,
      bytes,
      exchangePosition: 0,
      exchangeBytes: 0,
      keyPosition: 0,
      keyBytes: 0,
      propertiesPosition: 0,
      propertiesBytes: NO_PROPERTIES.length,
      bodyPosition: 0,
      bodyBytes: bytes.length,
    });
  });
  return writer.finish();
}

test('deliveries that are cut off end the subscription, which begins anew', async () => {
  const server = await FakeNativeServer.start();
  const consumed = new Notes<number>();
  server.onRequest = (request) => {
    if (request.name === 'openChannel') request.answer('openChannel', {});
    if (request.name === 'closeChannel') request.answer('closeChannel', {});
    if (request.name !== 'consume') return;
    const { channelId } = request.as('consume');
    request.answer('consume', {});
    const { messages, ...rest } = packed(['one', 'two']);
    // The first time the second message lacks its end.
    const sent = consumed.list.length === 0 ? messages.subarray(0, messages.length - 1) : messages;
    server.sendRaw(Buffer.concat(encodeDeliveriesPushParts(channelId, { ...rest, messages: [sent] })));
    consumed.note(channelId);
  };
  const client = await connectTo(server.url);
  const got = new Notes<string>();
  const errors = new Notes<unknown>();
  await client.queue('q').consume(
    async (message) => {
      await Promise.resolve();
      got.note(message.text());
    },
    { onError: errors.note },
  );
  await got.count(3);
  expect(got.list).toEqual(['one', 'one', 'two']);
  expect(errors.list).toMatchObject([{ code: 'MALFORMED_FRAME' }]);
  expect(new Set(consumed.list).size).toBe(2);
});

test('publishes that are not answered in time are sent again, and fail when their time is up', async () => {
  const server = await FakeNativeServer.start();
  const published = new Notes<number>();
  server.onRequest = (request) => {
    if (request.name === 'openChannel') request.answer('openChannel', {});
    if (request.name === 'publish') published.note(request.as('publish').count);
  };
  const client = await connectTo(server.url, { requestTimeoutMs: 30, publishTimeoutMs: 200 });
  const late = Promise.all([client.exchange('').publish('a'), client.exchange('').publish('b')]);
  expect(await codeOf(late)).toBe('DELIVERY_TIMEOUT');
  expect(published.list.length).toBeGreaterThan(1);
  expect(new Set(published.list)).toEqual(new Set([2]));
});

test('answers about messages that were not published harm nobody', async () => {
  const server = await FakeNativeServer.start();
  server.onRequest = (request) => {
    if (request.name === 'openChannel') request.answer('openChannel', {});
    if (request.name !== 'publish') return;
    const run = { start: 5, end: 0xffff_ffff, errorNumber: 1, message: 'x' };
    request.answer('publish', { refused: [run], unroutable: [{ start: 7, end: 0xffff_ffff }] });
  };
  const client = await connectTo(server.url);
  await client.exchange('').publish('a');
});

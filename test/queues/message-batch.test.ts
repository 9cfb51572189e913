import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageBatchBuilder, MessageView } from '../../broker/queues/message-batch.ts';
import { getBaseTimestamp, getRecordsCount } from '../../src/records/batch-header.ts';
import { recordsSection } from '../../src/records/batch-iterator.ts';
import { checkBatch } from '../../src/records/check-batch.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';

const bytes = fc.uint8Array({ maxLength: 300 });
const message = fc.record({
  exchange: fc.string({ unit: 'grapheme', maxLength: 60 }),
  routingKey: fc.string({ unit: 'grapheme', maxLength: 100 }),
  properties: bytes,
  body: fc.array(bytes, { maxLength: 4 }),
  timestampMs: fc.integer({ min: 0, max: 2 ** 42 }),
});

test('messages are read back as they were published, and every batch is one that a log takes', () => {
  const builder = new MessageBatchBuilder();
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 60 }), (messages) => {
      for (const each of messages) builder.append(each.timestampMs, each);
      expect(builder.count).toBe(messages.length);
      const { byteCount } = builder;
      const batch = builder.finish();
      expect(batch.length).toBe(byteCount);
      expect(builder.count).toBe(0);
      expect(checkBatch(batch, 0, batch.length, { batchBytesMax: 2 ** 30 })).toBe(batch.length);
      expect(getRecordsCount(batch, 0)).toBe(messages.length);
      const cursor = new RecordCursor(recordsSection(batch, 0));
      const view = new MessageView();
      for (const [index, each] of messages.entries()) {
        expect(cursor.next()).toBe(true);
        expect(view.set(cursor, index, getBaseTimestamp(batch, 0) + cursor.timestampDelta)).toBe(true);
        expect({
          exchange: view.exchange,
          routingKey: view.routingKey,
          properties: view.properties,
          body: view.body,
          timestampMs: view.timestampMs,
          offset: view.offset,
        }).toEqual({
          exchange: each.exchange,
          routingKey: each.routingKey,
          properties: Buffer.from(each.properties),
          body: Buffer.concat(each.body),
          timestampMs: each.timestampMs,
          offset: index,
        });
      }
      expect(cursor.next()).toBe(false);
      expect(cursor.ok).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test('a batch keeps its bytes when the builder goes on', () => {
  const builder = new MessageBatchBuilder();
  const publish = (text: string): void =>
    builder.append(1, { exchange: '', routingKey: 'k', properties: Buffer.alloc(0), body: [Buffer.from(text)] });
  publish('first');
  const first = builder.finish();
  const copy = Buffer.from(first);
  for (let index = 0; index < 100; index++) publish('second'.repeat(50));
  builder.finish();
  expect(first.equals(copy)).toBe(true);
  expect(() => builder.finish()).toThrow(/at least one/);
});

test('a record that is no message is not taken for one', () => {
  const builder = new MessageBatchBuilder();
  builder.append(1, { exchange: 'e', routingKey: 'k', properties: Buffer.from([1]), body: [] });
  const batch = builder.finish();
  const section = Buffer.from(recordsSection(batch, 0));
  // The name of the first header.
  section[section.indexOf('p')] = 0x7a;
  const cursor = new RecordCursor(section);
  expect(cursor.next()).toBe(true);
  expect(new MessageView().set(cursor, 0, 0)).toBe(false);
});

import { describe, expect, test } from 'vitest';
import type { ProduceRequest } from '../../broker/partitions/broker-service.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import type { StoredTarget } from '../../broker/queues/message-log.ts';
import { recordKeyOf, TopicTarget, type TopicTargetOptions } from '../../broker/queues/topic-target.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { encodeProperties } from '../../src/messages/message-properties.ts';
import { getRecordsCount } from '../../src/records/batch-header.ts';
import { decodeRecords, recordsSection } from '../../src/records/batch-iterator.ts';
import { createTopic, fetchFrom, fetchRequest, startTestNode, type TestNode } from '../support/node-environment.ts';

class Publisher implements StoredTarget {
  readonly told: string[] = [];

  onStored(first: number, last: number): void {
    this.told.push(`${first}-${last}`);
  }

  onNotStored(first: number, last: number, error: BurrowError): void {
    this.told.push(`${first}-${last} ${error.code}`);
  }
}

function targetOn(node: TestNode, topic: string, options: Partial<TopicTargetOptions> = {}): TopicTarget {
  return new TopicTarget({
    topic,
    partitionCount: () => node.topics.get(topic)?.describe().partitions.length ?? 0,
    produce: (request) => node.service.produce(request),
    batchBytesMax: () => 64 * 1024,
    clock: node.clock,
    ...options,
  });
}

function message(routingKey: string, body: string, properties: Uint8Array = new Uint8Array(0)) {
  return { exchange: 'x', routingKey, properties, body: [Buffer.from(body.slice(0, 1)), Buffer.from(body.slice(1))] };
}

async function recordsOf(node: TestNode, topic: string, partition: number) {
  const [fetched] = await node.service.fetch(fetchRequest([fetchFrom(topic, 0, { partition })])).done;
  return (fetched?.records ?? []).flatMap((bytes) =>
    decodeRecords(bytes, 0, recordsSection(bytes, 0)).map(({ key, value, timestampMs, headers }) => ({
      key: Buffer.from(key!).toString(),
      value: Buffer.from(value!).toString(),
      timestampMs,
      headers: headers.map((header) => `${header.key}=${Buffer.from(header.value!).toString()}`),
    })),
  );
}

describe('a topic that an exchange is bound to', () => {
  test('gets messages as records, with the routing key as key, and confirms them once stored', async () => {
    const node = await startTestNode();
    await createTopic(node, 't');
    const target = targetOn(node, 't');
    const publisher = new Publisher();
    const properties = encodeProperties({ contentType: 'text/plain', headers: new Map([['tenant', 'a']]) });
    target.publish(message('k', 'hello', properties), publisher, 1);
    target.publish(message('k', 'world'), publisher, 2);
    expect(publisher.told).toEqual([]);
    await target.settled();
    expect(publisher.told).toEqual(['1-2']);
    const timestampMs = node.clock.now();
    expect(await recordsOf(node, 't', 0)).toEqual([
      {
        key: 'k',
        value: 'hello',
        timestampMs,
        headers: ['tenant=a', 'amqp-exchange=x', 'amqp-content-type=text/plain'],
      },
      { key: 'k', value: 'world', timestampMs, headers: ['amqp-exchange=x'] },
    ]);
  });

  test('gets them by message id if the binding says so', async () => {
    const node = await startTestNode();
    await createTopic(node, 't');
    const key = recordKeyOf([{ arguments: new Map() }, { arguments: new Map([['x-record-key', 'message-id']]) }]);
    const target = targetOn(node, 't', { key });
    target.publish(message('k', 'a', encodeProperties({ messageId: 'm' })), new Publisher(), 1);
    target.publish(message('k', 'b'), new Publisher(), 2);
    await target.settled();
    expect(await recordsOf(node, 't', 0)).toMatchObject([
      { key: 'm', headers: ['amqp-exchange=x', 'amqp-routing-key=k', 'amqp-message-id=m'] },
      { key: 'k', headers: ['amqp-exchange=x'] },
    ]);
    expect(recordKeyOf([{ arguments: new Map() }])).toBe('routing-key');
  });

  test('has the key’s partition of Kafka’s partitioner', async () => {
    const node = await startTestNode();
    await createTopic(node, 't', 3);
    const target = targetOn(node, 't');
    // By Java's Utils.toPositive(Utils.murmur2(key)) % 3, as in test/golden/java-murmur2.tsv and the partitioner's tests.
    const { Partitioner } = await import('../../src/partitioner.ts');
    const keys = Array.from({ length: 30 }, (_, index) => `key ${index}`);
    for (const [index, key] of keys.entries()) target.publish(message(key, key), new Publisher(), index);
    await target.settled();
    const found = await Promise.all([0, 1, 2].map((partition) => recordsOf(node, 't', partition)));
    for (const key of keys) {
      const partition = new Partitioner().choose(Buffer.from(key), 3);
      expect(found[partition]!.map((record) => record.key)).toContain(key);
    }
    expect(found.every((records) => records.length > 0)).toBe(true);
  });

  test('gets what gathers while a batch is on its way as the next batch, closed before it is too large', async () => {
    const requests: ProduceRequest[] = [];
    const answers: Array<() => void> = [];
    const target = new TopicTarget({
      topic: 't',
      partitionCount: () => 1,
      produce: (request) => {
        requests.push(request);
        return new Promise((resolve) => {
          answers.push(() => resolve({ baseOffset: 0, logAppendTimeMs: -1, logStartOffset: 0 }));
        });
      },
      batchBytesMax: () => 500,
      clock: new ManualClock(),
    });
    const publisher = new Publisher();
    const publish = (from: number, to: number, body = 'a'): void => {
      for (let number = from; number <= to; number++) target.publish(message('k', body), publisher, number);
    };
    const counts = () => requests.map(({ records }) => getRecordsCount(records, 0));
    publish(1, 3);
    await Promise.resolve();
    publish(4, 6);
    await Promise.resolve();
    expect(counts()).toEqual([3]);
    answers[0]!();
    await new Promise((resolve) => setImmediate(resolve));
    expect(counts()).toEqual([3, 3]);
    expect(publisher.told).toEqual(['1-3']);
    // A full one does not wait.
    publish(7, 10, 'x'.repeat(200));
    expect(counts()).toEqual([3, 3, 1, 1, 1]);
    expect(requests.every(({ acks }) => acks === -1)).toBe(true);
    for (const { records } of requests) expect(records.length).toBeLessThanOrEqual(500);
    // Told in order, whatever is answered first.
    answers[3]!();
    await new Promise((resolve) => setImmediate(resolve));
    expect(publisher.told).toEqual(['1-3']);
    for (const answer of answers) answer();
    await new Promise((resolve) => setImmediate(resolve));
    for (const answer of answers) answer();
    await target.settled();
    expect(publisher.told).toEqual(['1-3', '4-6', '7-7', '8-8', '9-9', '10-10']);
  });

  test('refuses alone what is too large for it, and tells why', async () => {
    const node = await startTestNode();
    await createTopic(node, 't', 1, { 'max.message.bytes': '1000' });
    const target = targetOn(node, 't', { batchBytesMax: () => 1000 });
    const publisher = new Publisher();
    target.publish(message('k', 'a'), publisher, 1);
    target.publish(message('k', 'x'.repeat(2000)), publisher, 2);
    target.publish(message('k', 'b'), publisher, 3);
    await target.settled();
    expect(publisher.told).toEqual(['1-1', '2-2 RECORD_TOO_LARGE', '3-3']);
    expect((await recordsOf(node, 't', 0)).map(({ value }) => value)).toEqual(['a', 'b']);
  });

  test('that is gone takes what is on its way as unrouted, or refuses it', async () => {
    const node = await startTestNode();
    const publisher = new Publisher();
    targetOn(node, 'gone').publish(message('k', 'a'), publisher, 1);
    expect(publisher.told).toEqual(['1-1']);
    const refusal = new BurrowError('UNKNOWN_TOPIC_OR_PARTITION');
    targetOn(node, 'gone', { refusal }).publish(message('k', 'a'), publisher, 2);
    expect(publisher.told).toEqual(['1-1', '2-2 UNKNOWN_TOPIC_OR_PARTITION']);
  });
});

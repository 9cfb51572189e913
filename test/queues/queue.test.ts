import { describe, expect, test } from 'vitest';
import { MemoryDisk } from '../../broker/ports/memory-disk.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldValue } from '../../src/messages/field-value.ts';
import { encodeProperties } from '../../src/messages/message-properties.ts';
import { properties } from '../support/content-properties.ts';
import { settle, startTestNode } from '../support/node-environment.ts';
import { openQueue, publish } from '../support/queue-bed.ts';

describe.each(['in memory', 'on a log'] as const)('a queue %s', (where) => {
  const open = async (options: Parameters<typeof openQueue>[0] = {}) =>
    openQueue({ ...options, ...(where === 'on a log' ? { node: await startTestNode() } : {}) });

  test('hands out messages in order, to each consumer at most its prefetch', async () => {
    const { queue, channel, publish } = await open();
    const client = channel();
    client.channel.setPrefetch(2, { global: false });
    client.consume(queue);
    await publish('a', 'b', 'c', 'd');
    expect(client.bodies()).toEqual(['a', 'b']);
    client.channel.acknowledge(1, false);
    expect(client.bodies()).toEqual(['c']);
    client.channel.acknowledge(0, true);
    expect(client.bodies()).toEqual(['d']);
    expect(queue.readyCount).toBe(0);
    expect(queue.unsettledCount).toBe(1);
  });

  test('takes consumers in turn', async () => {
    const { queue, channel, publish } = await open();
    const [one, two] = [channel(), channel()];
    one.consume(queue);
    two.consume(queue);
    await publish('a', 'b', 'c', 'd');
    expect([one.bodies(), two.bodies()]).toEqual([
      ['a', 'c'],
      ['b', 'd'],
    ]);
  });

  test('serves consumers of a higher priority first, others when those have no credit', async () => {
    const { queue, channel, publish } = await open();
    const [low, high] = [channel(), channel()];
    high.channel.setPrefetch(2, { global: false });
    low.consume(queue);
    high.consume(queue, { priority: 5 });
    await publish('a', 'b', 'c');
    expect([high.bodies(), low.bodies()]).toEqual([['a', 'b'], ['c']]);
  });

  test('has one active consumer if told so, and the next one when it goes', async () => {
    const { queue, channel, publish } = await open({ settings: { singleActiveConsumer: true } });
    const [one, two] = [channel(), channel()];
    one.consume(queue);
    two.consume(queue);
    await publish('a', 'b');
    expect([one.bodies(), two.bodies()]).toEqual([['a', 'b'], []]);
    one.channel.close();
    expect(two.deliveries.map(({ body, returns }) => [body, returns])).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
  });

  test('puts back what is requeued to its place, marked as returned', async () => {
    const { queue, channel, publish } = await open();
    const client = channel();
    client.channel.setPrefetch(3, { global: false });
    client.consume(queue);
    await publish('a', 'b', 'c', 'd');
    client.deliveries.length = 0;
    client.channel.reject(1, { multiple: false, requeue: true });
    expect(client.deliveries).toMatchObject([{ body: 'a', returns: 1, tag: 4 }]);
    client.channel.recover();
    expect(client.deliveries.slice(1).map(({ body }) => body)).toEqual(['a', 'b', 'c']);
  });

  test('gives single messages to who asks, and none when it is empty', async () => {
    const { queue, channel, publish } = await open();
    const client = channel();
    void publish('a');
    expect(await client.get(queue)).toMatchObject({ body: 'a', tag: 1, returns: 0 });
    expect(await client.get(queue)).toBeUndefined();
    client.channel.reject(1, { multiple: false, requeue: true });
    expect(await client.get(queue, true)).toMatchObject({ body: 'a', returns: 1 });
    expect(queue.unsettledCount).toBe(0);
  });

  test('delivers without acknowledgments where none are wanted', async () => {
    const { queue, channel, publish } = await open();
    const client = channel();
    client.channel.setPrefetch(1, { global: false });
    client.consume(queue, { noAck: true });
    await publish('a', 'b', 'c');
    expect(client.bodies()).toEqual(['a', 'b', 'c']);
    expect([queue.readyCount, queue.unsettledCount]).toEqual([0, 0]);
    expect(() => client.channel.acknowledge(1, false)).toThrow(/unknown delivery tag 1/);
  });

  test('does not deliver to a client that does not read', async () => {
    const { queue, channel, publish } = await open();
    const client = channel();
    client.isWritable = false;
    client.consume(queue);
    await publish('a');
    expect(client.bodies()).toEqual([]);
    client.isWritable = true;
    client.channel.onWritable();
    expect(client.bodies()).toEqual(['a']);
  });

  test('keeps to a prefetch over the whole channel', async () => {
    const { queue, channel, publish } = await open();
    const client = channel();
    client.channel.setPrefetch(2, { global: true });
    client.consume(queue, { tag: 'one' });
    client.consume(queue, { tag: 'two' });
    await publish('a', 'b', 'c', 'd');
    expect(client.bodies()).toEqual(['a', 'b']);
    client.channel.acknowledge(2, true);
    expect(client.bodies()).toEqual(['c', 'd']);
  });

  test('hands out the highest priority first, in order within one', async () => {
    const { queue, channel } = await open({ settings: { maxPriority: 5 } });
    await Promise.all(
      [1, 5, 0, 9, 1].map((priority, index) =>
        publish(queue, `${priority}-${index}`, { properties: properties({ priority }) }),
      ),
    );
    const client = channel();
    client.consume(queue);
    expect(client.bodies()).toEqual(['5-1', '9-3', '1-0', '1-4', '0-2']);
  });

  test('removes messages whose time is over, at the head of the queue', async () => {
    const { queue, channel, clock, dead, publish } = await open({
      settings: { messageTtlMs: 1000, deadLetterExchange: 'dlx' },
    });
    await publish('a');
    clock.advance(600);
    await publish('b');
    clock.advance(500);
    await settle();
    expect(dead).toEqual([{ body: 'a', reason: 'expired' }]);
    const client = channel();
    client.consume(queue);
    expect(client.bodies()).toEqual(['b']);
  });

  test('takes the shorter of the message’s own time and the queue’s', async () => {
    const { queue, clock, dead } = await open({ settings: { messageTtlMs: 1000, deadLetterExchange: 'dlx' } });
    await publish(queue, 'a', { properties: properties({ expiration: '100' }) });
    await publish(queue, 'b', { properties: properties({ expiration: '5000' }) });
    clock.advance(150);
    await settle();
    expect(dead.map(({ body }) => body)).toEqual(['a']);
    clock.advance(900);
    await settle();
    expect(dead.map(({ body }) => body)).toEqual(['a', 'b']);
    expect(queue.readyCount).toBe(0);
  });

  test('with a time to live of 0 a message goes to a consumer that waits, or nowhere', async () => {
    const { queue, channel, publish, dead, clock } = await open({
      settings: { messageTtlMs: 0, deadLetterExchange: 'dlx' },
    });
    const client = channel();
    client.channel.setPrefetch(1, { global: false });
    client.consume(queue);
    await publish('a');
    expect(client.bodies()).toEqual(['a']);
    await publish('b');
    clock.advance(10);
    await settle();
    expect(dead).toEqual([{ body: 'b', reason: 'expired' }]);
    client.channel.acknowledge(1, false);
    expect(client.bodies()).toEqual([]);
    // What comes back has waited.
    await publish('c');
    expect(client.bodies()).toEqual(['c']);
    client.channel.reject(2, { multiple: false, requeue: true });
    expect(client.bodies()).toEqual([]);
    expect(dead.at(-1)).toEqual({ body: 'c', reason: 'expired' });
  });

  test('takes no settlement up to a tag that is settled, and all with tag 0', async () => {
    const { queue, channel, publish } = await open();
    const client = channel();
    client.consume(queue);
    await publish('a', 'b', 'c');
    client.channel.acknowledge(2, false);
    for (const tag of [2, 4]) {
      expect(() => client.channel.acknowledge(tag, true)).toThrow(`unknown delivery tag ${tag}`);
      expect(() => client.channel.checkUnsettled(tag, true)).toThrow(`unknown delivery tag ${tag}`);
    }
    expect(queue.unsettledCount).toBe(2);
    client.channel.checkUnsettled(0, true);
    client.channel.acknowledge(0, true);
    client.channel.acknowledge(0, true);
    expect(queue.unsettledCount).toBe(0);
    expect(() => client.channel.acknowledge(0, false)).toThrow('unknown delivery tag 0');
  });

  test('has no exclusive consumer where one at a time is active', async () => {
    const { queue, channel } = await open({ settings: { singleActiveConsumer: true } });
    expect(() => channel().consume(queue, { exclusive: true })).toThrow("queue 'q' in exclusive use");
  });

  test('drops from the head, or refuses, when it is too long', async () => {
    const dropping = await open({ settings: { maxLength: 2, deadLetterExchange: 'dlx' } });
    await dropping.publish('a', 'b', 'c');
    expect(dropping.dead).toEqual([{ body: 'a', reason: 'maxlen' }]);
    const refusing = await open({ settings: { maxLength: 2, overflow: 'reject-publish' } });
    expect(await refusing.publish('a', 'b', 'c')).toEqual([true, true, false]);
    // No message may lead beyond the limit; a smaller one may still fit (rabbit_amqqueue_process:will_overflow).
    const refusingBytes = await open({ settings: { maxLengthBytes: 5, overflow: 'reject-publish' } });
    expect(await refusingBytes.publish('aaa', 'bbb', 'cc', 'd')).toEqual([true, false, true, false]);
    const bytes = await open({ settings: { maxLengthBytes: 5 } });
    await bytes.publish('aaa', 'bbb', 'c');
    const client = bytes.channel();
    client.consume(bytes.queue);
    expect(client.bodies()).toEqual(['bbb', 'c']);
  });

  test('dead-letters what is rejected, and keeps it until that has arrived', async () => {
    const bed = await open({ settings: { deadLetterExchange: 'dlx' } });
    const client = bed.channel();
    client.consume(bed.queue);
    await bed.publish('a', 'b');
    bed.deadLettersArrive = false;
    client.channel.reject(1, { multiple: false, requeue: false });
    expect(bed.queue.readyCount + bed.queue.unsettledCount).toBe(2);
    bed.deadLettersArrive = true;
    client.channel.reject(2, { multiple: false, requeue: false });
    expect(bed.dead).toEqual([{ body: 'b', reason: 'rejected' }]);
    bed.clock.advance(1000);
    expect(client.deliveries.at(-1)).toMatchObject({ body: 'a' });
  });

  test('gives up on a message that came back too often', async () => {
    const bed = await open({ settings: { deliveryLimit: 2, deadLetterExchange: 'dlx' } });
    const client = bed.channel();
    client.consume(bed.queue);
    await bed.publish('a');
    for (let tag = 1; tag <= 3; tag++) client.channel.reject(tag, { multiple: false, requeue: true });
    expect(client.deliveries.map(({ returns }) => returns)).toEqual([0, 1, 2]);
    expect(bed.dead).toEqual([{ body: 'a', reason: 'delivery_limit' }]);
  });

  test('delays what comes back, longer each time', async () => {
    const bed = await open({ settings: { delayedRetryType: 'all', delayedRetryMinMs: 100, delayedRetryMaxMs: 150 } });
    const client = bed.channel();
    client.consume(bed.queue);
    await bed.publish('a', 'b');
    client.channel.acknowledge(2, false);
    client.channel.reject(1, { multiple: false, requeue: true });
    expect(client.deliveries).toHaveLength(2);
    bed.clock.advance(100);
    expect(client.deliveries.at(-1)).toMatchObject({ body: 'a', returns: 1 });
    client.channel.reject(3, { multiple: false, requeue: true });
    bed.clock.advance(140);
    expect(client.deliveries).toHaveLength(3);
    bed.clock.advance(10);
    expect(client.deliveries.at(-1)).toMatchObject({ body: 'a', returns: 2 });
  });

  test('has one message of a group in process at a time, in order, while others flow on', async () => {
    const { queue, channel } = await open({ settings: { groupKeyHeader: '' } });
    const [one, two] = [channel(), channel()];
    one.consume(queue);
    two.consume(queue);
    for (const [body, routingKey] of [
      ['a1', 'a'],
      ['a2', 'a'],
      ['b1', 'b'],
      ['a3', 'a'],
      ['b2', 'b'],
    ] as const)
      await publish(queue, body, { routingKey });
    const all = () => [...one.deliveries, ...two.deliveries].map(({ body }) => body).sort();
    expect(all()).toEqual(['a1', 'b1']);
    one.channel.reject(1, { multiple: false, requeue: true });
    expect(all()).toEqual(['a1', 'a1', 'b1']);
    const acknowledgeLast = (wanted: string): void => {
      for (const client of [one, two]) {
        const found = client.deliveries.findLast(({ body }) => body === wanted);
        if (found !== undefined) client.channel.acknowledge(found.tag, false);
      }
    };
    acknowledgeLast('b1');
    acknowledgeLast('a1');
    expect(all()).toEqual(['a1', 'a1', 'a2', 'b1', 'b2']);
    acknowledgeLast('a2');
    expect(all()).toEqual(['a1', 'a1', 'a2', 'a3', 'b1', 'b2']);
  });

  test('takes the group from a header, text or number; what has none is in no group', async () => {
    const { queue, channel } = await open({ settings: { groupKeyHeader: 'customer' } });
    const client = channel();
    client.consume(queue);
    for (const [body, customer] of [
      ['a1', 'a'],
      ['a2', 'a'],
      ['seven1', 7],
      ['seven2', '7'],
      ['none1', undefined],
      ['none2', undefined],
      ['list1', []],
      ['empty1', ''],
      ['empty2', ''],
    ] as const) {
      const headers = new Map<string, FieldValue>(customer === undefined ? [] : [['customer', customer]]);
      await publish(queue, body, { properties: encodeProperties({ headers }) });
    }
    expect(client.bodies()).toEqual(['a1', 'seven1', 'none1', 'none2', 'list1', 'empty1']);
    client.channel.acknowledge(0, true);
    expect(client.bodies()).toEqual(['a2', 'seven2', 'empty2']);
  });

  test('is empty after a purge, but for what is unsettled', async () => {
    const { queue, channel, publish } = await open();
    const client = channel();
    client.channel.setPrefetch(1, { global: false });
    client.consume(queue);
    await publish('a', 'b', 'c');
    void publish('d');
    expect(await queue.purge()).toBe(3);
    expect([queue.readyCount, queue.unsettledCount]).toEqual([0, 1]);
    await publish('e');
    client.channel.acknowledge(1, false);
    expect(client.bodies()).toEqual(['a', 'e']);
  });

  test('tells publishers that a message is not stored once it is closed', async () => {
    const { queue, publish } = await open();
    queue.close(new BurrowError('QUEUE_NOT_FOUND'));
    await expect(publish('a')).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
  });

  test('keeps a message that was asked for by a client that has gone, and hands it to others', async () => {
    const { queue, channel, publish } = await open();
    const [gone, there] = [channel(), channel()];
    for (const noAck of [false, true]) {
      const got = gone.get(queue, noAck);
      const published = publish('a');
      gone.channel.close();
      await got;
      await published;
    }
    expect([queue.readyCount, queue.unsettledCount]).toEqual([2, 0]);
    there.consume(queue);
    expect(there.deliveries.map(({ body, returns }) => [body, returns])).toEqual([
      ['a', 0],
      ['a', 0],
    ]);
  });

  test('hands out nothing newer before all that a call gives back has come back', async () => {
    const { queue, channel, publish } = await open();
    const [closing, other] = [channel(), channel()];
    closing.channel.setPrefetch(3, { global: true });
    other.channel.setPrefetch(1, { global: false });
    closing.consume(queue);
    await publish('a', 'b', 'c', 'd');
    other.consume(queue);
    expect(other.bodies()).toEqual(['d']);
    await publish('e', 'f');
    other.channel.setPrefetch(3, { global: false });
    other.channel.acknowledge(0, true);
    expect(other.bodies()).toEqual(['e']);
    other.consume(queue, { tag: 'second' });
    other.bodies();
    other.channel.acknowledge(0, true);
    closing.channel.close();
    expect(other.bodies()).toEqual(['a', 'b', 'c']);
  });

  test('counts bytes rightly when a dead letter finds no place', async () => {
    const bed = await open({ settings: { maxLengthBytes: 5, deadLetterExchange: 'dlx' } });
    bed.deadLettersArrive = false;
    for (let round = 0; round < 3; round++) {
      await bed.publish('aaaa');
      const client = bed.channel();
      client.channel.setPrefetch(1, { global: false });
      client.consume(bed.queue);
      client.channel.reject(0, { multiple: true, requeue: false });
      client.channel.close();
      bed.clock.advance(1000);
    }
    bed.deadLettersArrive = true;
    await bed.publish('b');
    const client = bed.channel();
    client.consume(bed.queue);
    expect(client.bodies().join('').length).toBeLessThanOrEqual(5);
  });

  test('keeps a group waiting while its first message is delayed', async () => {
    const { queue, channel, clock } = await open({
      settings: { groupKeyHeader: '', delayedRetryType: 'all', delayedRetryMinMs: 100, delayedRetryMaxMs: 100 },
    });
    const client = channel();
    client.consume(queue);
    for (const body of ['a1', 'a2']) await publish(queue, body, { routingKey: 'a' });
    client.channel.reject(1, { multiple: false, requeue: true });
    await publish(queue, 'a3', { routingKey: 'a' });
    expect(client.bodies()).toEqual(['a1']);
    clock.advance(100);
    expect(client.bodies()).toEqual(['a1']);
    client.channel.acknowledge(0, true);
    client.channel.acknowledge(0, true);
    client.channel.acknowledge(0, true);
    expect(client.bodies()).toEqual(['a2', 'a3']);
  });

  test('gives a free group key to the one that waits, not to a newcomer of a higher priority', async () => {
    const { queue, channel } = await open({ settings: { groupKeyHeader: '', maxPriority: 5 } });
    const client = channel();
    client.channel.setPrefetch(1, { global: false });
    const send = (body: string, priority: number): Promise<boolean> =>
      publish(queue, body, { routingKey: 'a', properties: properties({ priority }) });
    client.consume(queue);
    await send('first', 0);
    const other = channel();
    other.consume(queue);
    await send('low', 0);
    await send('high', 5);
    other.channel.close();
    await send('higher', 5);
    for (let count = 0; count < 4; count++) client.channel.acknowledge(0, true);
    expect(client.bodies()).toEqual(['first', 'low', 'high', 'higher']);
  });

  test('tells its consumers when it is closed', async () => {
    const { queue, channel } = await open();
    const client = channel();
    client.consume(queue);
    queue.close(new BurrowError('QUEUE_NOT_FOUND'));
    expect(client.cancelled).toEqual(['c']);
    expect(() => client.consume(queue)).toThrow();
  });
});

test('a queue that was emptied is empty after a restart, and goes on with priorities in their places', async () => {
  const node = await startTestNode();
  const settings = { maxPriority: 5 };
  const before = await openQueue({ node, settings });
  await before.publish('a', 'b', 'c');
  const client = before.channel();
  client.consume(before.queue, { noAck: true });
  await before.queue.settlementsSynced();
  await node.stop();
  const { disk, clock, coordinator } = node;
  const bed = await openQueue({ node: await startTestNode({ disk, clock, coordinator }), settings });
  expect(bed.queue.readyCount).toBe(0);
  await publish(bed.queue, 'low');
  await publish(bed.queue, 'high', { properties: properties({ priority: 5 }) });
  expect(bed.queue.readyCount).toBe(2);
  const next = bed.channel();
  next.consume(bed.queue, { noAck: true });
  expect(next.bodies()).toEqual(['high', 'low']);
});

describe('a queue that is opened again', () => {
  test('is empty if everything was settled', async () => {
    const node = await startTestNode();
    const bed = await openQueue({ node });
    const client = bed.channel();
    client.consume(bed.queue, { noAck: true });
    await bed.publish('a', 'b');
    await bed.queue.settlementsSynced();
    const again = await openQueue({ node });
    expect(again.queue.readyCount).toBe(0);
    await again.publish('c');
    expect(again.queue.readyCount).toBe(1);
  });

  test('keeps what was settled, returned and given a priority', async () => {
    const node = await startTestNode();
    const settings = { maxPriority: 5, deliveryLimit: 10 };
    const bed = await openQueue({ node, settings });
    for (const [body, priority] of Object.entries({ a: 1, b: 5, c: 0, d: 5 })) {
      await publish(bed.queue, body, { properties: properties({ priority }) });
    }
    const client = bed.channel();
    client.consume(bed.queue);
    client.channel.acknowledge(2, false);
    client.channel.reject(3, { multiple: false, requeue: true });
    await bed.queue.settlementsSynced();
    const again = await openQueue({ node, settings });
    const other = again.channel();
    other.consume(again.queue);
    expect(other.deliveries.map(({ body, returns }) => [body, returns])).toEqual([
      ['b', 0],
      ['a', 1],
      ['c', 0],
    ]);
  });

  test('does not take settlements of messages that were lost for settlements of those to come', async () => {
    const node = await startTestNode();
    const bed = await openQueue({ node, name: 'old' });
    const client = bed.channel();
    client.consume(bed.queue, { noAck: true });
    await bed.publish('a', 'b', 'c');
    await bed.queue.settlementsSynced();
    // As after a power loss without a sync on every write.
    await openQueue({ node, name: 'new' });
    const logs = { node, name: 'new', settlementsOf: 'old' };
    const survivor = await openQueue(logs);
    await survivor.publish('d', 'e');
    expect(survivor.queue.readyCount).toBe(2);
    const again = await openQueue(logs);
    expect(again.queue.readyCount).toBe(2);
  });

  test('goes on by itself after messages could not be read', async () => {
    const disk = new MemoryDisk();
    const node = await startTestNode({ disk });
    const bed = await openQueue({ node });
    await bed.publish(...Array.from({ length: 200 }, (_, index) => `${index} ${'.'.repeat(2000)}`));
    await node.logs.checkpoint();
    await node.stop();
    const second = await startTestNode({ disk, coordinator: node.coordinator, clock: node.clock });
    const again = await openQueue({ node: second });
    disk.inject({ on: 'read', probability: 1 });
    const client = again.channel();
    client.consume(again.queue);
    await settle();
    expect(client.deliveries).toHaveLength(0);
    expect(again.queue.failure?.code).toBe('STORAGE_ERROR');
    disk.clearFaults();
    for (let tries = 0; tries < 500 && client.deliveries.length < 200; tries++) {
      again.clock.advance(1000);
      await settle();
    }
    expect(client.deliveries).toHaveLength(200);
    expect(again.queue.failure).toBeUndefined();
  });
});

test('whoever asks while others wait is told no earlier, and is told again of what failed', async () => {
  const bed = await openQueue({ node: await startTestNode() });
  const client = bed.channel();
  client.consume(bed.queue);
  await bed.publish('a', 'b');
  const outcomes: Array<(error?: Error) => void> = [];
  bed.queue.settlementsSynced = () =>
    new Promise((resolve, reject) => outcomes.push((error) => (error === undefined ? resolve() : reject(error))));
  const told: string[] = [];
  const ask = (name: string): void => {
    client.channel.settlementsSynced().then(
      () => told.push(name),
      () => told.push(`${name} failed`),
    );
  };
  client.channel.acknowledge(1, false);
  ask('first');
  ask('second');
  await settle();
  expect(told).toEqual([]);
  for (const answer of outcomes.splice(0)) answer(new Error('the disk is gone'));
  await settle();
  expect(told).toEqual(['first failed', 'second failed']);
  ask('third');
  client.channel.acknowledge(2, false);
  outcomes.splice(0)[0]!();
  await settle();
  ask('fourth');
  await settle();
  expect(told.slice(2)).toEqual(['third']);
  outcomes.splice(0)[0]!();
  await settle();
  expect(told.slice(2)).toEqual(['third', 'fourth']);
  ask('fifth');
  await settle();
  expect([told.at(-1), outcomes.length]).toEqual(['fifth', 0]);
});

test('of a queue that was deleted, what was settled needs no storing any more', async () => {
  const disk = new MemoryDisk();
  const bed = await openQueue({ node: await startTestNode({ disk }) });
  const client = bed.channel();
  client.consume(bed.queue);
  await bed.publish('a');
  disk.inject({ on: 'write', probability: 1 });
  client.channel.acknowledge(1, false);
  await expect(client.channel.settlementsSynced()).rejects.toMatchObject({ code: 'STORAGE_ERROR' });
  bed.queue.close(new BurrowError('QUEUE_NOT_FOUND'));
  await client.channel.settlementsSynced();
});

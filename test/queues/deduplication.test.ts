import { describe, expect, test } from 'vitest';
import type { BatchLog } from '../../broker/queues/batch-log.ts';
import { Deduplication, type DeduplicationOptions } from '../../broker/queues/deduplication.ts';
import type { StoredTarget } from '../../broker/queues/message-log.ts';
import type { Queue } from '../../broker/queues/queue.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { encodeProperties, type MessageProperties } from '../../src/messages/message-properties.ts';
import { crashAtEveryOperation } from '../support/halted-node.ts';
import { settle, startTestNode, type TestNode } from '../support/node-environment.ts';
import { memoryLogs, openQueue, partitionLogs, type QueueBed } from '../support/queue-bed.ts';

interface DeduplicatedBed extends QueueBed {
  readonly deduplication: Deduplication;
  readonly messages: BatchLog;
  /** Resolves with true when it is confirmed, with false if the queue is full. */
  send(body: string, properties: MessageProperties, more?: { isDeadLetter?: boolean }): Promise<boolean>;
}

async function open(node?: TestNode, options: Partial<DeduplicationOptions> = {}): Promise<DeduplicatedBed> {
  const logs = node === undefined ? memoryLogs('q') : await partitionLogs(node, 'q');
  const clock = node?.clock;
  let deduplication!: Deduplication;
  const bed = await openQueue({
    ...(clock === undefined ? {} : { clock }),
    logs: async (theClock) => {
      deduplication = new Deduplication({ clock: theClock, ...options });
      await deduplication.load(logs.messages, 4096);
      if (node === undefined) return logs;
      return { messages: deduplication.retaining(logs.messages), settlements: logs.settlements };
    },
  });
  return {
    ...bed,
    deduplication,
    messages: logs.messages,
    send: (body, properties, more) => send(deduplication, bed.queue, body, properties, more),
  };
}

function send(
  deduplication: Deduplication,
  queue: Pick<Queue, 'publish' | 'nextOffset'>,
  body: string,
  properties: MessageProperties,
  more: { isDeadLetter?: boolean } = {},
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const target: StoredTarget = {
      onStored: () => resolve(true),
      onNotStored: (_first, _last, error) => reject(error),
    };
    const message = {
      exchange: '',
      routingKey: 'q',
      properties: encodeProperties(properties),
      body: [Buffer.from(body)],
      ...more,
    };
    if (!deduplication.publish(queue, message, target, 7)) resolve(false);
  });
}

async function drain({ queue, channel }: QueueBed): Promise<string[]> {
  const client = channel();
  const bodies: string[] = [];
  for (let got = await client.get(queue, true); got !== undefined; got = await client.get(queue, true)) {
    bodies.push(got.body);
  }
  return bodies;
}

const header = (id: string): MessageProperties => ({ headers: new Map([['x-deduplication-header', id]]) });

describe.each(['in memory', 'on logs'] as const)('a queue that drops repetitions, %s', (where) => {
  const openHere = async (options: Partial<DeduplicationOptions> = {}) =>
    open(where === 'on logs' ? await startTestNode() : undefined, options);

  test('confirms a message whose id came before, and does not store it', async () => {
    const bed = await openHere();
    expect(await bed.send('a', { messageId: '1' })).toBe(true);
    expect(await bed.send('b', { messageId: '1' })).toBe(true);
    expect(await bed.send('c', { messageId: '2' })).toBe(true);
    expect(await drain(bed)).toEqual(['a', 'c']);
    expect(await bed.send('d', { messageId: '1' })).toBe(true);
    expect(await drain(bed)).toEqual([]);
    expect(bed.deduplication.droppedCount).toBe(2);
  });

  test('goes by the header before the message id, and lets pass what has neither', async () => {
    const bed = await openHere();
    await bed.send('a', { ...header('x'), messageId: '1' });
    await bed.send('b', { ...header('x'), messageId: '2' });
    await bed.send('c', { messageId: '1' });
    await bed.send('d', {});
    await bed.send('e', {});
    expect(await drain(bed)).toEqual(['a', 'c', 'd', 'e']);
  });

  test('knows long ids by their hash', async () => {
    const bed = await openHere();
    const long = 'x'.repeat(10_000);
    await bed.send('a', header(`${long}1`));
    await bed.send('b', header(`${long}2`));
    await bed.send('c', header(`${long}1`));
    expect(await drain(bed)).toEqual(['a', 'b']);
  });

  test('forgets ids after a time, and after a number of messages', async () => {
    const bed = await openHere({ windowMs: 1000, count: 2 });
    await bed.send('a', { messageId: '1' });
    bed.clock.advance(1000);
    await bed.send('b', { messageId: '1' });
    await bed.send('c', {});
    await bed.send('dropped', { messageId: '1' });
    await bed.send('d', {});
    await bed.send('e', { messageId: '1' });
    expect(await drain(bed)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('does not take a dead letter that comes back for a repetition', async () => {
    const bed = await openHere();
    await bed.send('a', { messageId: '1' });
    await bed.send('a again', { messageId: '1' }, { isDeadLetter: true });
    expect(await drain(bed)).toEqual(['a', 'a again']);
  });

  test('has a repetition wait for the first, which is on its way, and share its fate', async () => {
    const bed = await openHere();
    const outcomes: string[] = [];
    const target = (name: string): StoredTarget => ({
      onStored: (number) => outcomes.push(`${name} ${number}`),
      onNotStored: (number, _, error) => outcomes.push(`${name} ${number} ${error.code}`),
    });
    const message = { exchange: '', routingKey: 'q', properties: encodeProperties({ messageId: '1' }), body: [] };
    let stored: StoredTarget | undefined;
    const slow = {
      nextOffset: 0,
      publish: (_: unknown, to: StoredTarget | undefined, number: number) => {
        expect(number).toBe(1);
        stored = to;
        return true;
      },
    };
    bed.deduplication.publish(slow, message, target('first'), 10);
    bed.deduplication.publish(slow, message, target('second'), 20);
    expect(outcomes).toEqual([]);
    stored!.onNotStored(1, 1, new BurrowError('STORAGE_ERROR'));
    expect(outcomes.splice(0)).toEqual(['first 10 STORAGE_ERROR', 'second 20 STORAGE_ERROR']);
    // Not stored, not known.
    await bed.send('a', { messageId: '1' });
    expect(await drain(bed)).toEqual(['a']);
  });

  test('does not know the id of a message that a full queue refused', async () => {
    const bed = await openHere();
    const full = { nextOffset: 0, publish: () => false };
    expect(await send(bed.deduplication, full, 'a', { messageId: '1' })).toBe(false);
    expect(await bed.send('b', { messageId: '1' })).toBe(true);
    expect(await drain(bed)).toEqual(['b']);
  });
});

test('after a restart the window is the same, also where messages are settled; what it does not need is freed', async () => {
  const node = await startTestNode();
  const before = await open(node, { count: 20 });
  for (let index = 0; index < 60; index++) {
    await before.send('x'.repeat(400), { messageId: `id ${index}` });
    await drain(before);
  }
  await before.queue.settlementsSynced();
  await settle();
  const { log } = node.topics.partition('q', 0);
  expect(log.logStartOffset).toBeGreaterThan(20);
  expect(log.logStartOffset).toBeLessThanOrEqual(40);
  await node.stop();
  const { disk, clock, coordinator } = node;
  const bed = await open(await startTestNode({ disk, clock, coordinator }), { count: 20 });
  expect(bed.queue.readyCount).toBe(0);
  for (let index = 40; index < 60; index++) await bed.send('again', { messageId: `id ${index}` });
  expect(bed.queue.readyCount).toBe(0);
  await bed.send('out of the window', { messageId: 'id 39' });
  expect(await drain(bed)).toEqual(['out of the window']);
});

test('a crash at any point leaves an id known if its message is stored', { timeout: 60_000 }, async () => {
  const crashes = await crashAtEveryOperation({
    newNotes: () => ({ confirmed: [] as string[] }),
    live: async (node, { confirmed }) => {
      const bed = await open(node, { count: 30 });
      for (let index = 0; index < 14; index++) {
        await bed.send(`${index} ${'x'.repeat(1000)}`, { messageId: String(index) });
        confirmed.push(String(index));
        if (index % 4 === 3) {
          await drain(bed);
          await bed.queue.settlementsSynced();
        }
      }
    },
    check: async (node, { confirmed }, name) => {
      const bed = await open(node, { count: 30 });
      const { nextOffset } = bed.queue;
      for (const messageId of confirmed) await bed.send('again', { messageId });
      expect(bed.queue.nextOffset, name).toBe(nextOffset);
      // What was not confirmed is stored once, now or then.
      const others = ['12', '13'].filter((messageId) => !confirmed.includes(messageId));
      for (const messageId of others) await bed.send(`new ${messageId}`, { messageId });
      const bodies = (await drain(bed)).map((body) => body.replace('new ', '').split(' ')[0]!);
      for (const messageId of others)
        expect(
          bodies.filter((body) => body === messageId),
          name,
        ).toHaveLength(1);
    },
  });
  expect(crashes).toBeGreaterThan(20);
});

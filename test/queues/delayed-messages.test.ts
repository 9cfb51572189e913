import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DeadlineQueue } from '../../broker/partitions/deadline-queue.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { DelayedMessages, type DelayedMessagesOptions } from '../../broker/queues/delayed-messages.ts';
import { decodeProperties, encodeProperties } from '../../src/messages/message-properties.ts';
import { type ExchangeBed, openExchanges } from '../support/exchange-bed.ts';
import { crashAtEveryOperation } from '../support/halted-node.ts';
import { settle, startTestNode, type TestNode } from '../support/node-environment.ts';
import { memoryLogs, partitionLogs, slowDown } from '../support/queue-bed.ts';

interface DelayBed extends ExchangeBed {
  readonly delayed: DelayedMessages;
  /** Publishes to the exchange, with a delay. */
  send(body: string, delay: number, routingKey?: string): Promise<void>;
  /** What has come to the queue since the last call. */
  arrived(): Promise<string[]>;
  /** As {@link arrived}, but what has come already. */
  arrivedBefore(): string[];
}

/** An exchange that delays, of the kind direct behind it, and a queue `q` bound to it with the key `k`. */
async function openDelayed(node?: TestNode, options: Partial<DelayedMessagesOptions> = {}): Promise<DelayBed> {
  const bed = openExchanges(node === undefined ? {} : { node });
  bed.exchange('later', 'x-delayed-message', new Map([['x-delayed-type', 'direct']]));
  const { queue, channel } = await bed.queue('q');
  bed.bind('later', 'q', 'k');
  const deadlines = new DeadlineQueue(bed.clock);
  onTestFinished(() => deadlines.close());
  const logs = node === undefined ? memoryLogs('later') : await partitionLogs(node, 'later');
  const { clock, router, forwarder } = bed;
  const delayed = await DelayedMessages.open({
    exchange: 'later',
    ...logs,
    router,
    forwarder,
    clock,
    deadlines,
    logger: silentLogger,
    readAheadBytes: 4096,
    ...options,
  });
  bed.others.set('later', (_, message, stored, number) => delayed.publish(message, stored, number));
  const client = channel();
  client.consume(queue, { noAck: true });
  return {
    ...bed,
    delayed,
    send: (body, delay, routingKey = 'k') =>
      bed.publish(body, { exchange: 'later', routingKey, properties: delayOf(delay) }),
    arrived: async () => {
      await settle();
      await settle();
      return client.bodies();
    },
    arrivedBefore: () => client.bodies(),
  };
}

function delayOf(delay: number): Uint8Array {
  return encodeProperties({ headers: new Map([['x-delay', delay]]) });
}

describe.each(['in memory', 'on logs'] as const)('an exchange that delays, %s', (where) => {
  const open = async (options: Partial<DelayedMessagesOptions> = {}) =>
    openDelayed(where === 'on logs' ? await startTestNode() : undefined, options);

  test('confirms a message at once and hands it on when its time has come', async () => {
    const bed = await open();
    await bed.send('a', 1000);
    expect(bed.delayed.count).toBe(1);
    bed.clock.advance(999);
    expect(await bed.arrived()).toEqual([]);
    bed.clock.advance(1);
    expect(await bed.arrived()).toEqual(['a']);
    expect(bed.delayed.count).toBe(0);
  });

  test('hands on what is due first, and of one time what was published first', async () => {
    const bed = await open();
    await bed.send('late', 300);
    await bed.send('early', 100);
    await bed.send('late too', 300);
    await bed.send('between', 200);
    bed.clock.advance(250);
    expect(await bed.arrived()).toEqual(['early', 'between']);
    bed.clock.advance(50);
    expect(await bed.arrived()).toEqual(['late', 'late too']);
  });

  test('does not hold up what has no delay', async () => {
    const bed = await open();
    await bed.send('a', 0);
    expect(await bed.arrived()).toEqual(['a']);
  });

  test('shows the delay negated, so that no other exchange delays the message again', async () => {
    const bed = await open();
    const { queue, channel } = await bed.queue('other');
    bed.bind('later', 'other', 'o');
    await bed.send('a', 4_000_000_000, 'o');
    bed.clock.advance(4_000_000_000);
    await settle();
    await settle();
    const got = await channel().get(queue);
    expect(got).toMatchObject({ body: 'a', exchange: 'later', routingKey: 'o' });
    expect(decodeProperties(got!.properties).headers).toEqual(new Map([['x-delay', -4_000_000_000]]));
  });

  test('drops what is routed nowhere when its time has come', async () => {
    const bed = await open();
    await bed.send('a', 10, 'nobody');
    bed.clock.advance(10);
    expect(await bed.arrived()).toEqual([]);
    expect(bed.delayed.count).toBe(0);
  });

  test('keeps what a full queue refuses, and tries again', async () => {
    const bed = await open();
    bed.full.add('q');
    await bed.send('a', 10);
    bed.clock.advance(5000);
    expect(await bed.arrived()).toEqual([]);
    expect(bed.delayed.count).toBe(1);
    bed.full.clear();
    bed.clock.advance(1000);
    expect(await bed.arrived()).toEqual(['a']);
  });

  test('takes turns when much is due at once, and waits for queues that are slow', async () => {
    const bed = await open({ releasesMax: 3, inFlightMax: 5 });
    await Promise.all(Array.from({ length: 20 }, (_, index) => bed.send(String(index), 100)));
    const { queue } = bed.queues.get('q')!;
    const publish = queue.publish.bind(queue);
    const held: Array<() => void> = [];
    queue.publish = (message, target, number) => {
      const copy = { ...message, body: message.body.map((piece) => Buffer.from(piece)) };
      held.push(() => void publish(copy, target, number));
      return true;
    };
    bed.clock.advance(100);
    expect(held).toHaveLength(5);
    const all: string[] = [];
    while (all.length < 20) {
      expect(held.length).toBeGreaterThan(0);
      expect(held.length).toBeLessThanOrEqual(5);
      for (const answer of held.splice(0)) answer();
      all.push(...(await bed.arrived()));
      bed.clock.advance(0);
    }
    expect(all).toEqual(Array.from({ length: 20 }, (_, index) => String(index)));
  });

  test('notices that the time of day has jumped', async () => {
    const bed = await open();
    await bed.send('a', 3_600_000);
    bed.clock.jump(3_600_000);
    bed.clock.advance(60_000);
    expect(await bed.arrived()).toEqual(['a']);
  });

  test('hands on nothing any more when it is closed', async () => {
    const bed = await open();
    await bed.send('a', 100);
    bed.delayed.close();
    bed.clock.advance(1000);
    expect(await bed.arrived()).toEqual([]);
    await bed.send('b', 100);
    bed.clock.advance(1000);
    expect(await bed.arrived()).toEqual([]);
  });

  test('hands on in the order of due times, whatever was published when', async () => {
    const step = fc.record({ delay: fc.integer({ min: 1, max: 50 }), pauseMs: fc.nat(20) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const bed = await openDelayed();
        const due: Array<{ body: string; atMs: number }> = [];
        const arrived: string[] = [];
        for (const [index, { delay, pauseMs }] of steps.entries()) {
          due.push({ body: String(index), atMs: bed.clock.monotonic() + delay });
          await bed.send(String(index), delay);
          for (let each = 0; each < pauseMs; each++) bed.clock.advance(1);
          arrived.push(...(await bed.arrived()));
          expect(new Set(arrived)).toEqual(
            new Set(due.filter(({ atMs }) => atMs <= bed.clock.monotonic()).map(({ body }) => body)),
          );
        }
        bed.clock.advance(100);
        arrived.push(...(await bed.arrived()));
        expect(arrived).toEqual(due.toSorted((a, b) => a.atMs - b.atMs).map(({ body }) => body));
      }),
      { numRuns: 30 },
    );
  });
});

test('delays go on after a restart; what has arrived does not come again, and its log is freed', async () => {
  const node = await startTestNode();
  const before = await openDelayed(node);
  for (let index = 0; index < 40; index++) await before.send(`${index} ${'x'.repeat(500)}`, 100 + index);
  await before.send('later', 5000);
  await before.send('latest', 9000);
  before.clock.advance(1000);
  expect(await before.arrived()).toHaveLength(40);
  await before.delayed.settled();
  const { log } = node.topics.partition('later', 0);
  expect(log.logStartOffset).toBeGreaterThan(0);
  before.delayed.close();
  await node.stop();
  const { disk, clock, coordinator } = node;
  const next = await startTestNode({ disk, clock, coordinator });
  const after_ = await openDelayed(next);
  expect(after_.delayed.count).toBe(2);
  clock.advance(3999);
  expect(await after_.arrived()).toEqual([]);
  clock.advance(1);
  expect(await after_.arrived()).toEqual(['later']);
  clock.advance(4000);
  expect(await after_.arrived()).toEqual(['latest']);
});

test('what fell due while the broker was away is handed on at its start, in order', async () => {
  const node = await startTestNode();
  const before = await openDelayed(node);
  await before.send('second', 200);
  await before.send('first', 100);
  before.delayed.close();
  await node.stop();
  const { disk, clock, coordinator } = node;
  clock.advance(60_000);
  const next = await startTestNode({ disk, clock, coordinator });
  const bed = await openDelayed(next);
  expect(await bed.arrived()).toEqual(['first', 'second']);
});

test('a crash at any point loses no message that was confirmed', { timeout: 60_000 }, async () => {
  const crashes = await crashAtEveryOperation({
    newNotes: () => ({ confirmed: [] as string[], arrived: [] as string[], delivered: (): string[] => [] }),
    live: async (node, notes) => {
      const bed = await openDelayed(node);
      notes.delivered = bed.arrivedBefore;
      slowDown(bed.queues.get('q')!.queue);
      for (const [index, delay] of [50, 10, 30, 10].entries()) {
        await bed.send(String(index), delay);
        notes.confirmed.push(String(index));
      }
      bed.clock.advance(20);
      bed.clock.advance(100);
      while (notes.arrived.length < 4) notes.arrived.push(...(await bed.arrived()));
      await bed.delayed.settled();
    },
    check: async (node, notes, name) => {
      const bed = await openDelayed(node);
      bed.clock.advance(10_000);
      const arrived = [...notes.arrived, ...notes.delivered(), ...(await bed.arrived())];
      expect(
        notes.confirmed.filter((body) => !arrived.includes(body)),
        name,
      ).toEqual([]);
      expect(bed.delayed.count, name).toBe(0);
    },
  });
  expect(crashes).toBeGreaterThan(20);
});

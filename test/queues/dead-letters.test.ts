import { describe, expect, test } from 'vitest';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';
import { decodeProperties, encodeProperties } from '../../src/messages/message-properties.ts';
import { type ExchangeBed, openExchanges } from '../support/exchange-bed.ts';
import { crashAtEveryOperation } from '../support/halted-node.ts';
import { settle, startTestNode } from '../support/node-environment.ts';
import { type Delivered, openQueue, slowDown } from '../support/queue-bed.ts';

const DLX = { deadLetterExchange: 'dlx' } as const;

/** Takes the first message of a queue, if there is one. */
async function take(bed: ExchangeBed, queue: string): Promise<Delivered | undefined> {
  await settle();
  const { queue: found, channel } = bed.queues.get(queue)!;
  return channel().get(found, true);
}

/** Rejects the first message of a queue, and waits for what comes of it. */
async function reject(bed: ExchangeBed, queue: string): Promise<void> {
  const { queue: found, channel } = bed.queues.get(queue)!;
  const client = channel();
  const got = await client.get(found);
  client.channel.reject(got!.tag, { multiple: false, requeue: false });
  await settle();
}

function headersOf(delivered: Delivered | undefined): Record<string, unknown> {
  return Object.fromEntries(decodeProperties(delivered!.properties).headers ?? []);
}

function deathsOf(delivered: Delivered | undefined): Array<Record<string, FieldValue>> {
  return (headersOf(delivered)['x-death'] as FieldTable[]).map((entry) => Object.fromEntries(entry));
}

describe.each(['in memory', 'on logs'] as const)('dead letters of queues %s', (where) => {
  const open = async (): Promise<ExchangeBed> =>
    openExchanges(where === 'on logs' ? { node: await startTestNode() } : {});

  test('go to the exchange with their own routing key, tell where they died, and leave their queue', async () => {
    const bed = await open();
    bed.exchange('dlx', 'direct');
    const { queue } = await bed.queue('q', DLX);
    await bed.queue('dead');
    bed.bind('dlx', 'dead', 'q');
    const properties = encodeProperties({ contentType: 'text/plain', expiration: '60000', deliveryMode: 2 });
    await bed.publish('a', { routingKey: 'q', properties });
    await reject(bed, 'q');
    const dead = await take(bed, 'dead');
    expect(dead).toMatchObject({ body: 'a', exchange: 'dlx', routingKey: 'q' });
    expect(deathsOf(dead)).toMatchObject([{ queue: 'q', reason: 'rejected', count: 1, exchange: '' }]);
    expect(deathsOf(dead)[0]!['original-expiration']).toBe('60000');
    const { headers: _, ...others } = decodeProperties(dead!.properties);
    expect(others).toEqual({ contentType: 'text/plain', deliveryMode: 2 });
    expect([queue.readyCount, queue.unsettledCount]).toEqual([0, 0]);
  });

  test('go with the routing key of the queue, and then without CC', async () => {
    const bed = await open();
    bed.exchange('dlx', 'direct');
    await bed.queue('q', { ...DLX, deadLetterRoutingKey: 'failed' });
    await bed.queue('dead');
    await bed.queue('copies');
    bed.bind('dlx', 'dead', 'failed');
    bed.bind('dlx', 'copies', 'copy');
    const properties = encodeProperties({ headers: new Map([['CC', ['copy']]]) });
    await bed.publish('a', { routingKey: 'q', properties });
    await reject(bed, 'q');
    const dead = await take(bed, 'dead');
    expect(dead).toMatchObject({ routingKey: 'failed' });
    expect(headersOf(dead)).not.toHaveProperty('CC');
    expect(deathsOf(dead)[0]!['routing-keys']).toEqual(['q', 'copy']);
    expect(await take(bed, 'copies')).toBeUndefined();
  });

  test('go by CC too if they keep their routing key', async () => {
    const bed = await open();
    bed.exchange('dlx', 'direct');
    await bed.queue('q', DLX);
    await bed.queue('copies');
    bed.bind('dlx', 'copies', 'copy');
    await bed.publish('a', { routingKey: 'q', properties: encodeProperties({ headers: new Map([['CC', ['copy']]]) }) });
    await reject(bed, 'q');
    expect(await take(bed, 'copies')).toMatchObject({ body: 'a' });
  });

  test('are not held up by a CC that is no list', async () => {
    const bed = await open();
    bed.exchange('all');
    const { queue } = await bed.queue('q', { deadLetterExchange: 'amq.direct' });
    await bed.queue('dead');
    bed.bind('all', 'q');
    bed.bind('amq.direct', 'dead', 'k');
    await bed.publish('a', { exchange: 'all', routingKey: 'k' });
    // A route that nothing of the message decides is not looked at again.
    const properties = encodeProperties({ headers: new Map([['CC', 'no list']]) });
    await bed.publish('b', { exchange: 'all', routingKey: 'k', properties });
    await reject(bed, 'q');
    await reject(bed, 'q');
    expect([await take(bed, 'dead'), await take(bed, 'dead')]).toMatchObject([{ body: 'a' }, { body: 'b' }]);
    expect(queue.readyCount + queue.unsettledCount).toBe(0);
  });

  test('count up in a retry loop that a rejection keeps going', async () => {
    const bed = await open();
    await bed.queue('work', { deadLetterExchange: '', deadLetterRoutingKey: 'wait' });
    await bed.queue('wait', { deadLetterExchange: '', deadLetterRoutingKey: 'work', messageTtlMs: 100 });
    await bed.publish('a', { routingKey: 'work' });
    for (let round = 0; round < 3; round++) {
      await reject(bed, 'work');
      bed.clock.advance(100);
      await settle();
    }
    const got = await take(bed, 'work');
    expect(deathsOf(got).map(({ queue, reason, count }) => [queue, reason, count])).toEqual([
      ['wait', 'expired', 3],
      ['work', 'rejected', 3],
    ]);
    expect(headersOf(got)).toMatchObject({ 'x-first-death-queue': 'work', 'x-last-death-queue': 'wait' });
  });

  test('are dropped where they would go round for ever', async () => {
    const bed = await open();
    for (const deadLetterStrategy of ['at-most-once', 'at-least-once'] as const) {
      const name = `loop-${deadLetterStrategy}`;
      const { queue } = await bed.queue(name, { deadLetterExchange: '', messageTtlMs: 10, deadLetterStrategy });
      await bed.publish('a', { routingKey: name });
      bed.clock.advance(10);
      await settle();
      expect([queue.readyCount, queue.unsettledCount]).toEqual([0, 0]);
    }
  });

  test('of a client that forges deaths are not taken for a cycle', async () => {
    const bed = await open();
    await bed.queue('q', { deadLetterExchange: '', deadLetterRoutingKey: 'dead', messageTtlMs: 10 });
    await bed.queue('dead');
    const forged = new Map<string, FieldValue>([
      ['queue', 'dead'],
      ['reason', 'expired'],
      ['count', 7],
    ]);
    const properties = encodeProperties({ headers: new Map([['x-death', [forged]]]) });
    await bed.publish('a', { routingKey: 'q', properties });
    bed.clock.advance(10);
    expect(deathsOf(await take(bed, 'dead'))).toMatchObject([{ queue: 'q', count: 1 }]);
  });

  test.each([
    ['nothing is bound', (bed: ExchangeBed) => bed.exchange('dlx')],
    ['there is no such exchange', () => {}],
  ])('are dropped if %s, or stay and try again with the strategy at-least-once', async (_, prepare) => {
    const bed = await open();
    prepare(bed);
    const dropping = await bed.queue('dropping', DLX);
    const keeping = await bed.queue('keeping', { ...DLX, deadLetterStrategy: 'at-least-once', messageTtlMs: 50 });
    await bed.publish('a', { routingKey: 'dropping' });
    await reject(bed, 'dropping');
    await bed.publish('b', { routingKey: 'keeping' });
    bed.clock.advance(50);
    await settle();
    expect(dropping.queue.readyCount + dropping.queue.unsettledCount).toBe(0);
    expect(keeping.queue.readyCount + keeping.queue.unsettledCount).toBe(1);
    if (bed.router.exchange('dlx') === undefined) bed.exchange('dlx');
    await bed.queue('dead');
    bed.bind('dlx', 'dead');
    bed.clock.advance(1000);
    expect(await take(bed, 'dead')).toMatchObject({ body: 'b' });
    expect(keeping.queue.readyCount + keeping.queue.unsettledCount).toBe(0);
  });

  test('that a full queue refuses are dropped, or wait for it; who has one already gets no second', async () => {
    const bed = await open();
    bed.exchange('dlx');
    const dropping = await bed.queue('dropping', DLX);
    const keeping = await bed.queue('keeping', { ...DLX, deadLetterStrategy: 'at-least-once', messageTtlMs: 50 });
    const one = await bed.queue('one');
    const two = await bed.queue('two');
    bed.bind('dlx', 'one');
    bed.bind('dlx', 'two');
    bed.full.add('two');
    await bed.publish('a', { routingKey: 'dropping' });
    await reject(bed, 'dropping');
    expect(dropping.queue.readyCount + dropping.queue.unsettledCount).toBe(0);
    expect(await take(bed, 'one')).toMatchObject({ body: 'a' });
    await bed.publish('b', { routingKey: 'keeping' });
    for (let retry = 0; retry < 3; retry++) {
      bed.clock.advance(1000);
      await settle();
    }
    expect(keeping.queue.readyCount + keeping.queue.unsettledCount).toBe(1);
    expect([one.queue.readyCount, two.queue.readyCount]).toEqual([1, 0]);
    bed.full.clear();
    bed.clock.advance(1000);
    await settle();
    expect([one.queue.readyCount, two.queue.readyCount]).toEqual([1, 1]);
    expect(keeping.queue.readyCount + keeping.queue.unsettledCount).toBe(0);
  });

  test('of what a full queue has refused tell of its length', async () => {
    const bed = await open();
    await bed.queue('q', { deadLetterExchange: '', deadLetterRoutingKey: 'dead' });
    await bed.queue('dead');
    const { queue } = bed.queues.get('q')!;
    const body = [Buffer.from('a')];
    bed.deadLetters.buryRefused(queue, { exchange: 'x', routingKey: 'k', properties: new Uint8Array(0), body });
    expect(deathsOf(await take(bed, 'dead'))).toMatchObject([{ queue: 'q', reason: 'maxlen', exchange: 'x' }]);
  });
});

test('a dead letter is in its old queue until the new one has synced it', async () => {
  const node = await startTestNode();
  const bed = openExchanges({ node });
  const { queue } = await bed.queue('q', { deadLetterExchange: '', deadLetterRoutingKey: 'dead' });
  await bed.queue('dead');
  await bed.publish('a', { routingKey: 'q' });
  const { channel } = bed.queues.get('q')!;
  const client = channel();
  const got = await client.get(queue);
  let answer = (): void => {};
  bed.others.clear();
  const held = bed.queues.get('dead')!.queue;
  const publish = held.publish.bind(held);
  held.publish = (message, target, number) => {
    answer = () => void publish(message, target, number);
    return true;
  };
  client.channel.reject(got!.tag, { multiple: false, requeue: false });
  let isSettledForSure = false;
  const settledForSure = client.channel.settlementsSynced().then(() => {
    isSettledForSure = true;
  });
  await settle();
  expect([queue.unsettledCount, isSettledForSure]).toEqual([1, false]);
  answer();
  await settledForSure;
  expect(queue.unsettledCount).toBe(0);
});

test('what is settled waits for its own dead letters, not for those that come after it', async () => {
  const bed = await openQueue({
    settings: { deadLetterExchange: 'dlx' },
    deadLetter: (_queue, view, _reason, onDone) => waiting.set(view.body.toString(), onDone),
  });
  const waiting = new Map<string, (done: boolean) => void>();
  const client = bed.channel();
  client.consume(bed.queue);
  await bed.publish('a', 'b', 'c');
  const sure: string[] = [];
  for (const [tag, name] of [
    [1, 'a'],
    [2, 'b'],
    [3, 'c'],
  ] as const) {
    client.channel.reject(tag, { multiple: false, requeue: false });
    void bed.queue.settlementsSynced().then(() => sure.push(name));
  }
  waiting.get('b')!(true);
  await settle();
  expect(sure).toEqual([]);
  // Also one that finds no place: it is back in the queue.
  waiting.get('a')!(false);
  await settle();
  expect(sure).toEqual(['a', 'b']);
  bed.queue.close(new BurrowError('SHUTTING_DOWN'));
  await settle();
  expect(sure).toEqual(['a', 'b', 'c']);
  await bed.queue.settlementsSynced();
});

test('storage that fails keeps the message, whatever the strategy', async () => {
  const bed = openExchanges();
  const { queue } = await bed.queue('q', { deadLetterExchange: '', deadLetterRoutingKey: 'dead' });
  const { queue: dead } = await bed.queue('dead');
  await bed.publish('a', { routingKey: 'q' });
  dead.publish = (_, target, number) => {
    target?.onNotStored(number, number, new BurrowError('STORAGE_ERROR'));
    return true;
  };
  await reject(bed, 'q');
  expect(queue.readyCount + queue.unsettledCount).toBe(1);
});

test('a crash at any point leaves each message in its queue or in that of dead letters', {
  timeout: 60_000,
}, async () => {
  const settings = { deadLetterExchange: '', deadLetterRoutingKey: 'dead' };
  const crashes = await crashAtEveryOperation({
    newNotes: () => ({ confirmed: [] as string[] }),
    live: async (node, notes) => {
      const bed = openExchanges({ node });
      await bed.queue('q', settings);
      const { queue: dead } = await bed.queue('dead');
      slowDown(dead);
      for (const body of ['a', 'b', 'c']) {
        await bed.publish(body, { routingKey: 'q' });
        notes.confirmed.push(body);
        if (body === 'b') continue;
        const before = dead.readyCount;
        await reject(bed, 'q');
        while (dead.readyCount === before) await settle();
      }
      await Promise.all([...bed.queues.values()].map(({ queue }) => queue.settled()));
    },
    check: async (node, { confirmed }, name) => {
      const bed = openExchanges({ node });
      const found: string[] = [];
      for (const queue of ['q', 'dead']) {
        await bed.queue(queue, settings);
        for (let got = await take(bed, queue); got !== undefined; got = await take(bed, queue)) found.push(got.body);
      }
      expect([...new Set(found)].filter((body) => confirmed.includes(body)).sort(), name).toEqual(confirmed);
    },
  });
  expect(crashes).toBeGreaterThan(20);
});

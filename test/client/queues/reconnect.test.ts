import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startBroker } from '../../../broker/index.ts';
import type { QueueMessage } from '../../../client/index.ts';
import { CutOffProxy } from '../../support/cut-off-proxy.ts';
import { codeOf, connectTo, Notes, startPair } from './queue-bed.ts';

async function startBehindProxy() {
  const { broker, client } = await startPair();
  const proxy = await CutOffProxy.start(broker.ports.native!);
  onTestFinished(() => proxy.close());
  const distant = await connectTo(`ws://127.0.0.1:${proxy.port}`);
  return { broker, client, proxy, distant };
}

test('a consumer whose connection breaks subscribes again and gets what it had not settled', async () => {
  const { client, proxy, distant } = await startBehindProxy();
  const queue = distant.queue('work');
  await queue.declare();
  await Promise.all(['a', 'b', 'c'].map((body) => queue.publish(body)));
  const got = new Notes<QueueMessage>();
  const errors = new Notes<unknown>();
  await queue.consume(got.note, { ack: 'manual', concurrency: 10, onError: errors.note });
  await got.count(3);
  proxy.cutOff();
  await errors.count(1);
  expect(errors.list[0]).toMatchObject({ code: 'CONNECTION_LOST' });
  // It is back in the queue: settling it now means nothing, here or there.
  got.list[0]!.ack();
  proxy.restore();
  await got.count(6);
  expect(got.list.slice(3).map((message) => [message.text(), message.redelivered])).toEqual([
    ['a', true],
    ['b', true],
    ['c', true],
  ]);
  for (const message of got.list.slice(3)) message.ack();
  await client.queue('work').publish('d');
  await got.count(7);
  expect(got.list[6]!.text()).toBe('d');
});

test('flush rejects once when settlements went with the connection, sent before or made after', async () => {
  const { proxy, distant } = await startBehindProxy();
  const queue = distant.queue('work');
  await queue.declare();
  await Promise.all(['a', 'b'].map((body) => queue.publish(body)));
  const got = new Notes<QueueMessage>();
  const errors = new Notes<unknown>();
  const consumer = await queue.consume(got.note, { ack: 'manual', concurrency: 10, onError: errors.note });
  await got.count(2);
  got.list[0]!.requeue();
  // It is here again; whether its settlement was stored nobody has asked.
  await got.count(3);
  proxy.cutOff();
  await errors.count(1);
  proxy.restore();
  await got.count(5);
  expect(await codeOf(consumer.flush())).toBe('CONNECTION_LOST');
  await consumer.flush();
  // Delivered by the connection that is lost.
  got.list[1]!.ack();
  expect(await codeOf(consumer.flush())).toBe('CONNECTION_LOST');
  for (const message of got.list.slice(3)) message.ack();
  await consumer.flush();
  await consumer.close();
  expect((await queue.check()).messageCount).toBe(0);
});

test('flush of messages that were taken by get does the same', async () => {
  const { proxy, distant } = await startBehindProxy();
  const queue = distant.queue('work');
  await queue.declare();
  await queue.publish('a');
  const taken = (await queue.get())!;
  proxy.cutOff();
  proxy.restore();
  await vi.waitFor(() => queue.check().then(({ messageCount }) => expect(messageCount).toBe(1)));
  taken.ack();
  expect(await codeOf(distant.virtualHost().flush())).toBe('CONNECTION_LOST');
  await distant.virtualHost().flush();
  (await queue.get())!.ack();
  await distant.virtualHost().flush();
  expect((await queue.check()).messageCount).toBe(0);
});

test('handlers that run when the connection breaks end, and count against the concurrency until then', async () => {
  const { proxy, distant } = await startBehindProxy();
  const queue = distant.queue('work');
  await queue.declare();
  await queue.publish('a');
  const started = new Notes<string>();
  const lost = new Notes<unknown>();
  const gates: Array<() => void> = [];
  await queue.consume(
    async (message) => {
      started.note(`${message.text()} ${message.deliveryCount}`);
      await new Promise<void>((resolve) => gates.push(resolve));
    },
    { onError: lost.note },
  );
  await started.count(1);
  proxy.cutOff();
  await lost.count(1);
  proxy.restore();
  // A round trip behind the subscription: the message is here again, and waits.
  await distant.ready(5000);
  await queue.check();
  expect(started.list).toEqual(['a 0']);
  gates[0]!();
  await started.count(2);
  expect(started.list).toEqual(['a 0', 'a 1']);
  gates[1]!();
});

test('what is published while there is no connection is confirmed when there is one again', async () => {
  const { proxy, distant, client } = await startBehindProxy();
  const queue = distant.queue('work');
  await queue.declare();
  await queue.publish('before');
  proxy.cutOff();
  const published = Promise.all(['a', 'b', 'c'].map((body) => queue.publish(body)));
  proxy.restore();
  await published;
  const bodies = (await client.queue('work').browse()).map((message) => message.text());
  // None is lost, and the order is kept; those whose confirm was lost may be there twice.
  expect([...new Set(bodies)]).toEqual(['before', 'a', 'b', 'c']);
});

test('publishes whose connection breaks again and again are all stored, in order', async () => {
  const { proxy, distant, client } = await startBehindProxy();
  const queue = distant.queue('work');
  await queue.declare();
  const bodies = Array.from({ length: 3000 }, (_, index) => String(index).padStart(200, '0'));
  const published: Promise<void>[] = [];
  for (let at = 0; at < bodies.length; at += 300) {
    for (const body of bodies.slice(at, at + 300)) published.push(queue.publish(body));
    await new Promise((resolve) => setImmediate(resolve));
    proxy.cutOff();
    proxy.restore();
  }
  await Promise.all(published);
  const stored = (await client.queue('work').browse({ limit: 100_000 })).map((message) => message.text());
  expect([...new Set(stored)]).toEqual(bodies);
});

test('a message that cannot be confirmed in time fails with DELIVERY_TIMEOUT', async () => {
  const { broker } = await startPair();
  const proxy = await CutOffProxy.start(broker.ports.native!);
  onTestFinished(() => proxy.close());
  const distant = await connectTo(`ws://127.0.0.1:${proxy.port}`, { publishTimeoutMs: 50 });
  const queue = distant.queue('work');
  await queue.declare();
  proxy.cutOff();
  expect(await codeOf(queue.publish('x'))).toMatch(/^(?:DELIVERY_TIMEOUT|CONNECTION_FAILED)$/);
});

test('queues that went with the connection are declared and bound again', async () => {
  const { client, proxy, distant } = await startBehindProxy();
  await client.exchange('news').declare({ type: 'fanout' });
  const queue = distant.queue();
  await queue.declare({ exclusive: true });
  await queue.bind('news');
  const got = new Notes<string>();
  const lost = new Notes<unknown>();
  await queue.consume((message) => got.note(message.text()), { onError: lost.note });
  await client.exchange('news').publish('one');
  await got.count(1);
  const before = queue.name;
  proxy.cutOff();
  await lost.count(1);
  proxy.restore();
  const bound = async () => (await client.virtualHost().listBindings()).filter(({ source }) => source === 'news');
  while ((await bound()).length !== 1 || queue.name === before) await new Promise((resolve) => setTimeout(resolve, 2));
  await client.exchange('news').publish('two');
  await got.count(2);
  expect(got.list).toEqual(['one', 'two']);
});

test('a question whose connection breaks fails, and the next is answered', async () => {
  const { client, proxy, distant } = await startBehindProxy();
  const service = client.queue('echo');
  await service.declare();
  const asked = new Notes<string>();
  await service.consume((message) => {
    asked.note(message.text());
    return message.text() === 'never' ? undefined : message.reply(message.body);
  });
  const question = codeOf(distant.request(distant.queue('echo'), 'never'));
  await asked.count(1);
  proxy.cutOff();
  expect(await question).toBe('CONNECTION_LOST');
  proxy.restore();
  expect((await distant.request(distant.queue('echo'), 'hello')).text()).toBe('hello');
});

test('messages and settlements outlive a restart of the broker, and so does a consumer', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'burrow-queues-'));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const options = { storage: dataDir, kafkaPort: 'off', diskFreeBytesMin: 0 } as const;
  const first = await startBroker({ ...options, port: 0 });
  const port = first.ports.native!;
  const client = await connectTo(first.addresses.native!);
  const queue = client.queue('work');
  await queue.declare();
  await Promise.all(['a', 'b', 'c'].map((body) => queue.publish(body)));
  const got = new Notes<QueueMessage>();
  const consumer = await queue.consume(got.note, { ack: 'manual', concurrency: 10 });
  await got.count(3);
  got.list[1]!.ack();
  await consumer.flush();
  await first.close();
  const second = await startBroker({ ...options, port });
  onTestFinished(() => second.close());
  await got.count(5);
  expect(got.list.slice(3).map((message) => message.text())).toEqual(['a', 'c']);
});

test('what only asks is asked again when the broker was away meanwhile: lists, counts, browsing', async () => {
  const { proxy, distant } = await startBehindProxy();
  const queue = distant.queue('work');
  await queue.declare();
  await queue.publish('a');
  proxy.cutOff();
  const host = distant.virtualHost();
  const asked = Promise.all([
    host.listQueues(),
    host.listExchanges(),
    host.listBindings(),
    host.listPolicies(),
    distant.listVirtualHosts(),
    distant.exchange('amq.topic').check(),
    queue.check(),
    queue.browse(),
  ]);
  // The connection is gone, so that nobody is asked before the next one.
  await vi.waitFor(() => expect(distant.connected).toBe(false), { interval: 1 });
  proxy.restore();
  const [queues, exchanges, bindings, policies, hosts, , counts, messages] = await asked;
  expect(queues.map(({ name }) => name)).toEqual(['work']);
  expect(exchanges.length).toBeGreaterThan(0);
  expect([bindings, policies, hosts]).toEqual([[], [], ['/']]);
  expect(counts.messageCount).toBe(1);
  expect(messages.map((message) => message.text())).toEqual(['a']);
  // What is refused for a reason is not asked again.
  expect(await codeOf(distant.queue('nowhere').check())).toBe('QUEUE_NOT_FOUND');
});

import { expect, test } from 'vitest';
import { codeOf, startPair } from './queue-bed.ts';

test('policies are set, replaced, listed and deleted, and change queues and exchanges', async () => {
  const { client } = await startPair();
  const host = client.virtualHost();
  const queue = client.queue('orders');
  await queue.declare();
  await client.queue('lost').declare();
  const topics = await client.exchange('topics').declare({ type: 'topic' });
  const catcher = await client.exchange('catcher').declare({ type: 'fanout' });
  await client.queue('lost').bind(catcher, '');
  for (const body of ['a', 'b', 'c']) await queue.publish(body);

  await host.setPolicy('limits', {
    pattern: '^orders$',
    applyTo: 'queues',
    priority: 2,
    maxLength: 2,
    deadLetterExchange: 'catcher',
    definition: { 'delivery-limit': 3 },
  });
  await host.setPolicy('catch', { pattern: '^topics', alternateExchange: 'catcher' });
  const listed = (await host.listPolicies()).sort((a, b) => (a.name < b.name ? -1 : 1));
  expect(listed).toEqual([
    {
      name: 'catch',
      pattern: '^topics',
      applyTo: 'all',
      priority: 0,
      definition: new Map([['alternate-exchange', 'catcher']]),
    },
    {
      name: 'limits',
      pattern: '^orders$',
      applyTo: 'queues',
      priority: 2,
      definition: new Map<string, unknown>([
        ['delivery-limit', 3],
        ['max-length', 2],
        ['dead-letter-exchange', 'catcher'],
      ]),
    },
  ]);
  const infos = await host.listQueues();
  expect(infos.find(({ name }) => name === 'orders')).toMatchObject({ policy: 'limits', messageCount: 2 });
  await topics.publish('nobody', { routingKey: 'x' });
  const lost = client.queue('lost');
  await expect.poll(async () => (await lost.check()).messageCount).toBe(2);
  expect([(await lost.get())?.text(), (await lost.get())?.text()].sort()).toEqual(['a', 'nobody']);

  await host.setPolicy('limits', { pattern: '^orders$', maxLength: 1 });
  expect((await queue.check()).messageCount).toBe(1);
  await host.deletePolicy('limits');
  await host.deletePolicy('limits');
  expect((await host.listPolicies()).map(({ name }) => name)).toEqual(['catch']);
  for (const body of ['d', 'e']) await queue.publish(body);
  expect((await queue.check()).messageCount).toBe(3);
});

/** Each option of a queue that is a setting too arrives under RabbitMQ's name. */
test('the options of a policy become settings', async () => {
  const { client } = await startPair();
  const host = client.virtualHost();
  await host.setPolicy('p', {
    pattern: 'x',
    messageTtlMs: 1,
    expiresMs: 2,
    maxLength: 3,
    maxLengthBytes: 4,
    overflow: 'reject-publish',
    deadLetterExchange: 'd',
    deadLetterRoutingKey: 'k',
    deadLetterStrategy: 'at-least-once',
    deliveryLimit: 5,
    consumerTimeoutMs: 6,
    delayedRetryType: 'all',
    delayedRetryMinMs: 7,
    delayedRetryMaxMs: 8,
    maxAge: '9D',
    alternateExchange: 'a',
  });
  const [policy] = await host.listPolicies();
  expect(Object.fromEntries(policy!.definition)).toEqual({
    'message-ttl': 1,
    expires: 2,
    'max-length': 3,
    'max-length-bytes': 4,
    overflow: 'reject-publish',
    'dead-letter-exchange': 'd',
    'dead-letter-routing-key': 'k',
    'dead-letter-strategy': 'at-least-once',
    'delivery-limit': 5,
    'consumer-timeout': 6,
    'delayed-retry-type': 'all',
    'delayed-retry-min': 7,
    'delayed-retry-max': 8,
    'max-age': '9D',
    'alternate-exchange': 'a',
  });
});

test('what is refused says why', async () => {
  const { client } = await startPair();
  const host = client.virtualHost();
  expect(await codeOf(host.setPolicy('p', { pattern: '^q' }))).toBe('INVALID_ARGUMENT');
  expect(await codeOf(host.setPolicy('p', { pattern: '[', maxLength: 1 }))).toBe('INVALID_ARGUMENT');
  await expect(host.setPolicy('p', { pattern: '', definition: { 'max-lenght': 1 } })).rejects.toThrow(
    'Did you mean "max-length"?',
  );
  await expect(host.setPolicy('p', { pattern: '', maxLength: 1, priority: 0.5 })).rejects.toThrow('Option priority');
  const nowhere = client.virtualHost('nowhere');
  expect(await codeOf(nowhere.setPolicy('p', { pattern: '', maxLength: 1 }))).toBe('VHOST_NOT_FOUND');
  expect(await codeOf(nowhere.listPolicies())).toBe('VHOST_NOT_FOUND');
  expect(await host.listPolicies()).toEqual([]);
});

/** Policies as users of queues meet them: set, replaced and deleted while queues are at work. */
import { describe, expect, test } from 'vitest';
import type { PolicyDeclaration } from '../../broker/queues/queue-service.ts';
import type { FieldValue } from '../../src/messages/field-value.ts';
import { settle } from '../support/node-environment.ts';
import { QueueClient, restartQueueNode, startQueueNode } from '../support/queue-node.ts';

type Settings = Readonly<Record<string, FieldValue>>;

function policy(name: string, settings: Settings, rest: Partial<PolicyDeclaration> = {}): PolicyDeclaration {
  return {
    name,
    pattern: '^q',
    applyTo: 'queues',
    priority: 0,
    definition: new Map(Object.entries(settings)),
    ...rest,
  };
}

async function setUp(queueArguments: Settings = {}) {
  const node = await startQueueNode();
  const client = new QueueClient(node);
  await client.declare({ arguments: new Map(Object.entries(queueArguments)) });
  await client.declare({ name: 'other' });
  const { session } = client;
  const bodies = async (queue = 'q'): Promise<string[]> => {
    await settle();
    const list: string[] = [];
    await session.browseQueue(queue, { skip: 0, limit: 100 }, (view) => list.push(view.body.toString()));
    return list;
  };
  const publishAll = async (...texts: string[]) => {
    for (const text of texts) await client.publish(text);
  };
  const applied = () => session.listQueues().find(({ name }) => name === 'q')?.policy;
  return { node, client, session, bodies, publishAll, applied };
}

describe('a policy changes a queue that has messages', () => {
  test('max-length drops the oldest at once, and until the policy is deleted', async () => {
    const { client, session, bodies, publishAll } = await setUp();
    await publishAll('a', 'b', 'c', 'd');
    await client.publish('x', { routingKey: 'other' });
    await client.publish('y', { routingKey: 'other' });
    await session.setPolicy(policy('p', { 'max-length': 2 }));
    expect(await bodies()).toEqual(['c', 'd']);
    await publishAll('e');
    expect(await bodies()).toEqual(['d', 'e']);
    // The pattern does not match this one.
    await client.publish('z', { routingKey: 'other' });
    expect(await bodies('other')).toEqual(['x', 'y', 'z']);
    await session.setPolicy(policy('p', { 'max-length': 1 }));
    expect(await bodies()).toEqual(['e']);
    await session.deletePolicy('p');
    await publishAll('f', 'g', 'h');
    expect(await bodies()).toEqual(['e', 'f', 'g', 'h']);
  });

  test('max-length-bytes drops the oldest', async () => {
    const { client, session, bodies, publishAll } = await setUp();
    await publishAll('aaaa', 'bbbb', 'cccc');
    await client.get('q', true);
    await session.setPolicy(policy('p', { 'max-length-bytes': 8 }));
    expect(await bodies()).toEqual(['bbbb', 'cccc']);
    await publishAll('dd');
    expect(await bodies()).toEqual(['cccc', 'dd']);
  });

  test('max-length-bytes waits where messages were dropped unread, until the queue is empty', async () => {
    const { client, session, bodies, publishAll } = await setUp({ 'x-max-length': 2 });
    await publishAll('aaaa', 'bbbb', 'cccc', 'dddd');
    await session.setPolicy(policy('p', { 'max-length-bytes': 8, overflow: 'drop-head' }));
    await publishAll('eeee');
    // 20 bytes were published, 8 are there: none may be dropped for the 12 that are gone.
    expect(await bodies()).toEqual(['dddd', 'eeee']);
    for (let count = 0; count < 2; count++) await client.get('q', true);
    await publishAll('ffffff', 'gggggg');
    expect(await bodies()).toEqual(['gggggg']);
  });

  test('max-length-bytes waits where messages were found unread, until the queue is opened again', async () => {
    const { node, publishAll } = await setUp();
    await publishAll('aaaa', 'bbbb', 'cccc');
    const between = await restartQueueNode(node, 'stop');
    const client = new QueueClient(between);
    await client.get('q', true);
    await client.session.setPolicy(policy('p', { 'max-length-bytes': 8 }));
    for (const body of ['dddd', 'eeee', 'ffff', 'gggg']) await client.publish(body);
    expect(client.session.checkQueue('q').messageCount).toBe(6);
    const next = new QueueClient(await restartQueueNode(between, 'stop'));
    await next.publish('hhhh');
    await settle();
    expect([await next.get(), await next.get(), await next.get()]).toMatchObject([
      { body: 'gggg' },
      { body: 'hhhh' },
      undefined,
    ]);
  });

  test('overflow refuses publishers', async () => {
    const { client, session, bodies, publishAll } = await setUp();
    await publishAll('a', 'b');
    await session.setPolicy(policy('p', { 'max-length': 1, overflow: 'reject-publish' }));
    expect(await client.publish('c')).toBe(false);
    expect(await bodies()).toEqual(['a', 'b']);
    await session.deletePolicy('p');
    expect(await client.publish('c')).toBe(true);
  });

  test('message-ttl counts from when a message came, also before the policy did', async () => {
    const { node, session, bodies, publishAll } = await setUp();
    await publishAll('a');
    node.clock.advance(600);
    await publishAll('b');
    await session.setPolicy(policy('p', { 'message-ttl': 1000 }));
    expect(await bodies()).toEqual(['a', 'b']);
    node.clock.advance(500);
    expect(await bodies()).toEqual(['b']);
    await session.deletePolicy('p');
    node.clock.advance(10_000);
    expect(await bodies()).toEqual(['b']);
  });

  test('expires deletes it when it is not used', async () => {
    const { node, session } = await setUp();
    await session.setPolicy(policy('p', { expires: 1000 }));
    node.clock.advance(1100);
    await settle();
    expect(session.listQueues().map(({ name }) => name)).toEqual(['other']);
  });

  test('dead-letter-exchange gets what is rejected from then on', async () => {
    const { client, session, bodies, publishAll } = await setUp();
    const rejectOne = async () => {
      const got = await client.get();
      client.channel.reject(got!.tag, { multiple: false, requeue: false });
      await settle();
    };
    await publishAll('a', 'b', 'c');
    await rejectOne();
    expect(await bodies('other')).toEqual([]);
    await session.setPolicy(policy('p', { 'dead-letter-exchange': '', 'dead-letter-routing-key': 'other' }));
    await rejectOne();
    expect(await bodies('other')).toEqual(['b']);
    await session.deletePolicy('p');
    await rejectOne();
    expect(await bodies('other')).toEqual(['b']);
    expect(await bodies()).toEqual([]);
  });
});

describe('an argument of the queue against a policy', () => {
  test.each([
    [3, 2, ['c', 'd']],
    [2, 3, ['c', 'd']],
  ])('max-length: the smaller wins (argument %d, policy %d)', async (argument, setting, left) => {
    const { session, bodies, publishAll } = await setUp({ 'x-max-length': argument });
    await session.setPolicy(policy('p', { 'max-length': setting }));
    await publishAll('a', 'b', 'c', 'd');
    expect(await bodies()).toEqual(left);
    await session.deletePolicy('p');
    await publishAll('e', 'f', 'g', 'h');
    // The argument alone again.
    expect((await bodies()).length).toBe(argument);
  });

  test('overflow and dead-letter-exchange: the argument wins', async () => {
    const { client, session, bodies, publishAll } = await setUp({
      'x-max-length': 1,
      'x-overflow': 'drop-head',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'other',
    });
    await session.setPolicy(policy('p', { overflow: 'reject-publish', 'dead-letter-exchange': 'nowhere' }));
    await publishAll('a');
    expect(await client.publish('b')).toBe(true);
    expect(await bodies()).toEqual(['b']);
    expect(await bodies('other')).toEqual(['a']);
  });

  test('overflow of a quorum queue: the policy wins', async () => {
    const { client, session } = await setUp({
      'x-queue-type': 'quorum',
      'x-max-length': 1,
      'x-overflow': 'drop-head',
    });
    await session.setPolicy(policy('p', { overflow: 'reject-publish' }));
    expect([await client.publish('a'), await client.publish('b')]).toEqual([true, false]);
  });
});

describe('of several policies', () => {
  test('the one with the highest priority applies, alone; of equals the first by name', async () => {
    const { session, bodies, publishAll, applied } = await setUp();
    await session.setPolicy(policy('b', { 'max-length': 3 }));
    await session.setPolicy(policy('c', { 'max-length': 1 }));
    expect(applied()).toBe('b');
    await publishAll('1', '2', '3', '4');
    expect(await bodies()).toEqual(['2', '3', '4']);
    await session.setPolicy(policy('z', { 'message-ttl': 1_000_000 }, { priority: 1 }));
    expect(applied()).toBe('z');
    await publishAll('5', '6');
    expect(await bodies()).toEqual(['2', '3', '4', '5', '6']);
    await session.setPolicy(policy('a', { 'max-length': 2 }, { priority: -1 }));
    expect(applied()).toBe('z');
    await session.deletePolicy('z');
    expect(applied()).toBe('b');
    expect(await bodies()).toEqual(['4', '5', '6']);
    for (const name of ['b', 'c']) await session.deletePolicy(name);
    expect(applied()).toBe('a');
    await session.deletePolicy('a');
    expect(applied()).toBeUndefined();
  });

  test('those for other types of queues do not count', async () => {
    const { session, applied } = await setUp({ 'x-queue-type': 'quorum' });
    await session.setPolicy(policy('p', { 'max-length': 1 }, { applyTo: 'classic_queues', priority: 9 }));
    await session.setPolicy(policy('s', { 'max-age': '1D' }, { applyTo: 'all', priority: 8 }));
    expect(applied()).toBeUndefined();
    await session.setPolicy(policy('r', { 'max-length': 1 }, { applyTo: 'quorum_queues' }));
    expect(applied()).toBe('r');
  });
});

test.each(['stop', 'crash'] as const)('policies and what they mean survive a %s', async (how) => {
  const { node, session, publishAll } = await setUp();
  const set = policy('p', { 'max-length': 2 }, { pattern: '^q$', priority: 4 });
  await session.setPolicy(set);
  await publishAll('a');
  const next = new QueueClient(await restartQueueNode(node, how));
  expect(next.session.listPolicies()).toEqual([set]);
  await next.publish('b');
  await next.publish('c');
  expect(next.session.checkQueue('q').messageCount).toBe(2);
});

test('policies are of one virtual host', async () => {
  const { node, session, applied } = await setUp();
  await node.queues.createVirtualHost('v');
  const there = new QueueClient(node, 'v');
  await there.session.setPolicy(policy('p', { 'max-length': 1 }));
  expect([session.listPolicies(), applied()]).toEqual([[], undefined]);
  expect(there.session.listPolicies()).toHaveLength(1);
});

test.each<[string, PolicyDeclaration, string]>([
  ['no settings', policy('p', {}), 'INVALID_ARGUMENT'],
  ['an unknown setting', policy('p', { 'max-lenght': 1 }), 'INVALID_ARGUMENT'],
  ['a setting that is none of policies', policy('p', { 'max-priority': 1 }), 'INVALID_ARGUMENT'],
  ['a value that cannot be', policy('p', { 'max-length': -1 }), 'INVALID_ARGUMENT'],
  ['an unknown scope', policy('p', { 'max-length': 1 }, { applyTo: 'topics' }), 'INVALID_ARGUMENT'],
  ['a pattern that is none', policy('p', { 'max-length': 1 }, { pattern: '(' }), 'INVALID_ARGUMENT'],
  ['a priority that is no whole number', policy('p', { 'max-length': 1 }, { priority: 0.5 }), 'INVALID_ARGUMENT'],
  ['no name', policy('', { 'max-length': 1 }), 'INVALID_ARGUMENT'],
])('a policy with %s is refused, and changes nothing', async (_, declared, code) => {
  const { session } = await setUp();
  await expect(session.setPolicy(declared)).rejects.toMatchObject({ code });
  expect(session.listPolicies()).toEqual([]);
});

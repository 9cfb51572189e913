import { expect, onTestFinished, test } from 'vitest';
import { connect } from '../../client/index.ts';
import { runCommand, startBrokerProcess } from '../support/cli.ts';

async function setUp() {
  const { url } = await startBrokerProcess();
  const client = await connect(url);
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  await client.admin().createTopic({ name: 'orders', partitions: 2 });
  const records = Array.from({ length: 10 }, (_, i) => ({
    topic: 'orders',
    partition: i % 2,
    value: new Uint8Array(1),
    timestampMs: 1_700_000_000_000 + i,
  }));
  await client.producer().sendMany(records);
  const group = async (...words: string[]) => {
    const { code, stdout, stderr } = await runCommand(['group', ...words, '--server', url]);
    return { code, text: stdout.toString(), stderr };
  };
  return { client, group };
}

/** Joins, reads everything, commits. */
async function consumeAll(client: Awaited<ReturnType<typeof setUp>>['client']) {
  const consumer = client.consumer({ group: 'billing', topics: ['orders'], from: 'earliest', autoCommit: false });
  for (let seen = 0; seen < 10; ) seen += (await consumer.poll()).length;
  await consumer.commit();
  return consumer;
}

test('list, describe, reset and delete do what they say', async () => {
  const { client, group } = await setUp();
  expect((await group('list')).text).toBe('No consumer groups.\n');
  const consumer = await consumeAll(client);
  expect((await group('list')).text).toBe('GROUP    STATE   TYPE\nbilling  Stable  consumer\n');
  const busy = (await group('describe', 'billing')).text;
  expect(busy).toContain('billing: Stable, cooperative-sticky, 1 member, lag 0\n');
  expect(busy).toMatch(/\norders +0 +5 +5 +0 +burrowmq +burrowmq-/);
  await consumer.close();

  const shifted = await group('reset', 'billing', '--shift-by', '-2', '--topic', 'orders:1');
  expect(shifted).toEqual({
    code: 0,
    text: 'TOPIC   PARTITION  FROM  TO\norders          1     5   3\nReset 1 partition of billing.\n',
    stderr: '',
  });
  const tried = await group('reset', 'billing', '--to', 'earliest', '--dry-run', '--json');
  expect(JSON.parse(tried.text)).toEqual([
    { topic: 'orders', partition: 0, from: 5, to: 0 },
    { topic: 'orders', partition: 1, from: 3, to: 0 },
  ]);
  const dated = await group('reset', 'billing', '--to', 'timestamp:1700000000006', '--json');
  expect(JSON.parse(dated.text)).toEqual([
    { topic: 'orders', partition: 0, from: 5, to: 3 },
    { topic: 'orders', partition: 1, from: 3, to: 3 },
  ]);
  const [described] = JSON.parse((await group('describe', 'billing', '--json')).text) as Array<Record<string, unknown>>;
  expect(described).toMatchObject({ groupId: 'billing', state: 'Empty', members: [], partitions: [{ lag: 2 }, {}] });
  expect((await group('delete', 'billing')).text).toBe('Deleted billing.\n');
  expect(JSON.parse((await group('list', '--json')).text)).toEqual([]);
});

test('what is refused is told by one line and the exit code', async () => {
  const { client, group } = await setUp();
  const consumer = await consumeAll(client);
  for (const words of [
    ['reset', 'billing', '--to', 'earliest'],
    ['delete', 'billing'],
  ]) {
    const { code, stderr } = await group(...words);
    expect([code, stderr], words.join(' ')).toEqual([1, expect.stringMatching(/^burrow: .*\[NON_EMPTY_GROUP\]\n$/)]);
  }
  await consumer.close();
  const unknown = await group('describe', 'nobody');
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringMatching(/^burrow: .*\[GROUP_ID_NOT_FOUND\]\n$/)]);
  for (const words of [
    ['reset', 'billing'],
    ['reset', 'billing', '--to', 'yesterday'],
    ['reset', 'billing', '--shift-by', 'two'],
    ['reset', 'billing', '--to', '0', '--shift-by', '1'],
    ['reset', 'billing', '--to', '0', '--topic', ':1'],
  ]) {
    const { code, stderr } = await group(...words);
    expect([code, stderr], words.join(' ')).toEqual([2, expect.stringMatching(/^burrow: .*\n$/)]);
  }
});

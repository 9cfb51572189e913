import { expect, test } from 'vitest';
import { runCommand, startBrokerProcess } from '../support/cli.ts';

async function topicCommands(): Promise<
  (...words: string[]) => Promise<{ code: number | null; text: string; stderr: string }>
> {
  const { url } = await startBrokerProcess();
  return async (...words) => {
    const { code, stdout, stderr } = await runCommand(['topic', ...words, '--server', url]);
    return { code, text: stdout.toString(), stderr };
  };
}

test('create, list, describe, alter and delete do what they say', async () => {
  const topic = await topicCommands();
  expect((await topic('list')).text).toBe('No topics yet: burrow topic create NAME\n');
  const words = ['create', 'orders', '--partitions', '2', '--config', 'retention.ms=60000'];
  expect(await topic(...words)).toEqual({ code: 0, text: 'Created orders with 2 partitions.\n', stderr: '' });
  expect((await topic('create', 'audit')).text).toBe('Created audit with 1 partition.\n');
  expect((await topic('list')).text).toBe('TOPIC   PARTITIONS\naudit            1\norders           2\n');

  const described = (await topic('describe', 'orders')).text;
  expect(described).toContain('orders: 2 partitions');
  expect(described).toContain('retention.ms = 60000');

  expect((await topic('alter', 'orders', '--partitions', '3', '--unset-config', 'retention.ms')).code).toBe(0);
  const after = JSON.parse((await topic('describe', 'orders', '--json')).text) as Array<{
    partitions: Array<{ partition: number; logStartOffset: number; highWatermark: number }>;
    configs: Array<{ key: string; isDefault: boolean }>;
  }>;
  expect(after[0]!.partitions).toMatchObject([
    { partition: 0, logStartOffset: 0, highWatermark: 0 },
    { partition: 1 },
    { partition: 2 },
  ]);
  expect(after[0]!.configs.find(({ key }) => key === 'retention.ms')?.isDefault).toBe(true);

  expect((await topic('delete', 'orders', 'audit')).text).toBe('Deleted orders, audit.\n');
  expect(JSON.parse((await topic('list', '--json')).text)).toEqual([]);
});

test('what exists, or does not, is told by one line and the exit code, or passed over if asked', async () => {
  const topic = await topicCommands();
  await topic('create', 't');
  const again = await topic('create', 't');
  expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/^burrow: .*\[ALREADY_EXISTS\]\n$/)]);
  expect(await topic('create', 't', '--if-not-exists')).toEqual({
    code: 0,
    text: 't exists, with 1 partition.\n',
    stderr: '',
  });
  for (const words of [
    ['describe', 'x'],
    ['delete', 'x'],
    ['alter', 'x', '--partitions', '2'],
  ]) {
    const { code, stderr } = await topic(...words);
    expect([code, stderr], words.join(' ')).toEqual([4, expect.stringMatching(/^burrow: .*x.*\n$/)]);
  }
  expect(await topic('delete', 'x', '--if-exists')).toEqual({ code: 0, text: 'Nothing to delete.\n', stderr: '' });
});

test('names, numbers and configs that are not allowed exit with 2', async () => {
  const topic = await topicCommands();
  for (const words of [
    ['create', '../etc'],
    ['create', 't', '--config', 'retention.minutes=1'],
    ['create', 't', '--config', 'retention.ms=soon'],
    ['create', 't', '--replication-factor', '2'],
    ['create', 't', '--partitions', '1000000000'],
  ]) {
    const { code, stderr } = await topic(...words);
    expect([code, stderr.split('\n').length], `${words.join(' ')}: ${stderr}`).toEqual([2, 2]);
  }
});

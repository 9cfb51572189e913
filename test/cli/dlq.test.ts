import { expect, onTestFinished, test } from 'vitest';
import { connect, openFailurePolicy, type ProducerRecord } from '../../client/index.ts';
import { runCommand, startBrokerProcess } from '../support/cli.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

/** Six records of `orders` have failed for `billing`: 0 to 3 with a TypeError, the others with a RangeError. */
async function setUp() {
  const { url } = await startBrokerProcess();
  const client = await connect(url);
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  await client.admin().createTopic({ name: 'orders', partitions: 2 });
  const records: ProducerRecord[] = Array.from({ length: 6 }, (_, index) => ({
    topic: 'orders',
    partition: index % 2,
    key: bytes(`k${index}`),
    value: bytes(`v${index}`),
    headers: { trace: String(index) },
  }));
  await client.producer().sendMany(records);
  const options = { topics: ['orders'], group: 'billing', retry: { attempts: 3 }, deadLetter: true } as const;
  const policy = await openFailurePolicy(client, options);
  onTestFinished(() => policy.close({ timeoutMs: 0 }));
  const consumer = client.consumer({ assignment: [{ topic: 'orders' }], from: 'earliest' });
  for (let seen = 0; seen < 6; ) {
    for (const record of await consumer.poll()) {
      const index = Number(new TextDecoder().decode(record.value!).slice(1));
      const error = index < 4 ? new TypeError(`no\n\u001b[31m${index}`) : new RangeError(`no ${index}`);
      await policy.setAside(record, 3, error);
      seen += 1;
    }
  }
  const dlq = async (...words: string[]) => {
    const { code, stdout, stderr } = await runCommand(['dlq', ...words, '--server', url]);
    return { code, text: stdout.toString(), stderr };
  };
  return { client, dlq };
}

const TOPIC = 'orders.billing.dlq';

/** Of a table: columns stand two spaces apart. */
function cells(text: string): string[][] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().split(/ {2,}/));
}

test('list and show tell what there is', async () => {
  const { dlq } = await setUp();
  expect(cells((await dlq('list')).text)).toEqual([
    ['TOPIC', 'FROM', 'GROUP', 'RECORDS', 'NOT REPLAYED', 'BYTES'],
    [TOPIC, 'orders', 'billing', '6', '6', expect.stringMatching(/^\d+$/)],
  ]);
  const [listed] = JSON.parse((await dlq('list', '--json')).text) as unknown[];
  expect(listed).toMatchObject({ topic: TOPIC, source: { topic: 'orders', group: 'billing' }, records: 6, pending: 6 });

  const table = cells((await dlq('show', TOPIC)).text);
  expect(table[0]).toEqual(['PLACE', 'FAILED AT', 'FROM', 'GROUP', 'TRIES', 'ERROR', 'MESSAGE', 'KEY', 'REPLAYED']);
  const failedAt = expect.stringMatching(/^20\d\d-\S+Z$/);
  expect(table[2]).toEqual(['0:1', failedAt, 'orders:0:1', 'billing', '3', 'TypeError', 'no \\u{1b}[31m2', 'k2', 'no']);
  expect(table).toHaveLength(7);
  const limited = (await dlq('show', TOPIC, '--limit', '2')).text;
  expect(limited).toMatch(/k0 +no\n.*k2 +no\nThere are more: --limit shows more than 2\.\n$/);

  const lines = (await dlq('show', TOPIC, '--json', '--error', 'RangeError', '--offsets', '2-')).text
    .trim()
    .split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    {
      topic: TOPIC,
      partition: 0,
      offset: 2,
      origin: { topic: 'orders', partition: 0, offset: 2 },
      group: 'billing',
      attempts: 3,
      errorName: 'RangeError',
      errorMessage: 'no 4',
      errorStack: expect.stringContaining('RangeError: no 4'),
      key: 'k4',
      value: 'v4',
      headers: [['trace', '4']],
      replayed: false,
    },
    { partition: 1, key: 'k5' },
  ]);
  const long = (await dlq('show', TOPIC, '--long', '--key', 'k1')).text;
  expect(long).toMatch(
    /^1:0 from orders:1:0\n {2}failed {3}20.*Z, 3 attempts, group billing\n {2}error {4}TypeError: no \\u\{1b\}\[31m1\n/,
  );
  expect(long).toMatch(/\n {15,}at .*\n {2}key {6}k1\n {2}header {3}trace: 1\n {2}value {4}v1\n\n$/);
  expect((await dlq('show', TOPIC, '--group', 'x')).text).toBe(`No dead letters in ${TOPIC} that are asked for.\n`);
});

test('replay puts back what is asked for, once', async () => {
  const { client, dlq } = await setUp();
  const ends = async () => (await client.admin().offsets('orders', 'latest')).map(({ offset }) => offset);
  expect((await dlq('replay', TOPIC, '--error', 'TypeError', '--dry-run')).text).toBe(
    'Would replay 4 records to orders.\nPassed over: 2 records not asked for.\n',
  );
  expect(await ends()).toEqual([3, 3]);
  expect((await dlq('replay', TOPIC, '--partition', '1', '--offsets', '0', '--keep')).text).toBe(
    'Replayed 1 record to orders.\nPassed over: 5 records not asked for.\n',
  );
  const facts = JSON.parse((await dlq('replay', TOPIC, '--error', 'TypeError', '--json')).text) as unknown;
  expect(facts).toEqual({
    topic: TOPIC,
    replayed: 3,
    targets: [{ topic: 'orders', records: 3 }],
    alreadyReplayed: 1,
    filtered: 2,
    withoutOrigin: 0,
    removed: 4,
    dryRun: false,
  });
  expect(await ends()).toEqual([5, 5]);
  expect((await dlq('replay', TOPIC, '--limit', '1')).text).toBe(
    `Replayed 1 record to orders.\nRemoved 1 record from ${TOPIC}.\n`,
  );
  await client.admin().createTopic({ name: 'mended' });
  expect((await dlq('replay', TOPIC, '--to', 'mended')).text).toBe(
    `Replayed 1 record to mended.\nRemoved 1 record from ${TOPIC}.\n`,
  );
  expect((await dlq('replay', TOPIC)).text).toBe('Nothing to replay.\n');
  expect((await dlq('show', TOPIC)).text).toBe(`No dead letters in ${TOPIC} that are asked for.\n`);
});

test('purge removes for good, if that is meant', async () => {
  const { dlq } = await setUp();
  expect(await dlq('purge', TOPIC)).toEqual({
    code: 2,
    text: '',
    stderr: `burrow: This would remove 6 records from ${TOPIC} for good. Say --yes to do it. [INVALID_ARGUMENT]\n`,
  });
  const tried = (await dlq('purge', TOPIC, '--partition', '1', '--dry-run')).text;
  expect(tried).toBe(
    `PARTITION  START  NEW START\n        1      0          3\nWould remove 3 records from ${TOPIC}.\n`,
  );
  expect((await dlq('purge', TOPIC, '--before', '2020-01-01', '--yes')).text).toBe('Nothing to purge.\n');
  expect((await dlq('purge', TOPIC, '--replayed', '--yes')).text).toBe('Nothing to purge.\n');
  await dlq('replay', TOPIC, '--keep', '--limit', '2');
  expect(JSON.parse((await dlq('purge', TOPIC, '--replayed', '--yes', '--json')).text)).toEqual({
    topic: TOPIC,
    records: 2,
    dryRun: false,
    partitions: [{ partition: 0, from: 0, to: 2 }],
  });
  expect((await dlq('purge', TOPIC, '--yes')).text).toMatch(/\nRemoved 4 records from orders\.billing\.dlq\.\n$/);
});

test('what is refused is told by one line and the exit code', async () => {
  const { dlq } = await setUp();
  for (const words of [
    ['show', 'nothing.dlq'],
    ['replay', 'nothing.dlq'],
    ['purge', 'nothing.dlq', '--yes'],
    ['list', 'nothing.dlq'],
    ['purge', TOPIC, '--partition', '7', '--yes'],
  ]) {
    const { code, stderr } = await dlq(...words);
    expect([code, stderr], words.join(' ')).toEqual([4, expect.stringMatching(/^burrow: .*\n$/)]);
  }
  for (const words of [
    ['show'],
    ['show', TOPIC, '--limit', '0'],
    ['show', TOPIC, '--offsets', 'x'],
    ['show', TOPIC, '--offsets', '-'],
    ['replay', TOPIC, '--since', 'yesterday'],
    ['replay', TOPIC, '--since', '17'],
    ['replay', TOPIC, '--to', TOPIC],
    ['purge', TOPIC, '--before', 'latest'],
  ]) {
    const { code, stderr } = await dlq(...words);
    expect([code, stderr], words.join(' ')).toEqual([2, expect.stringMatching(/^burrow: .*\n$/)]);
  }
});

import { expect, test } from 'vitest';
import { runCommand, startBrokerProcess } from '../support/cli.ts';

async function setUp() {
  const { url } = await startBrokerProcess();
  return async (words: string, input?: string) => {
    const options = input === undefined ? {} : { input };
    const { code, stdout, stderr } = await runCommand([...words.split(' '), '--server', url], options);
    return { code, text: stdout.toString(), stderr };
  };
}

/** Each command is a process, and machines that test are busy. */
const TIMEOUT_MS = 120_000;

test('exchanges, queues, bindings and virtual hosts are declared, listed and deleted', {
  timeout: TIMEOUT_MS,
}, async () => {
  const burrow = await setUp();
  expect((await burrow('queue list')).text).toBe('No queues yet: burrow queue declare NAME\n');
  expect((await burrow('binding list')).text).toBe('No bindings.\n');
  expect((await burrow('exchange declare events --type topic --argument alternate-exchange=lost')).text).toBe(
    'Declared topic exchange events.\n',
  );
  expect(
    (await burrow('queue declare audit --argument x-max-length=5 --argument x-overflow=reject-publish')).text,
  ).toBe('Declared audit, with 0 messages.\n');
  expect((await burrow('binding declare events audit --key order.#')).text).toBe('Bound queue audit to events.\n');
  expect((await burrow('binding list')).text).toBe(
    'EXCHANGE  TO     DESTINATION  KEY      ARGUMENTS\nevents    queue  audit        order.#\n',
  );
  const exchanges = (await burrow('exchange list')).text;
  expect(exchanges).toMatch(/^EXCHANGE +TYPE +DURABLE +AUTO-DELETE +INTERNAL +ARGUMENTS\n\(default\) +direct/);
  expect(exchanges).toMatch(/\nevents +topic +yes +no +no +alternate-exchange=lost\n/);
  const [listed] = JSON.parse((await burrow('queue list --json')).text) as unknown[];
  expect(listed).toMatchObject({
    name: 'audit',
    durable: true,
    messageCount: 0,
    consumerCount: 0,
    policy: null,
    failure: null,
    arguments: { 'x-max-length': 5, 'x-overflow': 'reject-publish' },
  });
  expect((await burrow('binding delete events audit --key order.#')).code).toBe(0);
  expect(JSON.parse((await burrow('binding list --json')).text)).toEqual([]);
  expect((await burrow('exchange delete events')).text).toBe('Deleted events.\n');
  expect((await burrow('queue delete audit')).text).toBe('Deleted audit with 0 messages.\n');
  expect((await burrow('vhost declare shop')).text).toBe('Declared shop.\n');
  expect((await burrow('vhost list')).text).toBe('VHOST\n/\nshop\n');
  expect((await burrow('queue declare q --vhost shop')).code).toBe(0);
  expect(JSON.parse((await burrow('queue list --json')).text)).toEqual([]);
  expect((await burrow('vhost delete shop')).text).toBe('Deleted shop.\n');
});

test('messages are published, peeked at, taken, moved and purged', { timeout: TIMEOUT_MS }, async () => {
  const burrow = await setUp();
  await burrow('queue declare work');
  await burrow('queue declare other');
  expect((await burrow('queue publish work --header kind=test --priority 3', 'one\n\ntwo')).text).toBe(
    'Published 3 messages.\n',
  );
  expect((await burrow('queue publish work three four')).text).toBe('Published 2 messages.\n');
  const peeked = (await burrow('queue peek work --count 2 --skip 1')).text;
  expect(peeked).toMatch(/^POSITION +TIME +EXCHANGE +KEY +HEADERS +BYTES +BODY\n/);
  expect(peeked).toMatch(/\n +1 +\S+Z +- +work +kind=test +0\n +2 +\S+Z +- +work +kind=test +3 +two\n$/);
  expect((await burrow('queue get work')).text).toBe('one\n');
  expect((await burrow('queue get work --count 2 --requeue')).text).toBe('\ntwo\n');
  const lines = (await burrow('queue get work --count 10 --requeue --json')).text.trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { body: '', headers: { kind: 'test' }, properties: { priority: 3 } },
    { body: 'two', routingKey: 'work', exchange: '' },
    { body: 'three', headers: {} },
    { body: 'four' },
  ]);
  expect((await burrow('queue move work other --count 3')).text).toBe('Moved 3 messages from work to other.\n');
  expect((await burrow('queue get other --count 10')).text).toBe('\ntwo\nthree\n');
  expect((await burrow('queue purge work')).text).toBe('Removed 1 message of work.\n');
  expect((await burrow('queue peek work')).text).toBe('No messages.\n');
});

test('what is refused is told by one line and the exit code', { timeout: TIMEOUT_MS }, async () => {
  const burrow = await setUp();
  await burrow('queue declare work');
  for (const [words, code, name] of [
    ['queue get nowhere', 4, 'QUEUE_NOT_FOUND'],
    ['queue delete nowhere', 4, 'QUEUE_NOT_FOUND'],
    ['queue move work nowhere', 4, 'QUEUE_NOT_FOUND'],
    ['exchange delete nowhere', 4, 'EXCHANGE_NOT_FOUND'],
    ['binding declare nowhere work', 4, 'EXCHANGE_NOT_FOUND'],
    ['queue list --vhost nowhere', 4, 'VHOST_NOT_FOUND'],
    ['queue publish nowhere x', 1, 'UNROUTABLE'],
    ['queue declare work --argument x-max-length=1', 1, 'DECLARED_DIFFERENTLY'],
    ['queue declare other --argument x-max-length', 2, 'INVALID_ARGUMENT'],
    ['queue declare other --argument x-max-length=-1', 2, 'INVALID_ARGUMENT'],
    ['queue move work work', 2, 'INVALID_ARGUMENT'],
    ['exchange delete amq.direct', 1, 'ACCESS_REFUSED'],
  ] as const) {
    const { code: found, stderr } = await burrow(words);
    expect([found, stderr], words).toEqual([code, expect.stringMatching(new RegExp(`^burrow: .*\\[${name}\\]\\n$`))]);
  }
});

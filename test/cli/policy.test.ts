import { expect, test } from 'vitest';
import { runCommand, startBrokerProcess } from '../support/cli.ts';

/** Each command is a process, and machines that test are busy. */
const TIMEOUT_MS = 120_000;

async function setUp() {
  const { url } = await startBrokerProcess();
  return async (...words: string[]) => {
    const { code, stdout, stderr } = await runCommand([...words, '--server', url], {});
    return { code, text: stdout.toString(), stderr };
  };
}

test('policies are set, listed and deleted', { timeout: TIMEOUT_MS }, async () => {
  const burrow = await setUp();
  expect((await burrow('policy', 'list')).text).toBe('No policies.\n');
  await burrow('queue', 'declare', 'orders');
  const limits = ['set', 'limits', 'max-length=2', 'overflow=reject-publish', '--pattern', '^orders'];
  expect((await burrow('policy', ...limits, '--apply-to', 'queues', '--priority', '-1')).text).toBe(
    'Set policy limits.\n',
  );
  const json = '{"dead-letter-exchange": "", "dead-letter-routing-key": "10"}';
  await burrow('policy', 'set', 'dead', json, 'message-ttl=60000', '--pattern', 'x$', '--json');
  expect((await burrow('policy', 'list')).text).toBe(
    [
      'POLICY  PATTERN  APPLY-TO  PRIORITY  SETTINGS',
      'dead    x$       all              0  dead-letter-exchange= dead-letter-routing-key=10 message-ttl=60000',
      'limits  ^orders  queues          -1  max-length=2 overflow=reject-publish',
      '',
    ].join('\n'),
  );
  expect(JSON.parse((await burrow('policy', 'list', '--json')).text)).toEqual([
    {
      name: 'dead',
      pattern: 'x$',
      applyTo: 'all',
      priority: 0,
      definition: { 'dead-letter-exchange': '', 'dead-letter-routing-key': '10', 'message-ttl': 60_000 },
    },
    {
      name: 'limits',
      pattern: '^orders',
      applyTo: 'queues',
      priority: -1,
      definition: { 'max-length': 2, overflow: 'reject-publish' },
    },
  ]);
  expect(JSON.parse((await burrow('queue', 'list', '--json')).text)).toMatchObject([{ policy: 'limits' }]);
  const refused = await burrow('queue', 'publish', 'orders', 'a', 'b', 'c');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('[QUEUE_FULL]')]);
  // One name that is not there: nothing is deleted.
  expect((await burrow('policy', 'delete', 'limits', 'nothing')).code).toBe(2);
  expect((await burrow('policy', 'delete', 'limits', 'dead')).text).toBe('Deleted limits, dead.\n');
  expect((await burrow('policy', 'list')).text).toBe('No policies.\n');
});

test('what is refused is told by one line and the exit code', { timeout: TIMEOUT_MS }, async () => {
  const burrow = await setUp();
  for (const [words, code, says] of [
    [['set', 'p', 'max-length', '--pattern', 'x'], 2, 'must be NAME=VALUE. [INVALID_ARGUMENT]'],
    [['set', 'p', '{"max-length":', '--pattern', 'x'], 2, 'not valid JSON. [INVALID_ARGUMENT]'],
    [['set', 'p', 'max-lenght=1', '--pattern', 'x'], 2, 'Did you mean "max-length"? [INVALID_ARGUMENT]'],
    [['set', 'p', 'max-length=1', '--pattern', '('], 2, '[INVALID_ARGUMENT]'],
    [['set', 'p', 'max-length=1'], 2, '--pattern'],
    [['set', 'p', 'max-length=1', '--pattern', 'x', '--apply-to', 'topics'], 2, 'quorum_queues'],
    [['set', 'p', 'max-length=1', '--pattern', 'x', '--priority', '1.5'], 2, 'whole number'],
    [['set', 'p', 'max-length=1', '--pattern', 'x', '--vhost', 'nowhere'], 4, '[VHOST_NOT_FOUND]'],
    [['delete', 'p'], 2, "There is no policy 'p' in vhost '/'. [INVALID_ARGUMENT]"],
  ] as const) {
    const found = await burrow('policy', ...words);
    expect([found.code, found.stderr], words.join(' ')).toEqual([code, expect.stringContaining(says)]);
    expect(found.stderr, words.join(' ')).toMatch(/^burrow: .*\n$/);
  }
});

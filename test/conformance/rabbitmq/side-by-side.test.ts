/**
 * The same scenarios on the real RabbitMQ and on this broker: what clients see must be the same, but for the differences that
 * docs/rabbitmq-differences.md lists. One that is not listed fails, and so does a listed one that is none any more.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../../broker/index.ts';
import { readTableRows } from '../../support/markdown-table.ts';
import { missingRabbitMq, type RabbitMqNode, startRabbitMq } from '../../support/rabbitmq-node.ts';
import { allowedDiff, DIFFERENCES, withoutAllowed } from './differences.ts';
import { play } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';
import { transcriptDiff } from './transcript-diff.ts';

/** That of Debian 12. Others differ from it in turn. */
const VERSION = '3.10';
const SCENARIOS_AT_ONCE = 24;
const RUN_TIMEOUT_MS = 180_000;
/** What a script writes where it waited in vain. */
const IN_VAIN = /\(nothing came\)|: NOT$|the script failed/;

describe('the scenarios', () => {
  test('are many, and have names of their own', () => {
    expect(SCENARIOS.length).toBeGreaterThanOrEqual(300);
    expect(new Set(SCENARIOS.map(({ name }) => name)).size).toBe(SCENARIOS.length);
  });

  test('are those that differences are listed for, and the page tells them all', () => {
    const names = new Set(SCENARIOS.map(({ name }) => name));
    const listed = DIFFERENCES.flatMap(({ scenarios }) => Object.keys(scenarios));
    expect(listed.filter((name) => !names.has(name))).toEqual([]);
    expect(new Set(listed).size).toBe(listed.length);
    const rows = readTableRows('rabbitmq-differences.md');
    expect(rows.map(([id]) => id)).toEqual(DIFFERENCES.map(({ id }) => `\`${id}\``));
    for (const row of rows) expect(row.slice(1).every((cell) => cell !== '')).toBe(true);
  });
});

test('a diff tells what only one transcript has', () => {
  expect(transcriptDiff(['a', 'b', 'c'], ['a', 'b', 'c'])).toEqual([]);
  expect(transcriptDiff(['a', 'b', 'c'], ['a', 'x', 'c', 'd'])).toEqual(['- b', '+ x', '+ d']);
  expect(transcriptDiff(['a', 'b'], ['b', 'a'])).toEqual(['- a', '+ a']);
  expect(transcriptDiff([], ['a'])).toEqual(['+ a']);
});

const missing = missingRabbitMq(VERSION);
if (missing !== undefined && process.env['CI'] !== 'true') {
  process.stderr.write(`\n*** SKIPPED: nothing is compared with RabbitMQ: ${missing}\n\n`);
  // Skipped only where RabbitMQ is not there, of which standard error is told; in CI that is a failure.
  describe.skip(`side by side with RabbitMQ (missing: ${missing})`, () => {
    for (const { name } of SCENARIOS) test(name);
  });
} else {
  describe('side by side with RabbitMQ', () => {
    let rabbitMq: RabbitMqNode | undefined;
    let broker: Broker | undefined;
    let expected: ReadonlyMap<string, readonly string[]>;
    let actual: ReadonlyMap<string, readonly string[]>;

    beforeAll(async () => {
      if (missing !== undefined) throw new Error(`There is no RabbitMQ to compare with: ${missing}`);
      [rabbitMq, broker] = await Promise.all([startRabbitMq(), startBroker({ storage: 'memory', amqpPort: 0 })]);
      [expected, actual] = await Promise.all([playAll(rabbitMq.port), playAll(broker.ports.amqp!)]);
    }, RUN_TIMEOUT_MS);
    afterAll(() => Promise.all([rabbitMq?.close(), broker?.close()]));

    test.each(SCENARIOS.map(({ name }) => name))('%s', (name) => {
      const [theirs, ours] = [expected.get(name)!, actual.get(name)!];
      expect([...theirs, ...ours].filter((line) => IN_VAIN.test(line))).toEqual([]);
      expect(transcriptDiff(theirs, ours.map(withoutAllowed))).toEqual(allowedDiff(name));
    });

    test('what is left out of comparisons is there', () => {
      const lines = [...actual.values()].flat();
      expect(lines.some((line) => withoutAllowed(line) !== line)).toBe(true);
    });
  });
}

async function playAll(port: number): Promise<Map<string, string[]>> {
  const transcripts = new Map<string, string[]>();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < SCENARIOS.length; index = next++) {
      const scenario = SCENARIOS[index]!;
      transcripts.set(scenario.name, await play(scenario, port, index));
    }
  };
  await Promise.all(Array.from({ length: SCENARIOS_AT_ONCE }, worker));
  return transcripts;
}

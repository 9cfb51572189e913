/** What the examples have in common: they are listed, take a broker that runs, and leave nothing behind. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startBroker } from '../../broker/index.ts';
import { connect } from '../../client/index.ts';
import { ExampleProcess, runExample } from '../support/example-process.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

test('without a name they are listed, with an unknown one too, and each has a README with a picture', async () => {
  const listed = await runExample([]);
  expect(listed.code).toBe(0);
  const names = Array.from(listed.output.matchAll(/npm run example (\S+)/g), (match) => match[1]!);
  expect(names).toEqual(['saga', 'outbox', 'work-queue', 'tour']);
  const overview = fs.readFileSync(path.join(EXAMPLES, 'README.md'), 'utf8');
  for (const name of names) expect(overview).toContain(`| \`npm run example ${name}\` | [`);
  for (const name of names.filter((each) => each !== 'tour')) {
    const readme = fs.readFileSync(path.join(EXAMPLES, name, 'README.md'), 'utf8');
    expect(readme, name).toContain('```mermaid');
    expect(readme, name).toContain(`npm run example ${name}`);
  }
  const unknown = await runExample(['sagas']);
  expect(unknown.output).toContain('There is no example "sagas"');
  expect(unknown.code).toBe(2);
});

test('a broker that runs already is used, and has neither topics nor queues of the example afterwards', {
  timeout: 120_000,
}, async () => {
  const broker = await startBroker({ storage: 'memory', kafkaPort: 'off', amqpPort: 'off' });
  onTestFinished(() => broker.close());
  const url = broker.addresses.native!;
  const client = await connect(url);
  onTestFinished(() => client.close());
  for (const name of ['outbox', 'work-queue']) {
    const { code, output } = await runExample([name, '--url', url, '--kills', '1', '--seed', '4']);
    expect(output).not.toContain('broker runs');
    expect(code, output).toBe(0);
  }
  const topics = await client.admin().listTopics();
  expect(topics.filter((topic) => !topic.startsWith('__'))).toEqual([]);
  expect(await client.virtualHost().listQueues()).toEqual([]);
});

test.each(['SIGKILL', 'SIGINT'] as const)('on %s its processes end as well', { timeout: 120_000 }, async (signal) => {
  const example = new ExampleProcess(['outbox', '--kills', '50', '--seed', '8']);
  const [, folder] = await example.printed(/data in (\S+)/);
  await example.printed(/billing runs/);
  example.child.kill(signal);
  await example.finished;
  const pids = Array.from(example.output.matchAll(/\(process (\d+)\)/g), (match) => Number(match[1]));
  expect(pids.length).toBeGreaterThanOrEqual(4);
  await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), { timeout: 20_000, interval: 20 });
  // Nobody is left to remove the folder after SIGKILL.
  if (signal === 'SIGKILL') fs.rmSync(folder!, { recursive: true, force: true });
  expect(fs.existsSync(folder!)).toBe(false);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

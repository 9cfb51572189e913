/** The TypeScript in README.md and docs/ compiles against the package as it is built, and does what it says against a broker. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '../../client/index.ts';
import { startBrokerProcess } from '../support/cli.ts';
import { readSnippets, type Snippet, SnippetProject, snippetsOf } from '../support/snippets.ts';

interface Setting {
  readonly page: string;
  /** What no other snippet of the page has. */
  readonly has: string;
  /** Stands before it, for the names that it takes as given. One line. */
  readonly before?: string;
  readonly after?: string;
  /** It is run until it has printed this … */
  readonly prints?: RegExp;
  /** … or this is why it is only compiled. */
  readonly isNotRunBecause?: string;
}

const CLIENT = `import { connect } from 'burrowmq'; const client = await connect('ws://127.0.0.1:7420');`;
/** After its first record it leaves the group, once that is finished: a member that is just gone would be waited for. */
const INDEX = `${CLIENT} const index = async (record: { offset: number }) => {
  console.log('indexed', record.offset);
  setImmediate(() => client.close().then(() => console.log('closed')));
};`.replaceAll('\n', ' ');
/** Goes where the page's first record went: how far that partition was read is committed. */
const send = (text: string) =>
  `await client.producer().send({ topic: 'logs', key: new TextEncoder().encode('web-1'), value: new TextEncoder().encode('${text}') });`;
const CLOSE = `await client.close(); console.log('closed');`;

/** In the order of the pages: those that run go on from what the ones before them have stored. */
const SETTINGS: readonly Setting[] = [
  { page: 'README.md', has: `client.consumer({ assignment`, prints: /^0 GET \/$/m },
  { page: 'README.md', has: `client.consumer({ group: 'indexers'`, before: INDEX, prints: /^indexed 0\nclosed$/m },
  {
    page: 'README.md',
    has: `concurrency: 16`,
    before: INDEX,
    after: send('GET /second'),
    prints: /^indexed 1\nclosed$/m,
  },
  {
    page: 'README.md',
    has: `retry: {`,
    before: INDEX,
    after: send('GET /third'),
    prints: /^indexed 2\nclosed$/m,
  },
  {
    page: 'README.md',
    has: `client.queue('`,
    before: `${CLIENT} const deliver = async (text: string) => console.log('delivered', text);`,
    prints: /^delivered first mail$/m,
  },
  { page: 'README.md', has: 'burrowmq/broker', after: `console.log('closed');`, prints: /native: \d+[\s\S]*closed/ },
  {
    page: 'README.md',
    has: 'kafkajs',
    after: `await producer.disconnect(); console.log('sent');`,
    prints: /^sent$/m,
  },
  {
    page: 'README.md',
    has: 'amqplib',
    after: `await connection.close(); console.log('sent');`,
    prints: /^sent$/m,
  },
  {
    page: 'docs/dead-letters.md',
    has: 'openFailurePolicy',
    before: CLIENT.replace('connect', 'connect, openFailurePolicy'),
    after: `await consumer.close(); ${CLOSE}`,
    prints: /^closed$/m,
  },
  {
    page: 'docs/dead-letters.md',
    has: 'deadLetters.replay(',
    before: CLIENT,
    isNotRunBecause:
      'it is about records that failed before: test/client/dead-letters makes such and does the same to them',
  },
  {
    page: 'docs/queues.md',
    has: `client.exchange('orders')`,
    before: `const charge = async (order: unknown) => console.log('charged', order);`,
    after: CLOSE,
    prints: /^closed$/m,
  },
  {
    page: 'docs/queues.md',
    has: 'message.reply(',
    before: `${CLIENT} const queue = client.queue('questions'); await queue.declare(); const answerTo = (text: string) => text + '!';`,
    after: `console.log(answer.text());`,
    prints: /^question!$/m,
  },
  { page: 'docs/queues.md', has: 'host.setPolicy(', before: CLIENT, after: CLOSE, prints: /limits[\s\S]*closed/ },
  {
    page: 'docs/subscribing.md',
    has: 'client.subscribe<string, Order>(',
    before: [
      CLIENT.replace('connect', 'connect, jsonSerializer, stringSerializer'),
      `interface Order { readonly id: number }`,
      `const ship = async (order: Order | null) => console.log('shipped', order?.id);`,
      `const log = console;`,
    ].join('; '),
    after: CLOSE,
    prints: /^closed$/m,
  },
  {
    page: 'docs/subscribing.md',
    has: `client.subscribe('orders', handle`,
    before: `${CLIENT} const handle = async (record: { value: Uint8Array | null }) => console.log('handled', record.value?.length);`,
    // It begins at the end of the topic, wherever that is once it has joined its group: so more is sent until something has come.
    after: `for (;;) await client.producer().send({ topic: 'orders', value: new Uint8Array(7) });`,
    prints: /^handled 7$/m,
  },
];

const snippets = readSnippets();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-snippets-'));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
const project = new SnippetProject(folder);
let complaints: readonly string[];

function settingsOf({ page, code }: Snippet): Setting[] {
  return SETTINGS.filter((setting) => setting.page === page && code.includes(setting.has));
}

/** Such as `README-61`: page and line. */
function nameOf({ page, line }: Snippet): string {
  return `${path.posix.basename(page, '.md')}-${line}`;
}

beforeAll(async () => {
  for (const snippet of snippets) {
    const [setting] = settingsOf(snippet);
    project.add(nameOf(snippet), snippet, setting?.before ?? '', setting?.after ?? '');
  }
  // Shows that the compiler sees the package's types.
  const wrong = { page: 'wrong.md', line: 5, code: `await connect(7420);\n` };
  project.add('wrong', wrong, `import { connect } from 'burrowmq';`, '');
  complaints = await project.compile();
});

test('each snippet has its setting here, and each setting its snippet', () => {
  for (const snippet of snippets) expect(settingsOf(snippet), nameOf(snippet)).toHaveLength(1);
  expect(snippets.map((snippet) => settingsOf(snippet)[0])).toEqual(SETTINGS);
  for (const { has, prints, isNotRunBecause } of SETTINGS) {
    expect(prints === undefined, has).toBe(isNotRunBecause !== undefined);
  }
});

test('a snippet is found with its place on the page', () => {
  const page = '# Page\n\n```console\n$ ls\n```\n\n```ts\nfirst();\nsecond();\n```\ntext\n```ts\nthird();\n```\n';
  expect(snippetsOf('a.md', page)).toEqual([
    { page: 'a.md', line: 8, code: 'first();\nsecond();\n' },
    { page: 'a.md', line: 13, code: 'third();\n' },
  ]);
});

test('all compile; one that is wrong would not, and is named with its line', () => {
  expect(complaints).toEqual([expect.stringMatching(/^wrong\.ts\(5,15\): error TS2345: /)]);
});

test('they run, one after the other against one broker', { timeout: 240_000 }, async () => {
  const { ports, url } = await startBrokerProcess();
  const client = await connect(url);
  // What the pages' command lines make.
  await client.admin().createTopics([{ name: 'logs', partitions: 4 }, { name: 'orders' }, { name: 'greetings' }]);
  await client.queue('jobs').declare();
  await client.close();
  const addresses = new Map([
    ['127.0.0.1:7420', `127.0.0.1:${ports.native}`],
    ['127.0.0.1:9092', `127.0.0.1:${ports.kafka}`],
    ['127.0.0.1:5672', `127.0.0.1:${ports.amqp}`],
  ]);
  for (const snippet of snippets) {
    const { prints } = settingsOf(snippet)[0]!;
    if (prints !== undefined) await project.run(nameOf(snippet), addresses, prints);
  }
});

/** What the writer makes of failures, with a client that fails as it is told. */
import { expect, test } from 'vitest';
import type { ProducerRecord, RawRecord } from '../../../client/index.ts';
import type { ProducerOptions } from '../../../client/producer/producer-options.ts';
import { type SetAsideHost, type SetAsideTarget, SetAsideWriter } from '../../../client/subscriber/set-aside-writer.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../../src/errors/table.ts';
import { FakeClientClock, settle } from '../../support/fake-client-clock.ts';

const RECORD = {
  topic: 'orders',
  partition: 4,
  offset: 9,
  timestampMs: 1,
  keyBytes: Uint8Array.of(1),
  valueBytes: Uint8Array.of(2),
  headers: [],
} as unknown as RawRecord;
const TARGET: SetAsideTarget = { topic: 'dlq', source: 'orders', partition: 4, retention: { ms: -1 } };

class FakeClient implements SetAsideHost {
  readonly clock = new FakeClientClock();
  readonly calls: string[] = [];
  readonly sent: ProducerRecord[] = [];
  /** For the next sends and creations, in turn. */
  readonly sendErrors: Array<ErrorName | undefined> = [];
  readonly createErrors: Array<ErrorName | undefined> = [];
  readonly partitions = new Map([['orders', 6]]);
  producerOptions: ProducerOptions | undefined;
  closed: boolean = false;

  admin() {
    return {
      createTopic: async ({
        name,
        partitions = 1,
        configs = {},
      }: Parameters<ReturnType<SetAsideHost['admin']>['createTopic']>[0]) => {
        this.calls.push(`create ${name} ${configs['max.message.bytes']}`);
        const error = this.createErrors.shift();
        if (error !== undefined) throw new BurrowError(error);
        if (this.partitions.has(name)) throw new BurrowError('ALREADY_EXISTS');
        this.partitions.set(name, partitions);
      },
      describeTopic: async (name: string) => {
        this.calls.push(`describe ${name}`);
        const count = this.partitions.get(name);
        if (count === undefined) throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION');
        const partitions = Array.from({ length: count }, (_, partition) => ({
          partition,
          leader: 1,
          leaderEpoch: 0,
          replicas: [1],
          inSyncReplicas: [1],
        }));
        return { name, topicId: '', internal: false, partitions };
      },
      describeTopicConfigs: async () => [
        { key: 'max.message.bytes', value: '1000', isDefault: true, type: 'int', documentation: '' },
      ],
      listTopics: async () => [...this.partitions.keys()],
    };
  }

  producer(options: ProducerOptions) {
    this.producerOptions = options;
    return {
      send: async (record: ProducerRecord) => {
        this.calls.push('send');
        const error = this.sendErrors.shift();
        if (error !== undefined) throw new BurrowError(error);
        this.sent.push(record);
        return { topic: record.topic, partition: record.partition ?? -1, offset: 0, timestampMs: 0 };
      },
      close: async () => {
        this.closed = true;
      },
    };
  }
}

function setUp() {
  const client = new FakeClient();
  const writer = new SetAsideWriter(client, client.clock);
  const asked: boolean[] = [];
  const outcome = { state: 'waiting', error: undefined as unknown };
  const write = (target: SetAsideTarget = TARGET) =>
    writer
      .write(target, RECORD, (brief) => {
        asked.push(brief);
        return [['brief', String(brief)]];
      })
      .then(
        () => void Object.assign(outcome, { state: 'stored' }),
        (error) => void Object.assign(outcome, { state: 'failed', error }),
      );
  return { client, writer, asked, outcome, write };
}

test('a record is stored by an idempotent producer, with all replicas, under the present time', async () => {
  const { client, write } = setUp();
  await write();
  expect(client.producerOptions).toMatchObject({ acks: 'all', idempotent: true });
  expect(client.calls).toEqual(['describe orders', 'create dlq 263144', 'send']);
  expect(client.sent).toEqual([
    {
      topic: 'dlq',
      partition: 4,
      key: RECORD.keyBytes,
      value: RECORD.valueBytes,
      headers: [['brief', 'false']],
      timestampMs: client.clock.now(),
    },
  ]);
  await write();
  expect(client.calls.slice(3)).toEqual(['send']);
});

test.each<ErrorName>([
  'CONNECTION_LOST',
  'STORAGE_FULL',
  'DELIVERY_TIMEOUT',
  'BUFFER_FULL',
  'UNKNOWN_TOPIC_OR_PARTITION',
])('it goes on trying after %s, having looked whether the topic is still there', async (code) => {
  const { client, outcome, write } = setUp();
  client.sendErrors.push(code, code, code);
  const written = write();
  await settle();
  expect(outcome.state).toBe('waiting');
  client.partitions.delete('dlq');
  await client.clock.advance(60_000);
  await written;
  expect(outcome.state).toBe('stored');
  expect(client.calls.filter((call) => call === 'send')).toHaveLength(4);
  expect(client.calls.filter((call) => call.startsWith('create'))).toHaveLength(4);
  expect(client.partitions.get('dlq')).toBe(6);
});

test('so does the creation of a topic', async () => {
  const { client, outcome, write } = setUp();
  client.createErrors.push('REQUEST_TIMED_OUT', 'CONNECTION_LOST');
  const written = write();
  await client.clock.advance(1000);
  await written;
  expect([outcome.state, client.sent.length]).toEqual(['stored', 1]);
});

test.each<ErrorName>(['INVALID_RECORD', 'INVALID_TIMESTAMP', 'CORRUPT_BATCH'])(
  '%s is no better later',
  async (code) => {
    const { client, outcome, write } = setUp();
    client.sendErrors.push(code);
    await write();
    expect(outcome).toMatchObject({ state: 'failed', error: { code } });
  },
);

test('a topic of largest batches is made as large as the broker allows', async () => {
  const { client, outcome, write } = setUp();
  client.createErrors.push('INVALID_CONFIG', 'INVALID_CONFIG');
  await write();
  expect(client.calls).toEqual([
    'describe orders',
    'create dlq 263144',
    'create dlq 1000',
    'create dlq undefined',
    'send',
  ]);
  expect(outcome.state).toBe('stored');
  client.createErrors.push('INVALID_CONFIG', 'INVALID_CONFIG', 'INVALID_CONFIG');
  await write({ ...TARGET, topic: 'other' });
  expect(outcome).toMatchObject({ state: 'failed', error: { code: 'INVALID_CONFIG' } });
});

test('a record that is too large is tried once more with brief headers', async () => {
  const { client, asked, outcome, write } = setUp();
  client.sendErrors.push('RECORD_TOO_LARGE', 'CONNECTION_LOST', undefined);
  const written = write();
  await client.clock.advance(1000);
  await written;
  expect([outcome.state, asked]).toEqual(['stored', [false, true]]);
  expect(client.sent[0]?.headers).toEqual([['brief', 'true']]);
  client.sendErrors.push('RECORD_TOO_LARGE', 'RECORD_TOO_LARGE');
  await write();
  expect(outcome).toMatchObject({ state: 'failed', error: { code: 'RECORD_TOO_LARGE' } });
});

test('closing ends the tries', async () => {
  const { client, writer, outcome, write } = setUp();
  client.sendErrors.push(...Array<ErrorName>(50).fill('CONNECTION_LOST'));
  const written = write();
  await client.clock.advance(1000);
  expect(outcome.state).toBe('waiting');
  await writer.close();
  await client.clock.advance(5000);
  await written;
  expect([client.closed, outcome]).toMatchObject([true, { state: 'failed', error: { code: 'CLIENT_CLOSED' } }]);
});

test('records that come at the same time make the topic once', async () => {
  const { client, write } = setUp();
  await Promise.all([write(), write(), write()]);
  expect(client.calls.filter((call) => call.startsWith('create'))).toHaveLength(1);
  expect(client.sent).toHaveLength(3);
});

/**
 * Our tables against kafkajs's hand-written encoders and decoders: the same bytes for requests, the same values for
 * responses, in every version that kafkajs has.
 */
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { compileMessage } from '../../../broker/listeners/kafka/codec.ts';
import { MessageReader } from '../../../broker/listeners/kafka/message-reader.ts';
import { MessageWriter } from '../../../broker/listeners/kafka/message-writer.ts';
import type { Field, Fields, MessageTable } from '../../../broker/listeners/kafka/schema/field.ts';
import { KAFKA } from '../../support/kafka-apis.ts';
import { requestFrame } from '../../support/kafka-test-client.ts';

interface KafkajsApi {
  protocol(selection: { version: number }): (input: object) => {
    request: { apiKey: number; apiVersion: number; encode(): Promise<{ buffer: Buffer }> };
    response: { decode(body: Buffer): Promise<unknown> };
  };
}

const require = createRequire(import.meta.url);
const kafkajs = (folder: string): KafkajsApi => require(`kafkajs/src/protocol/requests/${folder}/index.js`);
const frameOf: (input: object) => Promise<{ buffer: Buffer }> = require('kafkajs/src/protocol/request.js');

interface Comparison {
  readonly folder: string;
  readonly tables: {
    readonly key: number;
    readonly request: MessageTable<Fields>;
    readonly response: MessageTable<Fields>;
  };
  readonly versions: readonly [number, number];
  readonly input: object;
  /** What the request means, in our words. */
  readonly expected: object;
}

const COMPARISONS: readonly Comparison[] = [
  {
    folder: 'produce',
    tables: KAFKA.produce,
    versions: [3, 7],
    input: {
      acks: -1,
      timeout: 30_000,
      transactionalId: null,
      producerId: '4711',
      producerEpoch: 3,
      compression: 0,
      topicData: [
        {
          topic: 'orders',
          partitions: [
            {
              partition: 2,
              firstSequence: 5,
              messages: [{ key: 'k', value: 'v', timestamp: '1700000000000', headers: { h: 'x' } }],
            },
            { partition: 0, firstSequence: 0, messages: [{ key: null, value: null, timestamp: '1700000000001' }] },
          ],
        },
      ],
    },
    expected: {
      transactionalId: null,
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: 'orders', partitionData: [{ index: 2 }, { index: 0 }] }],
    },
  },
  {
    folder: 'fetch',
    tables: KAFKA.fetch,
    versions: [4, 11],
    input: {
      replicaId: -1,
      isolationLevel: 1,
      maxWaitTime: 500,
      minBytes: 1,
      maxBytes: 1_000_000,
      rackId: 'rack-7',
      topics: [
        {
          topic: 'orders',
          partitions: [{ partition: 3, fetchOffset: '8589934592', maxBytes: 65_536, currentLeaderEpoch: 9 }],
        },
      ],
    },
    expected: {
      replicaId: -1,
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 1_000_000,
      isolationLevel: 1,
      topics: [
        { topic: 'orders', partitions: [{ partition: 3, fetchOffset: 8_589_934_592, partitionMaxBytes: 65_536 }] },
      ],
    },
  },
  {
    folder: 'listOffsets',
    tables: KAFKA.listOffsets,
    versions: [1, 3],
    input: {
      replicaId: -1,
      isolationLevel: 1,
      topics: [{ topic: 'orders', partitions: [{ partition: 1, timestamp: -2 }] }],
    },
    expected: { replicaId: -1, topics: [{ name: 'orders', partitions: [{ partitionIndex: 1, timestamp: -2 }] }] },
  },
  {
    folder: 'metadata',
    tables: KAFKA.metadata,
    versions: [0, 6],
    input: { topics: ['orders', 'returns'], allowAutoTopicCreation: true },
    expected: { topics: [{ name: 'orders' }, { name: 'returns' }], allowAutoTopicCreation: true },
  },
  {
    folder: 'findCoordinator',
    tables: KAFKA.findCoordinator,
    versions: [0, 2],
    input: { groupId: 'billing', coordinatorKey: 'billing', coordinatorType: 0 },
    expected: { key: 'billing', keyType: 0 },
  },
  { folder: 'apiVersions', tables: KAFKA.apiVersions, versions: [0, 2], input: {}, expected: {} },
  {
    folder: 'createTopics',
    tables: KAFKA.createTopics,
    versions: [0, 3],
    input: {
      timeout: 5_000,
      validateOnly: true,
      topics: [
        {
          topic: 'orders',
          numPartitions: 6,
          replicationFactor: 1,
          replicaAssignment: [{ partition: 0, replicas: [1, 2] }],
          configEntries: [{ name: 'retention.ms', value: '1000' }],
        },
      ],
    },
    expected: {
      topics: [
        {
          name: 'orders',
          numPartitions: 6,
          replicationFactor: 1,
          assignments: [{ partitionIndex: 0, brokerIds: [1, 2] }],
          configs: [{ name: 'retention.ms', value: '1000' }],
        },
      ],
      timeoutMs: 5_000,
    },
  },
  {
    folder: 'deleteTopics',
    tables: KAFKA.deleteTopics,
    versions: [0, 1],
    input: { topics: ['orders'], timeout: 5_000 },
    expected: { topicNames: ['orders'], timeoutMs: 5_000 },
  },
  {
    folder: 'deleteRecords',
    tables: KAFKA.deleteRecords,
    versions: [0, 1],
    input: { topics: [{ topic: 'orders', partitions: [{ partition: 1, offset: '77' }] }], timeout: 5_000 },
    expected: { topics: [{ name: 'orders', partitions: [{ partitionIndex: 1, offset: 77 }] }], timeoutMs: 5_000 },
  },
  {
    folder: 'initProducerId',
    tables: KAFKA.initProducerId,
    versions: [0, 1],
    input: { transactionalId: 'tx', transactionTimeout: 60_000 },
    expected: { transactionalId: 'tx', transactionTimeoutMs: 60_000 },
  },
  {
    folder: 'describeConfigs',
    tables: KAFKA.describeConfigs,
    versions: [0, 2],
    input: { resources: [{ type: 2, name: 'orders', configNames: ['retention.ms'] }], includeSynonyms: true },
    expected: { resources: [{ resourceType: 2, resourceName: 'orders', configurationKeys: ['retention.ms'] }] },
  },
  {
    folder: 'alterConfigs',
    tables: KAFKA.alterConfigs,
    versions: [0, 1],
    input: {
      resources: [{ type: 2, name: 'orders', configEntries: [{ name: 'retention.ms', value: '9' }] }],
      validateOnly: true,
    },
    expected: {
      resources: [{ resourceType: 2, resourceName: 'orders', configs: [{ name: 'retention.ms', value: '9' }] }],
      validateOnly: true,
    },
  },
  {
    folder: 'createPartitions',
    tables: KAFKA.createPartitions,
    versions: [0, 1],
    input: {
      topicPartitions: [
        {
          topic: 'orders',
          count: 9,
          assignments: [
            [1, 2],
            [2, 3],
          ],
        },
      ],
      timeout: 5_000,
      validateOnly: true,
    },
    expected: {
      topics: [{ name: 'orders', count: 9, assignments: [{ brokerIds: [1, 2] }, { brokerIds: [2, 3] }] }],
      timeoutMs: 5_000,
      validateOnly: true,
    },
  },
];

const CASES = COMPARISONS.flatMap((comparison) => {
  const [min, max] = comparison.versions;
  return Array.from({ length: max - min + 1 }, (_, index) => ({
    ...comparison,
    version: min + index,
    name: `${comparison.folder} ${min + index}`,
  }));
});

function encode(table: MessageTable<Fields>, version: number, value: object): Buffer {
  const writer = new MessageWriter();
  writer.reserve(4);
  compileMessage(table).encode(writer, version, value as never);
  return Buffer.concat(writer.finishFrame()).subarray(4);
}

/** A message in which no two numbers and no two strings are equal, so that a swapped field shows. */
function distinctMessage(fields: Fields, version: number): Record<string, unknown> {
  let next = 0;
  const messageOf = (inner: Fields): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(inner)
        .filter(([, field]) => version >= field.since && version <= field.until)
        .map(([name, field]) => [name, distinctValue(field)]),
    );
  const distinctValue = (field: Field<unknown, boolean>): unknown => {
    const { type } = field;
    if (type.kind === 'struct') return messageOf(type.fields);
    if (type.kind === 'array') return [distinctValue(type.element), distinctValue(type.element)];
    if (type.kind === 'bool') return true;
    if (type.kind === 'string') return `text-${next++}`;
    if (type.kind === 'recordSlices' || type.kind === 'records') return null;
    return 20 + next++;
  };
  return messageOf(fields);
}

function leaves(value: unknown): string[] {
  if (value === null || value === undefined || typeof value === 'boolean') return [];
  if (typeof value !== 'object') return [String(value)];
  return Object.values(value).flatMap(leaves);
}

describe('kafkajs and this listener mean the same bytes', () => {
  it.each(CASES)('request $name', async ({ folder, tables, version, input, expected }) => {
    const { request } = kafkajs(folder).protocol({ version })(input);
    const body = (await request.encode()).buffer;
    expect([request.apiKey, request.apiVersion]).toEqual([tables.key, version]);
    const reader = new MessageReader(body, 0, 1000);
    const decoded = compileMessage(tables.request).decode(reader, version);
    expect({ ok: reader.ok, remaining: reader.remaining }).toEqual({ ok: true, remaining: 0 });
    expect(decoded).toMatchObject(expected);
    expect(encode(tables.request, version, decoded)).toEqual(body);
  });

  it.each(CASES)('response $name', async ({ folder, tables, version, input }) => {
    const message = distinctMessage(tables.response.fields, version);
    const { response } = kafkajs(folder).protocol({ version })(input);
    const decoded = leaves(await response.decode(encode(tables.response, version, message)));
    for (const leaf of leaves(message)) expect(decoded).toContain(leaf);
  });

  it('request header', async () => {
    const { request } = kafkajs('metadata').protocol({ version: 6 })({ topics: ['a'], allowAutoTopicCreation: true });
    const theirs = (await frameOf({ correlationId: 77, clientId: 'böse', request })).buffer;
    const topics = [{ topicId: Buffer.alloc(16), name: 'a' }];
    const ours = requestFrame(3, 6, KAFKA.metadata.request, { topics }, { correlationId: 77, clientId: 'böse' });
    expect(ours).toEqual(theirs);
  });
});

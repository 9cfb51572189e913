/**
 * The messages of the native protocol, as one table. docs/protocol.md explains them; a test compares the two.
 * Offsets and times are int53, times in milliseconds. In answers, errorNumber 0 means success (see docs/errors.md).
 */
import { define, entries, errorNumber, message, name, named, page, result, text } from './message-parts.ts';
import {
  binary,
  bool,
  type Infer,
  int8,
  int16,
  int32,
  int53,
  nullable,
  pieces,
  string,
  struct,
  uint32,
} from './schema.ts';
import { USER_MESSAGES } from './user-messages.ts';

const BINARY_MAX = 0x7fff_ffff;
const MEMBER_BYTES_MAX = 8 * 1024 * 1024;

/** Brokers refuse what is longer than their `offset-metadata-bytes-max`, per entry; this bounds the frame only. */
const offsetMetadata = string(65_536);
/** Of a group's member: subscriptions and assignments, which brokers do not look into. */
const memberBytes = binary(MEMBER_BYTES_MAX);
/** Who asks something of a group, as of which generation. */
const member = { groupId: name, generationId: int32, memberId: name, groupInstanceId: nullable(name) };
const topicPartition = struct({ topic: name, partition: int32 });
const streamPartition = struct({ topic: name, partition: int32, offset: int53, currentLeaderEpoch: int32 });

/** Arguments of a declaration or binding: entries of an AMQP field table (0-9-1, section 4.2.5.5), without its length. */
const argumentTable = binary(0xffff);
const queueResult = { name, ...result, messageCount: int53 };
/** Kind of the destination: 0 queue, 1 exchange, 2 topic. */
const binding = struct({
  source: name,
  destinationKind: int8,
  destination: name,
  bindingKey: name,
  arguments: argumentTable,
});
const policy = struct({ name, pattern: text, applyTo: name, priority: int53, definition: argumentTable });
const deliveries = {
  baseTag: int53,
  baseTimestampMs: int53,
  count: uint32,
  /** Packed: see packed-deliveries.ts. */
  messages: pieces(BINARY_MAX),
};

/** Isolation of reads: 0 up to the high watermark, 1 up to the last stable offset. */
const isolation = int8;

export const MESSAGES = {
  hello: define(
    1,
    struct({ protocolVersionMin: int16, protocolVersionMax: int16, clientId: name, software: name }),
    struct({
      protocolVersion: int16,
      software: name,
      nodeId: int32,
      clusterId: name,
      limits: struct({
        frameBytesMax: uint32,
        inFlightRequestsMax: uint32,
        inFlightBytesMax: int53,
        idleTimeoutMs: int53,
        batchBytesMax: uint32,
      }),
      /** Whether nothing but authenticate is taken before it has succeeded. */
      loginNeeded: bool,
    }),
  ),
  metadata: define(
    2,
    struct({ topics: nullable(entries(name)), autoCreate: bool }),
    struct({
      clusterId: name,
      controllerId: int32,
      brokers: entries(struct({ nodeId: int32, host: name, port: int32, rack: nullable(name) })),
      topics: entries(
        struct({
          errorNumber,
          name,
          topicId: nullable(binary(16)),
          internal: bool,
          partitions: entries(
            struct({
              partition: int32,
              leader: int32,
              leaderEpoch: int32,
              replicas: entries(int32),
              inSyncReplicas: entries(int32),
            }),
          ),
        }),
      ),
    }),
  ),
  produce: define(
    3,
    struct({
      acks: int8,
      timeoutMs: int32,
      partitions: entries(struct({ topic: name, partition: int32, records: pieces(BINARY_MAX) })),
    }),
    struct({
      partitions: entries(
        struct({
          topic: name,
          partition: int32,
          ...result,
          baseOffset: int53,
          logAppendTimeMs: int53,
          logStartOffset: int53,
        }),
      ),
    }),
  ),
  fetch: define(
    4,
    struct({
      waitMs: int32,
      bytesMin: int32,
      bytesMax: int32,
      isolation,
      partitions: entries(
        struct({ topic: name, partition: int32, offset: int53, bytesMax: int32, currentLeaderEpoch: int32 }),
      ),
    }),
    struct({
      partitions: entries(
        struct({
          topic: name,
          partition: int32,
          ...result,
          highWatermark: int53,
          lastStableOffset: int53,
          logStartOffset: int53,
          records: pieces(BINARY_MAX),
        }),
      ),
    }),
  ),
  listOffsets: define(
    5,
    struct({
      isolation,
      partitions: entries(struct({ topic: name, partition: int32, currentLeaderEpoch: int32, timestampMs: int53 })),
    }),
    struct({
      partitions: entries(
        struct({ topic: name, partition: int32, ...result, timestampMs: int53, offset: int53, leaderEpoch: int32 }),
      ),
    }),
  ),
  initProducerId: define(
    6,
    struct({ transactionalId: nullable(name), transactionTimeoutMs: int32, producerId: int53, producerEpoch: int16 }),
    struct({ producerId: int53, producerEpoch: int16 }),
  ),
  createTopics: define(
    7,
    struct({
      topics: entries(
        struct({
          name,
          partitions: int32,
          replicationFactor: int16,
          configs: entries(struct({ key: name, value: text })),
        }),
      ),
      validateOnly: bool,
    }),
    struct({ topics: entries(struct({ name, ...result, topicId: nullable(binary(16)), partitions: int32 })) }),
  ),
  deleteTopics: define(8, struct({ names: entries(name) }), struct({ topics: entries(struct({ name, ...result })) })),
  describeConfigs: define(
    9,
    struct({ names: entries(name) }),
    struct({
      topics: entries(
        struct({
          name,
          ...result,
          configs: entries(struct({ key: name, value: text, isDefault: bool, type: name, documentation: text })),
        }),
      ),
    }),
  ),
  alterConfigs: define(
    10,
    struct({
      topics: entries(struct({ name, changes: entries(struct({ key: name, value: nullable(text) })) })),
      validateOnly: bool,
    }),
    struct({ topics: entries(struct({ name, ...result })) }),
  ),
  createPartitions: define(
    11,
    struct({ topics: entries(struct({ name, total: int32 })), validateOnly: bool }),
    struct({ topics: entries(struct({ name, ...result })) }),
  ),
  deleteRecords: define(
    12,
    struct({ partitions: entries(struct({ topic: name, partition: int32, offset: int53 })) }),
    struct({ partitions: entries(struct({ topic: name, partition: int32, ...result, logStartOffset: int53 })) }),
  ),
  partitionStatus: define(
    13,
    struct({ names: entries(name) }),
    struct({
      topics: entries(
        struct({
          name,
          ...result,
          partitions: entries(
            struct({
              partition: int32,
              logStartOffset: int53,
              highWatermark: int53,
              lastStableOffset: int53,
              logEndOffset: int53,
              bytes: int53,
              segments: int32,
              failureErrorNumber: errorNumber,
              failureMessage: message,
            }),
          ),
        }),
      ),
    }),
  ),
  /** Makes a waiting fetch answer at once with what there is. Has no answer of its own. */
  cancelFetch: define(14, struct({ correlationId: uint32 }), struct({})),
  openStream: define(
    15,
    struct({
      streamId: uint32,
      isolation,
      recordsCredit: uint32,
      bytesCredit: uint32,
      partitions: entries(streamPartition),
    }),
    struct({}),
  ),
  changeStream: define(
    16,
    struct({ streamId: uint32, remove: entries(topicPartition), add: entries(streamPartition) }),
    struct({}),
  ),
  addCredit: define(17, struct({ streamId: uint32, records: uint32, bytes: uint32 }), struct({})),
  closeStream: define(18, struct({ streamId: uint32 }), struct({})),
  /** The next request after hello, if at all. */
  authenticate: define(19, struct({ user: name, password: text }), struct({})),

  // 20–31: consumer groups
  findCoordinator: define(20, struct({ groupId: name }), struct({ nodeId: int32 })),
  joinGroup: define(
    21,
    struct({
      groupId: name,
      memberId: name,
      groupInstanceId: nullable(name),
      protocolType: name,
      protocols: entries(struct({ name, metadata: memberBytes })),
      sessionTimeoutMs: int32,
      rebalanceTimeoutMs: int32,
      reason: nullable(text),
    }),
    struct({
      ...result,
      memberId: name,
      generationId: int32,
      protocolType: nullable(name),
      protocolName: nullable(name),
      leader: name,
      skipAssignment: bool,
      members: entries(struct({ memberId: name, groupInstanceId: nullable(name), metadata: memberBytes })),
    }),
  ),
  syncGroup: define(
    22,
    struct({
      ...member,
      protocolType: nullable(name),
      protocolName: nullable(name),
      assignments: entries(struct({ memberId: name, assignment: memberBytes })),
    }),
    struct({ protocolType: name, protocolName: name, assignment: memberBytes }),
  ),
  heartbeat: define(23, struct({ ...member }), struct({})),
  leaveGroup: define(
    24,
    struct({
      groupId: name,
      members: entries(struct({ memberId: name, groupInstanceId: nullable(name), reason: nullable(text) })),
    }),
    struct({ members: entries(struct({ memberId: name, groupInstanceId: nullable(name), ...result })) }),
  ),
  commitOffsets: define(
    25,
    struct({
      ...member,
      offsets: entries(
        struct({ topic: name, partition: int32, offset: int53, leaderEpoch: int32, metadata: offsetMetadata }),
      ),
    }),
    struct({ partitions: entries(struct({ topic: name, partition: int32, ...result })) }),
  ),
  fetchOffsets: define(
    26,
    struct({ groupId: name, partitions: nullable(entries(topicPartition)) }),
    struct({
      partitions: entries(
        struct({ topic: name, partition: int32, offset: int53, leaderEpoch: int32, metadata: offsetMetadata }),
      ),
    }),
  ),
  deleteOffsets: define(
    27,
    struct({ groupId: name, partitions: entries(topicPartition) }),
    struct({ partitions: entries(struct({ topic: name, partition: int32, ...result })) }),
  ),
  listGroups: define(
    28,
    struct({}),
    struct({ groups: entries(struct({ groupId: name, protocolType: name, state: name })) }),
  ),
  describeGroups: define(
    29,
    struct({ groupIds: entries(name) }),
    struct({
      groups: entries(
        struct({
          groupId: name,
          ...result,
          state: name,
          protocolType: name,
          protocolName: name,
          generationId: int32,
          leader: nullable(name),
          members: entries(
            struct({
              memberId: name,
              groupInstanceId: nullable(name),
              clientId: name,
              clientHost: name,
              metadata: memberBytes,
              assignment: memberBytes,
            }),
          ),
        }),
      ),
    }),
  ),
  deleteGroups: define(
    30,
    struct({ groupIds: entries(name) }),
    struct({ groups: entries(struct({ groupId: name, ...result })) }),
  ),

  // 40–52: virtual hosts, exchanges, queues and bindings
  listVirtualHosts: define(40, struct({}), struct({ names: entries(name) })),
  createVirtualHosts: define(41, struct({ names: entries(name) }), struct({ virtualHosts: entries(named) })),
  deleteVirtualHosts: define(42, struct({ names: entries(name) }), struct({ virtualHosts: entries(named) })),
  declareExchanges: define(
    43,
    struct({
      virtualHost: name,
      exchanges: entries(
        struct({
          name,
          passive: bool,
          kind: name,
          durable: bool,
          autoDelete: bool,
          internal: bool,
          arguments: argumentTable,
        }),
      ),
    }),
    struct({ exchanges: entries(named) }),
  ),
  deleteExchanges: define(
    44,
    struct({ virtualHost: name, exchanges: entries(struct({ name, ifUnused: bool })) }),
    struct({ exchanges: entries(named) }),
  ),
  listExchanges: define(
    45,
    struct({ virtualHost: name, ...page }),
    struct({
      exchanges: entries(
        struct({ name, kind: name, durable: bool, autoDelete: bool, internal: bool, arguments: argumentTable }),
      ),
    }),
  ),
  declareQueues: define(
    46,
    struct({
      virtualHost: name,
      queues: entries(
        struct({ name, passive: bool, durable: bool, exclusive: bool, autoDelete: bool, arguments: argumentTable }),
      ),
    }),
    struct({ queues: entries(struct({ ...queueResult, consumerCount: int53 })) }),
  ),
  deleteQueues: define(
    47,
    struct({ virtualHost: name, queues: entries(struct({ name, ifUnused: bool, ifEmpty: bool })) }),
    struct({ queues: entries(struct(queueResult)) }),
  ),
  purgeQueues: define(
    48,
    struct({ virtualHost: name, names: entries(name) }),
    struct({ queues: entries(struct(queueResult)) }),
  ),
  listQueues: define(
    49,
    struct({ virtualHost: name, ...page }),
    struct({
      queues: entries(
        struct({
          name,
          durable: bool,
          exclusive: bool,
          autoDelete: bool,
          arguments: argumentTable,
          policy: nullable(name),
          messageCount: int53,
          unsettledCount: int53,
          consumerCount: int53,
          storedBytes: int53,
          failureErrorNumber: errorNumber,
          failureMessage: message,
        }),
      ),
    }),
  ),
  bind: define(
    50,
    struct({ virtualHost: name, bindings: entries(binding) }),
    struct({ bindings: entries(struct(result)) }),
  ),
  unbind: define(
    51,
    struct({ virtualHost: name, bindings: entries(binding) }),
    struct({ bindings: entries(struct(result)) }),
  ),
  listBindings: define(52, struct({ virtualHost: name, ...page }), struct({ bindings: entries(binding) })),
  browseQueue: define(53, struct({ virtualHost: name, queue: name, ...page, bytesMax: uint32 }), struct(deliveries)),

  // 54–61: channels, on which messages are published and consumed
  openChannel: define(54, struct({ channelId: uint32, virtualHost: name }), struct({})),
  closeChannel: define(55, struct({ channelId: uint32 }), struct({})),
  publish: define(
    56,
    struct({
      channelId: uint32,
      count: uint32,
      /** Packed: see packed-publishes.ts. */
      messages: pieces(BINARY_MAX),
    }),
    struct({
      /** Positions in the request, half open. */
      refused: entries(struct({ start: uint32, end: uint32, ...result })),
      unroutable: entries(struct({ start: uint32, end: uint32 })),
    }),
  ),
  consume: define(
    57,
    struct({
      channelId: uint32,
      queue: name,
      prefetch: uint32,
      noAck: bool,
      exclusive: bool,
      arguments: argumentTable,
    }),
    struct({}),
  ),
  cancelConsumer: define(58, struct({ channelId: uint32 }), struct({})),
  /** Without `sync` it has no answer of its own. */
  settle: define(
    59,
    struct({
      channelId: uint32,
      sync: bool,
      /** Delivery tags from `start` to before `end`. */
      settlements: entries(struct({ start: int53, end: int53, outcome: int8 })),
    }),
    struct({}),
  ),
  getMessage: define(
    60,
    struct({ channelId: uint32, queue: name, noAck: bool }),
    struct({ ...deliveries, messagesLeft: int53 }),
  ),
  /** Of a consumer that does not acknowledge. Has no answer of its own. */
  addDeliveryCredit: define(61, struct({ channelId: uint32, messages: uint32 }), struct({})),

  // 62–64: policies
  setPolicies: define(
    62,
    struct({ virtualHost: name, policies: entries(policy) }),
    struct({ policies: entries(named) }),
  ),
  deletePolicies: define(63, struct({ virtualHost: name, names: entries(name) }), struct({ policies: entries(named) })),
  listPolicies: define(64, struct({ virtualHost: name, ...page }), struct({ policies: entries(policy) })),

  ...USER_MESSAGES,
} as const;

/** What the broker sends of a push stream, unasked. */
export const RECORDS_PUSH_BODY = struct({
  partitions: entries(
    struct({
      topic: name,
      partition: int32,
      ...result,
      offset: int53,
      highWatermark: int53,
      lastStableOffset: int53,
      logStartOffset: int53,
      records: pieces(BINARY_MAX),
    }),
  ),
});

export type RecordsPush = Infer<typeof RECORDS_PUSH_BODY>;

/** Messages for the consumer of a channel, unasked. */
export const DELIVERIES_PUSH_BODY = struct(deliveries);

export type DeliveriesPush = Infer<typeof DELIVERIES_PUSH_BODY>;

/** Why a channel's consumer, or the channel itself, has come to an end. */
export const ENDED_PUSH_BODY = struct(result);

export type MessageName = keyof typeof MESSAGES;
export type RequestOf<N extends MessageName> = Infer<(typeof MESSAGES)[N]['request']>;
export type ResponseOf<N extends MessageName> = Infer<(typeof MESSAGES)[N]['response']>;

const NAME_BY_API: ReadonlyMap<number, MessageName> = new Map(
  (Object.keys(MESSAGES) as MessageName[]).map((key) => [MESSAGES[key].api, key]),
);

/** Undefined for an api that this version does not know. */
export function messageName(api: number): MessageName | undefined {
  return NAME_BY_API.get(api);
}

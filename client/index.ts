/** The SDK's public face: `import { connect } from 'burrowmq'`. */
export { BurrowError, type BurrowErrorOptions, isBurrowError } from '../src/errors/burrow-error.ts';
export type { ErrorName } from '../src/errors/table.ts';
export type { FieldTable, FieldValue } from '../src/messages/field-value.ts';
export type { MessageProperties } from '../src/messages/message-properties.ts';
export type { PartitionFunction } from '../src/partitioner.ts';
export type { Codec } from '../src/records/batch-header.ts';
export type { RecordHeader } from '../src/records/record-header.ts';
export type { Admin, AdminOptions, ChangeOptions, NewTopic, PartitionOffset } from './admin.ts';
export type { BackoffOptions } from './backoff.ts';
export { type Client, type ConnectOptions, connect } from './connect.ts';
export type { Consumer, PollOptions } from './consumer/consumer.ts';
export type { Assignment, ConsumerOptions, From } from './consumer/consumer-options.ts';
export type { ConsumerBatch, ConsumerRecord } from './consumer/consumer-record.ts';
export type { Isolation } from './consumer/cursor-feed.ts';
export type { GroupOptions, RebalanceCallbacks } from './consumer/group-options.ts';
export type { DeadLetter, DeadLetterFilter } from './dead-letters/dead-letter.ts';
export type {
  DeadLetters,
  DeadLetterTopic,
  PurgedPartition,
  PurgeOptions,
  ReadOptions,
} from './dead-letters/dead-letters.ts';
export { failureOf, type ParsedFailure, type RecordOrigin } from './dead-letters/failure-headers.ts';
export type { ReplayOptions, ReplayResult } from './dead-letters/replay.ts';
export { isSetAsideTopic } from './dead-letters/topic-names.ts';
export type { AssignorName } from './groups/assignors/assignor.ts';
export type {
  GroupDescription,
  GroupListing,
  GroupMemberDescription,
  GroupPartition,
  GroupState,
  OffsetReset,
  ResetOptions,
  ResetTarget,
} from './groups/group-admin.ts';
export type { CommittedOffset, OffsetToCommit } from './groups/group-host.ts';
export type { PartitionMetadata, TopicMetadata } from './metadata.ts';
export type { Producer } from './producer/producer.ts';
export type { RecordMetadata } from './producer/producer-batch.ts';
export type { HeaderValue, ProducerOptions, ProducerRecord, RecordHeaders } from './producer/producer-options.ts';
export type { SendManyResult, StoredRange } from './producer/watchers.ts';
export type { ConsumeOptions, MessageHandler } from './queues/consumer-options.ts';
export type { Exchange, PublishOptions } from './queues/exchange.ts';
export type { HeaderInput, HeadersInput } from './queues/field-values.ts';
export type { MessageBody, MessageOptions } from './queues/message-options.ts';
export type { PolicyOptions, PolicyScope } from './queues/policy-options.ts';
export type { BrowseOptions, Queue } from './queues/queue.ts';
export type { QueueConsumer } from './queues/queue-consumer.ts';
export type { BrowsedMessage, QueueMessage } from './queues/queue-message.ts';
export type { ExchangeOptions, QueueOptions } from './queues/queue-options.ts';
export type { BindingInfo, DeclaredQueue, ExchangeInfo, PolicyInfo, QueueInfo } from './queues/queue-requests.ts';
export type { RequestOptions, VirtualHost } from './queues/virtual-host.ts';
export type { ConfigEntry, PartitionStatus } from './requests.ts';
export {
  bytesSerializer,
  type Deserializer,
  jsonSerializer,
  messagePackSerializer,
  type Serializer,
  stringSerializer,
} from './serializers.ts';
export type { FailureDecision, FailurePolicy, RawRecord } from './subscriber/failure-policy.ts';
export type { DeadLetterOptions, FailureOptions, RetryOptions } from './subscriber/retry-options.ts';
export type { Subscriber } from './subscriber/subscriber.ts';
export type { BatchHandler, RecordHandler, SubscribeOptions, Topics } from './subscriber/subscriber-options.ts';
export {
  type FailurePolicyOptions,
  openFailurePolicy,
  type SubscriptionFailurePolicy,
} from './subscriber/subscription-failure-policy.ts';
export type { TopicPartition } from './topic-partition.ts';
export type { NewUser, UserAdmin, UserInfo, UserPermissions } from './users.ts';

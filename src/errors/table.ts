/**
 * The table of errors: the only place where an error gets a name, a number and its form in each protocol.
 * Listeners look rows up and never invent codes. docs/errors.md is compared with this table by a test.
 *
 * Kafka codes are those of Kafka's Errors.java. `kafka: undefined` means that a Kafka connection is closed instead.
 * AMQP codes are the reply codes of the specification (0-9-1, section 1.2), used where RabbitMQ uses them: soft errors close
 * the channel, hard ones the connection. `amqp: undefined` has no code: a publish is answered with a nack, anything else
 * that ends so with 541.
 * Numbers are stable and never reused.
 */
export interface AmqpClose {
  /** AMQP reply code. */
  readonly code: number;
  /** What is closed: the channel that caused the error, or the whole connection. */
  readonly scope: 'channel' | 'connection';
}

export interface ErrorRow {
  /** Stable number in the native protocol; 0 is success. */
  readonly number: number;
  /** Whether the same request may succeed later without a change by the user. */
  readonly retriable: boolean;
  /** Kafka error code, or undefined where a Kafka connection is closed. */
  readonly kafka: number | undefined;
  /** How AMQP closes for it, or undefined where it has no code for it. */
  readonly amqp: AmqpClose | undefined;
  readonly sentence: string;
  /** What the user can do. */
  readonly remedy: string;
}

function channel(code: number): AmqpClose {
  return { code, scope: 'channel' };
}

function connection(code: number): AmqpClose {
  return { code, scope: 'connection' };
}

function row(
  number: number,
  retriable: boolean,
  kafka: number | undefined,
  amqp: AmqpClose | undefined,
  sentence: string,
  remedy: string,
): ErrorRow {
  return { number, retriable, kafka, amqp, sentence, remedy };
}

const TABLE = {
  // 1–19: the connection and its frames
  MALFORMED_FRAME: row(
    1,
    false,
    undefined,
    connection(501),
    'The bytes do not form a valid frame.',
    'Check that the client speaks this listener’s protocol.',
  ),
  FRAME_TOO_LARGE: row(
    2,
    false,
    undefined,
    connection(501),
    'The frame is larger than the listener accepts.',
    'Send smaller batches or raise the frame limit on the broker.',
  ),
  UNEXPECTED_FRAME: row(
    3,
    false,
    42,
    connection(505),
    'The frame is not allowed in this state of the connection.',
    'Finish the handshake first.',
  ),
  UNSUPPORTED_VERSION: row(
    4,
    false,
    35,
    connection(540),
    'The protocol version is not supported.',
    'Use a version the broker announces.',
  ),
  NOT_IMPLEMENTED: row(
    5,
    false,
    35,
    connection(540),
    'The broker does not implement this.',
    'See docs/compatibility.md for what it does.',
  ),
  HANDSHAKE_TIMEOUT: row(
    6,
    false,
    undefined,
    undefined,
    'The client did not finish the handshake in time.',
    'Check for a proxy or client that opens sockets and stays silent.',
  ),
  ORIGIN_NOT_ALLOWED: row(
    7,
    false,
    undefined,
    undefined,
    'The Origin or Host of the request is not allowed.',
    'Add it to the listener’s allow-list.',
  ),
  CONNECTION_LIMIT: row(
    8,
    true,
    undefined,
    connection(530),
    'The listener has as many connections as it may.',
    'Close idle clients or raise the connection limit.',
  ),
  IN_FLIGHT_LIMIT: row(
    9,
    true,
    undefined,
    undefined,
    'The connection has too many requests or bytes in flight.',
    'Wait for responses before sending more.',
  ),

  // 20–39: arguments
  INVALID_ARGUMENT: row(20, false, 42, channel(406), 'An argument is not valid.', 'Correct it as the message says.'),
  INVALID_NAME: row(
    21,
    false,
    17,
    channel(406),
    'The name is not valid.',
    'Use 1 to 249 of the characters a-z A-Z 0-9 . _ - (not "." or "..").',
  ),
  INVALID_CONFIG: row(
    22,
    false,
    40,
    channel(406),
    'A configuration key or value is not valid.',
    'See docs/configuration.md for keys, units and bounds.',
  ),
  INVALID_PARTITIONS: row(
    23,
    false,
    37,
    channel(406),
    'The number of partitions is not valid.',
    'Ask for at least one and at most the broker’s limit; the number can only grow.',
  ),
  INVALID_REPLICATION_FACTOR: row(
    24,
    false,
    38,
    channel(406),
    'The replication factor is not valid.',
    'Ask for at least one and at most the number of brokers.',
  ),

  // 40–59: topics and partitions
  UNKNOWN_TOPIC_OR_PARTITION: row(
    40,
    true,
    3,
    channel(404),
    'The topic or partition does not exist here.',
    'Check the name with `burrow topic list`, or create it.',
  ),
  UNKNOWN_TOPIC_ID: row(
    41,
    true,
    100,
    channel(404),
    'No topic has this id.',
    'Refresh metadata: the topic may have been deleted and created again.',
  ),
  ALREADY_EXISTS: row(
    42,
    false,
    36,
    channel(406),
    'Something of this name exists already.',
    'Choose another name or delete the old one.',
  ),
  NOT_LEADER: row(
    43,
    true,
    6,
    channel(404),
    'This broker does not lead the partition.',
    'Refresh metadata and ask the leader.',
  ),
  LEADER_NOT_AVAILABLE: row(
    44,
    true,
    5,
    channel(404),
    'The partition has no leader at the moment.',
    'Retry; if it lasts, check the cluster status.',
  ),
  FENCED_LEADER_EPOCH: row(45, true, 74, undefined, 'The request carries an older leader epoch.', 'Refresh metadata.'),
  UNKNOWN_LEADER_EPOCH: row(
    46,
    true,
    75,
    undefined,
    'The request carries a newer leader epoch than this broker knows.',
    'Retry after a moment.',
  ),
  OFFSET_OUT_OF_RANGE: row(
    47,
    false,
    1,
    undefined,
    'The offset is outside the log.',
    'Start from the earliest or latest offset.',
  ),
  NOT_ENOUGH_REPLICAS: row(
    48,
    true,
    19,
    undefined,
    'Fewer replicas are in sync than min.insync.replicas.',
    'Bring replicas back.',
  ),
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: row(
    49,
    true,
    20,
    undefined,
    'The record is stored but too few replicas have it.',
    'Bring replicas back; the outcome is unknown to the producer.',
  ),

  FETCH_SESSION_NOT_FOUND: row(
    50,
    true,
    70,
    undefined,
    'This broker has no such fetch session.',
    'Fetch without a session; clients do so by themselves.',
  ),
  PUSH_STREAM_NOT_FOUND: row(
    51,
    false,
    undefined,
    undefined,
    'This connection has no such push stream.',
    'Open it first; streams end with their connection.',
  ),
  PUSH_STREAM_LIMIT: row(
    52,
    false,
    undefined,
    undefined,
    'The connection has as many push streams, or partitions in them, as it may.',
    'Close some, or use another connection.',
  ),

  // 60–79: records
  CORRUPT_BATCH: row(
    60,
    false,
    2,
    undefined,
    'The record batch is damaged.',
    'Send it again; if it repeats, check memory and network.',
  ),
  INVALID_RECORD: row(
    61,
    false,
    87,
    undefined,
    'The record batch breaks a rule of its topic or format.',
    'Correct the producer as the message says.',
  ),
  RECORD_TOO_LARGE: row(
    62,
    false,
    10,
    channel(406),
    'The record batch is larger than max.message.bytes.',
    'Send smaller records or raise the topic’s max.message.bytes.',
  ),
  INVALID_TIMESTAMP: row(
    63,
    false,
    32,
    undefined,
    'The timestamp is out of the accepted range.',
    'Check the clock of the producer.',
  ),
  UNSUPPORTED_COMPRESSION: row(
    64,
    false,
    76,
    undefined,
    'The compression codec is not known.',
    'Use none, gzip, snappy, lz4 or zstd.',
  ),
  UNSUPPORTED_FORMAT: row(
    65,
    false,
    43,
    undefined,
    'The record format is not record batch v2.',
    'Use a client that writes message format 2 (Kafka 0.11 or later).',
  ),
  DECOMPRESSION_LIMIT: row(
    66,
    false,
    10,
    channel(406),
    'The batch decompresses to more than the limit.',
    'Send smaller batches or raise the decompression limit.',
  ),
  OUT_OF_ORDER_SEQUENCE: row(
    67,
    false,
    45,
    undefined,
    'The producer’s sequence number leaves a gap.',
    'A batch was lost before this one; ask for a new producer id.',
  ),
  INVALID_PRODUCER_EPOCH: row(
    68,
    false,
    47,
    undefined,
    'A newer producer with the same id has taken over.',
    'Stop this producer or start a new one.',
  ),
  UNKNOWN_PRODUCER_ID: row(
    69,
    false,
    59,
    undefined,
    'The broker has no state for this producer id.',
    'Ask for a new producer id.',
  ),

  // 80–99: storage
  STORAGE_ERROR: row(
    80,
    true,
    56,
    connection(506),
    'The log cannot be written or read.',
    'See the broker’s log for file and cause; restart it after the disk is mended.',
  ),
  STORAGE_FULL: row(
    81,
    true,
    56,
    connection(506),
    'The disk of the broker is full.',
    'Free space or shorten retention.',
  ),
  STORAGE_CORRUPT: row(
    82,
    false,
    56,
    connection(506),
    'A stored file is damaged below what was known to be synced.',
    'Restore it from a replica or backup, or start with --salvage to drop what is damaged.',
  ),
  DATA_FOLDER_LOCKED: row(
    83,
    false,
    undefined,
    undefined,
    'Another broker uses this data folder.',
    'Stop it or choose another --data-dir.',
  ),
  DATA_FOLDER_VERSION: row(
    84,
    false,
    undefined,
    undefined,
    'The data folder was written by a newer version.',
    'Use that version or newer.',
  ),

  // 100–119: coordination
  REQUEST_TIMED_OUT: row(
    100,
    true,
    7,
    undefined,
    'The request did not finish in time; its outcome is unknown.',
    'Retry; idempotent producers do so without duplicates.',
  ),
  COORDINATOR_NOT_AVAILABLE: row(101, true, 15, undefined, 'No coordinator is available.', 'Retry after a moment.'),
  CONFLICT: row(
    102,
    true,
    42,
    channel(406),
    'Somebody else changed the same definition at the same time.',
    'Read it again and retry.',
  ),
  SHUTTING_DOWN: row(
    103,
    true,
    6,
    connection(320),
    'The broker is shutting down.',
    'Connect to another broker or wait until it is back.',
  ),
  COORDINATION_UNAVAILABLE: row(
    104,
    true,
    7,
    undefined,
    'What the brokers agree through (the coordinator: a shared folder or etcd) cannot be reached.',
    'Retry; look before a change is made again, since its outcome is unknown. If it lasts, check the coordinator.',
  ),
  LEASE_EXPIRED: row(
    105,
    false,
    -1,
    undefined,
    'A lease at the coordinator has ended: its holder stood still or was cut off for too long.',
    'The broker registers again by itself; if it happens often, look for what makes it stand still.',
  ),

  // 120–139: groups
  COORDINATOR_LOADING: row(
    120,
    true,
    14,
    undefined,
    'The coordinator is still reading the groups it has taken over.',
    'Retry after a moment.',
  ),
  NOT_COORDINATOR: row(
    121,
    true,
    16,
    undefined,
    'This broker does not coordinate the group.',
    'Ask any broker who does, and retry there.',
  ),
  ILLEGAL_GENERATION: row(
    122,
    false,
    22,
    undefined,
    'The group has gone on to another generation.',
    'Join the group again.',
  ),
  INCONSISTENT_GROUP_PROTOCOL: row(
    123,
    false,
    23,
    undefined,
    'The member shares no protocol with the rest of the group.',
    'Give all members of the group an assignor in common.',
  ),
  INVALID_GROUP_ID: row(124, false, 24, undefined, 'The group id is empty or too long.', 'Use 1 to 249 characters.'),
  UNKNOWN_MEMBER: row(
    125,
    false,
    25,
    undefined,
    'The group does not know this member.',
    'Join the group again with an empty member id.',
  ),
  INVALID_SESSION_TIMEOUT: row(
    126,
    false,
    26,
    undefined,
    'The session timeout is outside what the broker allows.',
    'Choose one within the broker’s limits.',
  ),
  REBALANCE_IN_PROGRESS: row(127, false, 27, undefined, 'The group is rebalancing.', 'Join the group again.'),
  MEMBER_ID_REQUIRED: row(
    128,
    false,
    79,
    undefined,
    'The member must join again with the id that it was given (KIP-394).',
    'Join with the member id of the answer.',
  ),
  FENCED_INSTANCE: row(
    129,
    false,
    82,
    undefined,
    'Another member has taken over this group instance id.',
    'Give each running member its own group instance id.',
  ),
  GROUP_MAX_SIZE_REACHED: row(
    130,
    false,
    81,
    undefined,
    'The group has as many members as it may.',
    'Run fewer members or raise group-members-max.',
  ),
  GROUP_LIMIT: row(
    131,
    false,
    44,
    undefined,
    'The broker keeps as many groups as it may.',
    'Delete groups that are not used or raise groups-max.',
  ),
  NON_EMPTY_GROUP: row(132, false, 68, undefined, 'The group has members.', 'Stop its members first.'),
  GROUP_ID_NOT_FOUND: row(
    133,
    false,
    69,
    undefined,
    'There is no such group.',
    'Check the name; groups without members and offsets are forgotten.',
  ),
  GROUP_SUBSCRIBED_TO_TOPIC: row(
    134,
    false,
    86,
    undefined,
    'The group consumes the topic.',
    'Stop the members that subscribe to it first.',
  ),
  OFFSET_METADATA_TOO_LARGE: row(
    135,
    false,
    12,
    undefined,
    'The metadata of the committed offset is too long.',
    'Shorten it or raise offset-metadata-bytes-max.',
  ),

  // 140–169: virtual hosts, exchanges and queues
  EXCHANGE_NOT_FOUND: row(
    140,
    false,
    91,
    channel(404),
    'There is no such exchange.',
    'Declare it first, or check the name and the virtual host.',
  ),
  QUEUE_NOT_FOUND: row(
    141,
    false,
    91,
    channel(404),
    'There is no such queue.',
    'Declare it first, or check the name and the virtual host.',
  ),
  DECLARED_DIFFERENTLY: row(
    142,
    false,
    42,
    channel(406),
    'It exists already, with other properties or arguments.',
    'Declare it as it is, or delete it first.',
  ),
  RESOURCE_LOCKED: row(
    143,
    false,
    undefined,
    channel(405),
    'The queue belongs to another connection.',
    'Use it from the connection that declared it as exclusive.',
  ),
  IN_USE: row(
    144,
    false,
    42,
    channel(406),
    'It is in use, and the request was for the case that it is not.',
    'Remove bindings or consumers first, or delete it unconditionally.',
  ),
  NOT_EMPTY: row(
    145,
    false,
    42,
    channel(406),
    'The queue has messages, and the request was for the case that it has none.',
    'Purge it first, or delete it unconditionally.',
  ),
  ACCESS_REFUSED: row(
    146,
    false,
    42,
    channel(403),
    'This is not allowed on what the broker itself provides.',
    'Use an exchange or queue of your own, with a name that does not begin with "amq.".',
  ),
  VHOST_NOT_FOUND: row(
    147,
    false,
    91,
    connection(530),
    'There is no such virtual host.',
    'Create it first, or check the name.',
  ),
  COMMAND_INVALID: row(
    148,
    false,
    42,
    connection(503),
    'The command asks for something that does not exist.',
    'Correct it as the message says.',
  ),
  UNKNOWN_DELIVERY_TAG: row(
    149,
    false,
    121,
    channel(406),
    'The channel has no unsettled delivery with this tag.',
    'Settle each delivery once, on the channel that it came on.',
  ),
  CONSUMER_TAG_IN_USE: row(
    150,
    false,
    undefined,
    connection(530),
    'The channel has a consumer with this tag already.',
    'Choose another tag, or let the broker choose one.',
  ),
  QUEUE_FULL: row(
    151,
    true,
    44,
    undefined,
    'The queue is full and rejects what is published.',
    'Publish again when consumers have caught up, or raise its limit.',
  ),
  CONSUMER_EXCLUSIVE: row(
    152,
    false,
    undefined,
    channel(403),
    'The queue has an exclusive consumer, or other consumers where an exclusive one is wanted.',
    'Cancel the other consumer first.',
  ),
  QUEUE_LIMIT: row(
    153,
    false,
    44,
    channel(406),
    'There are as many queues as there may be.',
    'Delete queues that are not used, or raise the limit.',
  ),
  DELIVERY_TIMED_OUT: row(
    154,
    false,
    undefined,
    channel(406),
    'A delivery stayed unsettled for longer than the consumer timeout.',
    'Settle sooner, lower the prefetch, or raise x-consumer-timeout.',
  ),
  CHANNEL_NOT_FOUND: row(
    160,
    false,
    undefined,
    connection(504),
    'The connection has no such channel.',
    'Open it first; channels end with their connection.',
  ),
  CHANNEL_LIMIT: row(
    161,
    false,
    undefined,
    connection(530),
    'The connection has as many channels as it may.',
    'Close some, or use another connection.',
  ),
  UNROUTABLE: row(
    162,
    false,
    undefined,
    undefined,
    'The message was published as mandatory, and no queue took it.',
    'Bind a queue for it first.',
  ),

  // 170–189: users and permissions
  AUTHENTICATION_FAILED: row(
    170,
    false,
    58,
    connection(530),
    'The login was refused, or there was none where one is needed.',
    'Check user and password; an administrator sees users with `burrow user list`.',
  ),
  NOT_AUTHORIZED: row(
    171,
    false,
    29,
    channel(403),
    'The user has no permission for this.',
    'An administrator can give it with `burrow user permissions`.',
  ),
  VHOST_ACCESS_REFUSED: row(
    172,
    false,
    31,
    connection(530),
    'The user may not enter this virtual host.',
    'An administrator can let it with `burrow user permissions`.',
  ),
  USER_NOT_FOUND: row(
    173,
    false,
    91,
    channel(404),
    'There is no such user.',
    'Check the name with `burrow user list`.',
  ),
  USER_LIMIT: row(
    174,
    false,
    44,
    channel(406),
    'There are as many users as there may be.',
    'Delete users that are not used, or raise users-max.',
  ),
  LOGIN_LIMIT: row(
    175,
    true,
    undefined,
    connection(530),
    'Too many logins wait for their password to be checked.',
    'Try again after a moment, or raise logins-waiting-max.',
  ),
  LOGIN_REVOKED: row(
    176,
    false,
    58,
    connection(320),
    'The login of this connection does not hold any more: its user was deleted, or users were introduced.',
    'Connect again with a user that exists.',
  ),

  // 200–: the client itself
  CONNECTION_LOST: row(
    200,
    true,
    undefined,
    undefined,
    'The connection to the broker was lost.',
    'The client reconnects by itself; retry.',
  ),
  DELIVERY_TIMEOUT: row(
    201,
    false,
    undefined,
    undefined,
    'The record was not acknowledged within the delivery timeout; its outcome is unknown.',
    'Check the broker, or raise deliveryTimeoutMs.',
  ),
  CLIENT_CLOSED: row(202, false, undefined, undefined, 'The client is closed.', 'Open a new one.'),
  SERIALIZATION_FAILED: row(
    203,
    false,
    undefined,
    undefined,
    'The value could not be serialized or deserialized.',
    'Check the serializer and the value.',
  ),
  CONNECTION_FAILED: row(
    204,
    true,
    undefined,
    undefined,
    'The broker cannot be reached.',
    'Check the address, and that the broker runs.',
  ),
  BUFFER_FULL: row(
    205,
    true,
    undefined,
    undefined,
    'The producer’s buffer had no room within maxBlockMs.',
    'Send more slowly, raise bufferBytes or maxBlockMs, or see why the broker does not keep up.',
  ),

  INTERNAL_ERROR: row(
    255,
    false,
    -1,
    connection(541),
    'The broker met a condition that it does not expect.',
    'Please report it with the broker’s log.',
  ),
} as const satisfies Record<string, ErrorRow>;

export type ErrorName = keyof typeof TABLE;

export const ERROR_TABLE: ReadonlyMap<ErrorName, ErrorRow> = new Map(
  Object.entries(TABLE) as Array<[ErrorName, ErrorRow]>,
);

const NAME_BY_NUMBER: ReadonlyMap<number, ErrorName> = new Map(
  [...ERROR_TABLE].map(([name, { number }]) => [number, name] as const),
);

export function errorRow(name: ErrorName): ErrorRow {
  return TABLE[name];
}

/** The name of a native error number; a number that this version does not know is INTERNAL_ERROR. */
export function errorNameByNumber(number: number): ErrorName {
  return NAME_BY_NUMBER.get(number) ?? 'INTERNAL_ERROR';
}

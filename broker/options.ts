/**
 * Every option of a broker, once. From this table come the flags of `burrow start`, the BURROW_* variables, the keys
 * of the config file, the camelCase fields of `startBroker`, their checks (resolve-options.ts) and docs/configuration.md
 * (compared by a test).
 *
 * It says what may be set, not what it does: that stands where the option is used.
 */
import type { Logger } from './ports/logger.ts';

interface CommonRow {
  readonly group: OptionGroup;
  /** `command`: means something to the command line only and is no field of `startBroker`. */
  readonly scope?: 'command';
  readonly sentence: string;
}

interface QuantityRow extends CommonRow {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** Whether -1, or the word `unlimited`, is allowed besides the bounds. */
  readonly unlimited?: true;
}

export type OptionRow =
  | (CommonRow & { readonly type: 'string'; readonly default: string | undefined; readonly value: string })
  | (CommonRow & { readonly type: 'boolean'; readonly default: boolean })
  | (CommonRow & { readonly type: 'enum'; readonly default: string; readonly choices: readonly string[] })
  | (CommonRow & { readonly type: 'list'; readonly default: readonly string[]; readonly value: string })
  /** 0 is a free port, `off` no listener. `embedded` is the default inside `startBroker`. */
  | (CommonRow & { readonly type: 'port'; readonly default: number | 'off'; readonly embedded: number | 'off' })
  | (QuantityRow & { readonly type: 'integer' })
  | (QuantityRow & { readonly type: 'duration' })
  | (QuantityRow & { readonly type: 'bytes' });

export type OptionGroup =
  | 'Storage'
  | 'Listeners'
  | 'Security'
  | 'Durability'
  | 'Topics'
  | 'Groups'
  | 'Queues'
  | 'Limits'
  | 'Node'
  | 'Command';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;
const SECOND = 1000;
const DAY = 86_400 * SECOND;
const INT32_MAX = 2 ** 31 - 1;

const OPTIONS = {
  'data-dir': {
    group: 'Storage',
    type: 'string',
    value: 'folder',
    default: './burrow-data',
    sentence: 'Folder that holds everything the broker stores. Created if absent; one broker at a time may use it.',
  },
  salvage: {
    group: 'Storage',
    type: 'boolean',
    default: false,
    sentence: 'Start although stored data is damaged below what was known to be synced, and drop what is damaged.',
  },
  'disk-free-bytes-min': {
    group: 'Storage',
    type: 'bytes',
    default: 64 * MIB,
    min: 0,
    max: TIB,
    sentence: 'Free space on the data folder’s disk below which writes are refused with STORAGE_FULL.',
  },
  'tail-cache-bytes': {
    group: 'Storage',
    type: 'bytes',
    default: 64 * MIB,
    min: 0,
    max: 64 * GIB,
    sentence: 'Memory for the newest batches of all partitions, so that consumers near the end never touch the disk.',
  },

  host: {
    group: 'Listeners',
    type: 'string',
    value: 'address',
    default: '127.0.0.1',
    sentence:
      'Address that all listeners bind. Other than loopback needs users, and kafka-port off, or allow-insecure.',
  },
  'advertised-host': {
    group: 'Listeners',
    type: 'string',
    value: 'name',
    default: undefined,
    sentence: 'Name or address under which clients are told to reach this broker. Default: host.',
  },
  'allow-insecure': {
    group: 'Listeners',
    type: 'boolean',
    default: false,
    sentence: 'Allow a host other than loopback although there are no users, or a listener does not ask for them.',
  },
  port: {
    group: 'Listeners',
    type: 'port',
    default: 7420,
    embedded: 0,
    sentence: 'Port of the native protocol (WebSocket).',
  },
  'kafka-port': {
    group: 'Listeners',
    type: 'port',
    default: 9092,
    embedded: 0,
    sentence: 'Port of the Kafka protocol.',
  },
  'amqp-port': {
    group: 'Listeners',
    type: 'port',
    default: 5672,
    embedded: 0,
    sentence: 'Port of the AMQP 0-9-1 protocol.',
  },
  'tls-port': {
    group: 'Listeners',
    type: 'port',
    default: 'off',
    embedded: 'off',
    sentence: 'Port of the native protocol over TLS (wss). Needs tls-cert and tls-key.',
  },
  'amqp-tls-port': {
    group: 'Listeners',
    type: 'port',
    default: 'off',
    embedded: 'off',
    sentence: 'Port of the AMQP 0-9-1 protocol over TLS (amqps), by custom 5671. Needs tls-cert and tls-key.',
  },
  'http-port': {
    group: 'Listeners',
    type: 'enum',
    choices: ['off'],
    default: 'off',
    sentence: 'Port of the console and metrics; this version has no such listener.',
  },
  'allowed-origins': {
    group: 'Listeners',
    type: 'list',
    value: 'origins',
    default: [],
    sentence: 'Web origins besides the broker’s own that may open native connections, such as https://app.example.',
  },
  'allowed-hosts': {
    group: 'Listeners',
    type: 'list',
    value: 'names',
    default: [],
    sentence:
      'Host names accepted in the Host header besides loopback names, host and advertised-host (guards against DNS rebinding).',
  },

  'tls-cert': {
    group: 'Security',
    type: 'string',
    value: 'file',
    default: undefined,
    sentence: 'PEM file of the certificate that TLS listeners show, followed by those that lead to its authority.',
  },
  'tls-key': {
    group: 'Security',
    type: 'string',
    value: 'file',
    default: undefined,
    sentence: 'PEM file of its private key. Files are read again when they change.',
  },
  'tls-ca': {
    group: 'Security',
    type: 'string',
    value: 'file',
    default: undefined,
    sentence: 'PEM file of the authorities whose client certificates are believed. With it clients are asked for one.',
  },
  'tls-require-client-cert': {
    group: 'Security',
    type: 'boolean',
    default: false,
    sentence: 'Refuse clients on TLS listeners that show no certificate of those authorities.',
  },
  'tls-cert-login-from': {
    group: 'Security',
    type: 'enum',
    choices: ['common-name', 'distinguished-name'],
    default: 'common-name',
    sentence: 'What of a client’s certificate is its user, for logins without a password (SASL EXTERNAL).',
  },
  'default-user': {
    group: 'Security',
    type: 'string',
    value: 'name',
    default: undefined,
    sentence:
      'Administrator that is created at the start if there are no users, with all permissions in the virtual host /.',
  },
  'default-password-file': {
    group: 'Security',
    type: 'string',
    value: 'file',
    default: undefined,
    sentence: 'File with the password of default-user, in its first line.',
  },
  'users-max': {
    group: 'Security',
    type: 'integer',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    sentence: 'Users of this broker.',
  },
  'logins-waiting-max': {
    group: 'Security',
    type: 'integer',
    default: 1_000,
    min: 1,
    max: 1_000_000,
    sentence:
      'Logins whose password waits to be checked, one after the other; more are refused. Passwords that were right before do not wait.',
  },

  flush: {
    group: 'Durability',
    type: 'enum',
    choices: ['always', 'interval', 'none'],
    default: 'always',
    sentence:
      'When written data is synced: always before it is acknowledged, every flush-interval-ms, or when the system likes. Only always survives a power loss.',
  },
  'flush-interval-ms': {
    group: 'Durability',
    type: 'duration',
    default: SECOND,
    min: 1,
    max: DAY,
    sentence: 'Time between syncs with flush=interval.',
  },
  'journal-bytes': {
    group: 'Durability',
    type: 'bytes',
    default: 128 * MIB,
    min: 4 * MIB,
    max: 16 * GIB,
    sentence:
      'Size of the journal that flush=always syncs; at half of it the segments are synced and the journal is reused.',
  },
  'unwritten-bytes-max': {
    group: 'Durability',
    type: 'bytes',
    default: 32 * MIB,
    min: MIB,
    max: 16 * GIB,
    sentence: 'Produced bytes that may wait for the disk; producers beyond it wait.',
  },

  'auto-create-topics': {
    group: 'Topics',
    type: 'boolean',
    default: true,
    sentence: 'Create an unknown topic when a client produces to it or asks for it.',
  },
  'default-partitions': {
    group: 'Topics',
    type: 'integer',
    default: 1,
    min: 1,
    max: 100_000,
    sentence: 'Partitions of a topic created without a number.',
  },
  'default-replication-factor': {
    group: 'Topics',
    type: 'integer',
    default: 1,
    min: 1,
    max: 15,
    sentence: 'Replicas of a topic created without a number.',
  },
  'partitions-max': {
    group: 'Topics',
    type: 'integer',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    sentence: 'Partitions this broker holds at most.',
  },
  'segment-bytes': {
    group: 'Topics',
    type: 'bytes',
    default: GIB,
    min: KIB,
    max: INT32_MAX,
    sentence: 'Default of the topic config segment.bytes: size at which a new segment file is begun.',
  },
  'segment-ms': {
    group: 'Topics',
    type: 'duration',
    default: 7 * DAY,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    sentence: 'Default of the topic config segment.ms: age at which a new segment file is begun.',
  },
  'retention-ms': {
    group: 'Topics',
    type: 'duration',
    default: 7 * DAY,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    unlimited: true,
    sentence: 'Default of the topic config retention.ms: age at which segments are removed.',
  },
  'retention-bytes': {
    group: 'Topics',
    type: 'bytes',
    default: -1,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    unlimited: true,
    sentence: 'Default of the topic config retention.bytes: size of a partition beyond which old segments are removed.',
  },
  'retention-check-interval-ms': {
    group: 'Topics',
    type: 'duration',
    default: 30 * SECOND,
    min: 10,
    max: DAY,
    sentence: 'Time between looks for segments that retention removes or that have become old enough for a new one.',
  },
  'max-message-bytes': {
    group: 'Topics',
    type: 'bytes',
    // Kafka's default: 1 MiB and room for the batch's overhead.
    default: MIB + 12,
    min: 0,
    max: 256 * MIB,
    sentence: 'Default of the topic config max.message.bytes: size of the largest record batch, as compressed.',
  },
  'min-insync-replicas': {
    group: 'Topics',
    type: 'integer',
    default: 1,
    min: 1,
    max: 15,
    sentence: 'Default of the topic config min.insync.replicas: replicas that must be in sync for acks=all.',
  },

  'offsets-topic-partitions': {
    group: 'Groups',
    type: 'integer',
    // Kafka has 50. Each costs a folder and some files; 16 are enough to spread groups over more brokers than fit one log.
    default: 16,
    min: 1,
    max: 10_000,
    sentence:
      'Partitions of the internal topic __consumer_offsets, when it is created; afterwards their number is what it is.',
  },
  'offsets-topic-segment-bytes': {
    group: 'Groups',
    type: 'bytes',
    default: 16 * MIB,
    min: KIB,
    max: INT32_MAX,
    sentence:
      'Its segment.bytes, when it is created: small, so that superseded offsets are compacted and a start reads little.',
  },
  'offsets-retention-ms': {
    group: 'Groups',
    type: 'duration',
    default: 7 * DAY,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    unlimited: true,
    sentence:
      'How long committed offsets are kept after their group lost its last member, or after the commit where there never was one.',
  },
  'offsets-retention-check-interval-ms': {
    group: 'Groups',
    type: 'duration',
    default: 600 * SECOND,
    min: 10,
    max: DAY,
    sentence: 'Time between looks for offsets and groups that have expired.',
  },
  'offset-metadata-bytes-max': {
    group: 'Groups',
    type: 'bytes',
    default: 4 * KIB,
    min: 0,
    // A STRING of the stored format.
    max: 32_767,
    sentence: 'Size of the text that a client may store with an offset.',
  },
  'groups-max': {
    group: 'Groups',
    type: 'integer',
    default: 100_000,
    min: 1,
    max: 100_000_000,
    sentence: 'Consumer groups this broker keeps, with or without members.',
  },
  'groups-bytes-max': {
    group: 'Groups',
    type: 'bytes',
    default: 256 * MIB,
    min: MIB,
    max: 64 * GIB,
    sentence: 'Memory for all groups, about; beyond it new members and offsets of further partitions are refused.',
  },
  'group-members-max': {
    group: 'Groups',
    type: 'integer',
    default: 1_000,
    min: 1,
    max: 1_000_000,
    sentence: 'Members of one group.',
  },
  'group-member-bytes-max': {
    group: 'Groups',
    type: 'bytes',
    default: 256 * KIB,
    min: KIB,
    max: 16 * MIB,
    sentence: 'Size of what a member says when it joins: its subscription, once for each assignor.',
  },
  'group-min-session-timeout-ms': {
    group: 'Groups',
    type: 'duration',
    default: 6 * SECOND,
    min: 1,
    max: DAY,
    sentence: 'Shortest session timeout that members may ask for.',
  },
  'group-max-session-timeout-ms': {
    group: 'Groups',
    type: 'duration',
    default: 1_800 * SECOND,
    min: 1,
    max: DAY,
    sentence: 'Longest session timeout that members may ask for.',
  },
  'group-initial-rebalance-delay-ms': {
    group: 'Groups',
    type: 'duration',
    // Kafka waits 3 s, since there a rebalance that could have been spared is dear. Here it takes milliseconds; this is
    // enough for consumers that one command starts together, and hardly noticed by one that starts alone.
    default: 100,
    min: 0,
    max: DAY,
    sentence: 'How long the first member of a group waits for others; starts anew with each that comes.',
  },

  'queue-message-bytes-max': {
    group: 'Queues',
    type: 'bytes',
    default: 16 * MIB,
    min: KIB,
    max: 512 * MIB,
    sentence: 'Size of one message in a queue, body and properties; larger ones are refused.',
  },
  'queue-memory-bytes-max': {
    group: 'Queues',
    type: 'bytes',
    default: 512 * MIB,
    min: MIB,
    max: 64 * GIB,
    sentence:
      'Memory for the messages of all queues that are not durable; beyond it publishers wait until consumers have caught up.',
  },
  'amqp-transaction-bytes-max': {
    group: 'Queues',
    type: 'bytes',
    default: 64 * MIB,
    min: KIB,
    max: 16 * GIB,
    sentence: 'Memory for what one AMQP channel has published in a transaction and not committed.',
  },
  'queues-max': {
    group: 'Queues',
    type: 'integer',
    default: 100_000,
    min: 1,
    max: 10_000_000,
    sentence: 'Queues of one virtual host.',
  },

  'connections-max': {
    group: 'Limits',
    type: 'integer',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    sentence: 'Open connections per listener.',
  },
  'connections-per-ip-max': {
    group: 'Limits',
    type: 'integer',
    default: 1_000,
    min: 1,
    max: 1_000_000,
    sentence: 'Open connections per listener from one address.',
  },
  'sockets-max': {
    group: 'Limits',
    type: 'integer',
    default: 0,
    min: 0,
    max: 10_000_000,
    sentence:
      'Open connections of all listeners together. 0: three quarters of the files that the process may open (ulimit -n); logs need the rest.',
  },
  'handshake-timeout-ms': {
    group: 'Limits',
    type: 'duration',
    default: 10 * SECOND,
    min: 10,
    max: DAY,
    sentence: 'Time from opening a connection to its first complete request; silent ones are closed.',
  },
  'idle-timeout-ms': {
    group: 'Limits',
    type: 'duration',
    // Java clients close their side after 9 minutes (connections.max.idle.ms), one before Kafka's brokers do.
    default: 600 * SECOND,
    min: 100,
    max: DAY,
    sentence: 'Time without a request after which a connection is closed; native connections are pinged and stay.',
  },
  'ping-interval-ms': {
    group: 'Limits',
    type: 'duration',
    default: 30 * SECOND,
    min: 10,
    max: DAY,
    sentence: 'Time between pings of a native connection; one that answers none within this time is closed.',
  },
  'frame-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: 16 * MIB,
    min: 64 * KIB,
    max: GIB,
    sentence: 'Size of a native frame, once the handshake is done.',
  },
  'kafka-request-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: 32 * MIB,
    min: 64 * KIB,
    max: GIB,
    sentence: 'Size of a Kafka request.',
  },
  'amqp-frame-max': {
    group: 'Limits',
    type: 'bytes',
    default: 128 * KIB,
    // The smallest frame_max of the specification.
    min: 4 * KIB,
    max: 16 * MIB,
    sentence: 'Size of an AMQP frame that clients are offered; messages are sent in as many as they need.',
  },
  'amqp-initial-frame-max': {
    group: 'Limits',
    type: 'bytes',
    default: 16 * KIB,
    min: 4 * KIB,
    max: MIB,
    sentence: 'Size of an AMQP frame before that is agreed on: of a login.',
  },
  'amqp-channel-max': {
    group: 'Limits',
    type: 'integer',
    default: 2_047,
    min: 1,
    max: 65_535,
    sentence: 'Channels of one AMQP connection.',
  },
  'amqp-heartbeat': {
    group: 'Limits',
    type: 'integer',
    default: 60,
    min: 0,
    max: 65_535,
    sentence: 'Heartbeat suggested to AMQP clients, in seconds; what they answer counts. 0 for none.',
  },
  'amqp-unassembled-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: 64 * MIB,
    min: 64 * KIB,
    max: 16 * GIB,
    sentence: 'Messages of one AMQP connection that have begun to arrive and are not complete, all channels together.',
  },
  'amqp-content-timeout-ms': {
    group: 'Limits',
    type: 'duration',
    default: 120 * SECOND,
    min: 10,
    max: DAY,
    sentence: 'How long the frames of one AMQP message may take to arrive.',
  },
  'amqp-waiting-methods-max': {
    group: 'Limits',
    type: 'integer',
    default: 1_000,
    min: 1,
    max: 1_000_000,
    sentence:
      'AMQP methods of one connection that wait for an earlier one of their channel; reading pauses at that number.',
  },
  'amqp-waiting-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: 8 * MIB,
    min: 64 * KIB,
    max: 16 * GIB,
    sentence: 'Bytes of those methods’ messages; reading pauses at that size.',
  },
  'fetch-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: 16 * MIB,
    min: KIB,
    max: GIB,
    sentence: 'Records in one fetch answer, whatever the client asks for; a single larger batch still goes out whole.',
  },
  'in-flight-requests-max': {
    group: 'Limits',
    type: 'integer',
    default: 1_000,
    min: 1,
    max: 1_000_000,
    sentence: 'Requests of one connection that may be waiting for their answer; reading pauses at that number.',
  },
  'in-flight-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: 32 * MIB,
    min: 64 * KIB,
    max: 16 * GIB,
    sentence: 'Bytes of those requests; reading pauses at that size.',
  },
  'write-buffered-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: 8 * MIB,
    min: 64 * KIB,
    max: 16 * GIB,
    sentence: 'Bytes that may wait in memory for a slow reader; its requests are not served until it reads on.',
  },
  'buffered-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: GIB,
    min: MIB,
    max: 1024 * GIB,
    sentence:
      'Bytes that all connections of the Kafka or AMQP listener hold together; beyond it the one that holds most is closed.',
  },
  'write-stall-timeout-ms': {
    group: 'Limits',
    type: 'duration',
    default: 30 * SECOND,
    min: 10,
    max: DAY,
    sentence: 'How long a client may take nothing of what waits for it; then its connection is closed.',
  },
  'close-timeout-ms': {
    group: 'Limits',
    type: 'duration',
    default: 5 * SECOND,
    min: 1,
    // `burrow start` ends the process after eight.
    max: 7 * SECOND,
    sentence: 'How long clients may take to say goodbye when the broker stops or closes their connection.',
  },
  'decompressed-bytes-max': {
    group: 'Limits',
    type: 'bytes',
    default: 64 * MIB,
    min: MIB,
    max: GIB,
    sentence: 'Size of one decompressed batch, where the broker must look inside: on compacted topics.',
  },

  'node-id': {
    group: 'Node',
    type: 'integer',
    default: 1,
    min: 0,
    max: INT32_MAX,
    sentence: 'Number of this broker, unique in its cluster.',
  },
  coordinator: {
    group: 'Node',
    type: 'string',
    value: 'coordinator',
    default: undefined,
    sentence:
      'Where definitions are kept: file:FOLDER or etcd://HOST:PORT/PREFIX. For one broker only, as yet. Default: in the data folder.',
  },
  rack: {
    group: 'Node',
    type: 'string',
    value: 'name',
    default: undefined,
    sentence: 'Rack or zone of this broker, told to clients.',
  },

  config: {
    group: 'Command',
    scope: 'command',
    type: 'string',
    value: 'file',
    default: undefined,
    sentence: 'JSON file with these options as its keys. Not allowed as a key of the file itself.',
  },
  json: {
    group: 'Command',
    scope: 'command',
    type: 'boolean',
    default: false,
    sentence: 'Print one line of JSON on standard output when ready, instead of the banner.',
  },
  'log-level': {
    group: 'Command',
    scope: 'command',
    type: 'enum',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    default: 'info',
    sentence: 'Least important lines that are logged, on standard error.',
  },
  'log-format': {
    group: 'Command',
    scope: 'command',
    type: 'enum',
    choices: ['auto', 'json', 'pretty'],
    default: 'auto',
    sentence: 'Form of log lines; auto is pretty on a terminal and JSON elsewhere.',
  },
} as const satisfies Record<string, OptionRow>;

export type OptionName = keyof typeof OPTIONS;

/** In the order of the table. */
export const OPTION_TABLE: ReadonlyMap<OptionName, OptionRow> = new Map(
  Object.entries(OPTIONS) as Array<[OptionName, OptionRow]>,
);

type CamelCase<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

type ValueOf<Row> = Row extends { type: 'boolean' }
  ? boolean
  : Row extends { type: 'enum'; choices: ReadonlyArray<infer Choice> }
    ? Choice
    : Row extends { type: 'port' }
      ? number | 'off'
      : Row extends { type: 'list' }
        ? readonly string[]
        : Row extends { type: 'string' }
          ? string | Extract<Row extends { default: infer Default } ? Default : never, undefined>
          : number;

/** Every option with its checked value. Durations are milliseconds, sizes bytes, -1 is unlimited. */
export type Settings = {
  readonly [Name in OptionName as CamelCase<Name>]: ValueOf<(typeof OPTIONS)[Name]>;
};

type CommandName = {
  [Name in OptionName]: (typeof OPTIONS)[Name] extends { scope: 'command' } ? Name : never;
}[OptionName];

/** What the broker itself is given: all options but those of the command line. */
export type BrokerSettings = Omit<Settings, CamelCase<CommandName>>;

/**
 * Options of `startBroker`. What is left out has the default of the table, except that every listener takes a free
 * port of 127.0.0.1, so that several brokers fit into one process.
 */
export type BrokerOptions = {
  readonly [Name in keyof Omit<BrokerSettings, 'dataDir'>]?: BrokerSettings[Name] | undefined;
} & {
  /** `'memory'` keeps everything in this process; anything else is the data folder. */
  readonly storage: string;
  /** Default: silent. */
  readonly logger?: Logger | undefined;
};

/** `flush-interval-ms` → `flushIntervalMs`. */
export function camelCaseName(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `flush-interval-ms` → `BURROW_FLUSH_INTERVAL_MS`. */
export function environmentName(name: string): string {
  return `BURROW_${name.replaceAll('-', '_').toUpperCase()}`;
}

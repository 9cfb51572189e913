/**
 * The methods of AMQP 0-9-1 with RabbitMQ's extensions, as tables: number of class and method, who sends it, and its
 * arguments in the order of the wire. `method-codec.ts` compiles them; TypeScript derives the arguments' types from them.
 *
 * Arguments that mean nothing any more (tickets, capabilities) are `reserved`: read over, and written as the specification
 * says.
 */
import type { FieldTable } from '../../../src/messages/field-value.ts';

export type ArgumentKind = 'octet' | 'short' | 'long' | 'longlong' | 'bit' | 'shortstr' | 'longstr' | 'table';

export interface Argument<T> {
  readonly kind: ArgumentKind;
  readonly reserved: boolean;
  /** Written where it is reserved. */
  readonly value: T;
}

const NO_BYTES: Buffer = Buffer.alloc(0);
const NO_FIELDS: FieldTable = new Map();

function argument<T>(kind: ArgumentKind, value: T): Argument<T> {
  return { kind, reserved: false, value };
}

interface Reserved<T> extends Argument<T> {
  readonly reserved: true;
}

function reserved<T>(of: Argument<T>): Reserved<T> {
  return { ...of, reserved: true };
}

const octet = argument('octet', 0);
const short = argument('short', 0);
const long = argument('long', 0);
/** A uint64; beyond safe integers rounded, which no delivery tag is. */
const longlong = argument('longlong', 0);
const bit = argument('bit', false);
/** At most 255 bytes of UTF-8. */
const shortstr = argument('shortstr', '');
/** Any bytes, as a view of the frame. */
const longstr = argument('longstr', NO_BYTES);
const table = argument('table', NO_FIELDS);

type ArgumentTable = { readonly [name: string]: Argument<unknown> };

export interface Method<A extends ArgumentTable = ArgumentTable> {
  readonly classId: number;
  readonly methodId: number;
  readonly sender: 'client' | 'server' | 'both';
  /** Whether content frames follow. */
  readonly hasContent: boolean;
  readonly args: A;
}

function method<A extends ArgumentTable>(
  sender: Method['sender'],
  classId: number,
  methodId: number,
  args: A,
  hasContent = false,
): Method<A> {
  return { classId, methodId, sender, hasContent, args };
}

const CONTENT = true;
const close = { replyCode: short, replyText: shortstr, classId: short, methodId: short };
const bind = { destination: shortstr, source: shortstr, routingKey: shortstr, noWait: bit, arguments: table };
const messageOrigin = { exchange: shortstr, routingKey: shortstr };

export const METHODS = {
  'connection.start': method('server', 10, 10, {
    versionMajor: octet,
    versionMinor: octet,
    serverProperties: table,
    mechanisms: longstr,
    locales: longstr,
  }),
  'connection.start-ok': method('client', 10, 11, {
    clientProperties: table,
    mechanism: shortstr,
    response: longstr,
    locale: shortstr,
  }),
  'connection.secure': method('server', 10, 20, { challenge: longstr }),
  'connection.secure-ok': method('client', 10, 21, { response: longstr }),
  'connection.tune': method('server', 10, 30, { channelMax: short, frameMax: long, heartbeat: short }),
  'connection.tune-ok': method('client', 10, 31, { channelMax: short, frameMax: long, heartbeat: short }),
  'connection.open': method('client', 10, 40, {
    virtualHost: shortstr,
    capabilities: reserved(shortstr),
    insist: reserved(bit),
  }),
  'connection.open-ok': method('server', 10, 41, { knownHosts: reserved(shortstr) }),
  'connection.close': method('both', 10, 50, close),
  'connection.close-ok': method('both', 10, 51, {}),
  'connection.blocked': method('both', 10, 60, { reason: shortstr }),
  'connection.unblocked': method('both', 10, 61, {}),
  'connection.update-secret': method('client', 10, 70, { newSecret: longstr, reason: shortstr }),
  'connection.update-secret-ok': method('server', 10, 71, {}),

  'channel.open': method('client', 20, 10, { outOfBand: reserved(shortstr) }),
  'channel.open-ok': method('server', 20, 11, { channelId: reserved(longstr) }),
  'channel.flow': method('both', 20, 20, { active: bit }),
  'channel.flow-ok': method('both', 20, 21, { active: bit }),
  'channel.close': method('both', 20, 40, close),
  'channel.close-ok': method('both', 20, 41, {}),

  'access.request': method('client', 30, 10, {
    realm: shortstr,
    exclusive: bit,
    passive: bit,
    active: bit,
    write: bit,
    read: bit,
  }),
  'access.request-ok': method('server', 30, 11, { ticket: short }),

  'exchange.declare': method('client', 40, 10, {
    ticket: reserved(short),
    exchange: shortstr,
    type: shortstr,
    passive: bit,
    durable: bit,
    autoDelete: bit,
    internal: bit,
    noWait: bit,
    arguments: table,
  }),
  'exchange.declare-ok': method('server', 40, 11, {}),
  'exchange.delete': method('client', 40, 20, {
    ticket: reserved(short),
    exchange: shortstr,
    ifUnused: bit,
    noWait: bit,
  }),
  'exchange.delete-ok': method('server', 40, 21, {}),
  'exchange.bind': method('client', 40, 30, { ticket: reserved(short), ...bind }),
  'exchange.bind-ok': method('server', 40, 31, {}),
  'exchange.unbind': method('client', 40, 40, { ticket: reserved(short), ...bind }),
  // Not 41: RabbitMQ's specification has it so.
  'exchange.unbind-ok': method('server', 40, 51, {}),

  'queue.declare': method('client', 50, 10, {
    ticket: reserved(short),
    queue: shortstr,
    passive: bit,
    durable: bit,
    exclusive: bit,
    autoDelete: bit,
    noWait: bit,
    arguments: table,
  }),
  'queue.declare-ok': method('server', 50, 11, { queue: shortstr, messageCount: long, consumerCount: long }),
  'queue.bind': method('client', 50, 20, {
    ticket: reserved(short),
    queue: shortstr,
    exchange: shortstr,
    routingKey: shortstr,
    noWait: bit,
    arguments: table,
  }),
  'queue.bind-ok': method('server', 50, 21, {}),
  'queue.purge': method('client', 50, 30, { ticket: reserved(short), queue: shortstr, noWait: bit }),
  'queue.purge-ok': method('server', 50, 31, { messageCount: long }),
  'queue.delete': method('client', 50, 40, {
    ticket: reserved(short),
    queue: shortstr,
    ifUnused: bit,
    ifEmpty: bit,
    noWait: bit,
  }),
  'queue.delete-ok': method('server', 50, 41, { messageCount: long }),
  'queue.unbind': method('client', 50, 50, {
    ticket: reserved(short),
    queue: shortstr,
    exchange: shortstr,
    routingKey: shortstr,
    arguments: table,
  }),
  'queue.unbind-ok': method('server', 50, 51, {}),

  'basic.qos': method('client', 60, 10, { prefetchSize: long, prefetchCount: short, global: bit }),
  'basic.qos-ok': method('server', 60, 11, {}),
  'basic.consume': method('client', 60, 20, {
    ticket: reserved(short),
    queue: shortstr,
    consumerTag: shortstr,
    noLocal: bit,
    noAck: bit,
    exclusive: bit,
    noWait: bit,
    arguments: table,
  }),
  'basic.consume-ok': method('server', 60, 21, { consumerTag: shortstr }),
  'basic.cancel': method('both', 60, 30, { consumerTag: shortstr, noWait: bit }),
  'basic.cancel-ok': method('both', 60, 31, { consumerTag: shortstr }),
  'basic.publish': method(
    'client',
    60,
    40,
    { ticket: reserved(short), ...messageOrigin, mandatory: bit, immediate: bit },
    CONTENT,
  ),
  'basic.return': method('server', 60, 50, { replyCode: short, replyText: shortstr, ...messageOrigin }, CONTENT),
  'basic.deliver': method(
    'server',
    60,
    60,
    { consumerTag: shortstr, deliveryTag: longlong, redelivered: bit, ...messageOrigin },
    CONTENT,
  ),
  'basic.get': method('client', 60, 70, { ticket: reserved(short), queue: shortstr, noAck: bit }),
  'basic.get-ok': method(
    'server',
    60,
    71,
    { deliveryTag: longlong, redelivered: bit, ...messageOrigin, messageCount: long },
    CONTENT,
  ),
  'basic.get-empty': method('server', 60, 72, { clusterId: reserved(shortstr) }),
  'basic.ack': method('both', 60, 80, { deliveryTag: longlong, multiple: bit }),
  'basic.reject': method('client', 60, 90, { deliveryTag: longlong, requeue: bit }),
  'basic.recover-async': method('client', 60, 100, { requeue: bit }),
  'basic.recover': method('client', 60, 110, { requeue: bit }),
  'basic.recover-ok': method('server', 60, 111, {}),
  'basic.nack': method('both', 60, 120, { deliveryTag: longlong, multiple: bit, requeue: bit }),

  'confirm.select': method('client', 85, 10, { noWait: bit }),
  'confirm.select-ok': method('server', 85, 11, {}),

  'tx.select': method('client', 90, 10, {}),
  'tx.select-ok': method('server', 90, 11, {}),
  'tx.commit': method('client', 90, 20, {}),
  'tx.commit-ok': method('server', 90, 21, {}),
  'tx.rollback': method('client', 90, 30, {}),
  'tx.rollback-ok': method('server', 90, 31, {}),
} as const;

export type MethodName = keyof typeof METHODS;

type ValueOf<A> = A extends Argument<infer T> ? T : never;

/** The arguments of a method, reserved ones left out. */
export type MethodArguments<N extends MethodName> = {
  readonly [K in keyof (typeof METHODS)[N]['args'] as (typeof METHODS)[N]['args'][K] extends Reserved<unknown>
    ? never
    : K]: ValueOf<(typeof METHODS)[N]['args'][K]>;
};

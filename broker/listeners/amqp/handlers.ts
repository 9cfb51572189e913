/**
 * The seam between the protocol and what it is about: who implements exchanges and queues for AMQP gives one table of handlers per
 * class, and gets methods that are decoded and in order. Everything up to here (frames, logins, opening and closing, flow, access) is done.
 */
import type { FieldTable } from '../../../src/messages/field-value.ts';
import type { Identity } from '../../security/access-control.ts';
import type { Content } from './content-assembly.ts';
import type { OutgoingMessage } from './frame-writer.ts';
import { METHODS, type MethodArguments, type MethodName } from './methods.ts';

/** Methods that handlers must have. */
export type HandledMethod = Exclude<
  MethodName & `${'exchange' | 'queue' | 'basic' | 'confirm' | 'tx'}.${string}`,
  `${string}-ok` | 'basic.return' | 'basic.deliver' | 'basic.get-empty'
>;

/**
 * Handles one method of a channel. The next one of the channel waits for the promise, if there is one. What is thrown closes the channel
 * or the connection, as `toAmqpException` says. `noWait` is the handler's business.
 */
export type MethodHandler<S, N extends HandledMethod> = (
  session: S,
  args: MethodArguments<N>,
  content: N extends 'basic.publish' ? Content : undefined,
) => void | Promise<void>;

/** By class and method. `S` is what the implementation keeps for a channel. */
export type HandlerTables<S> = {
  readonly [C in 'exchange' | 'queue' | 'basic' | 'confirm' | 'tx']: {
    readonly [N in HandledMethod as N extends `${C}.${infer M}` ? M : never]: MethodHandler<S, N>;
  };
};

/** Where names of methods are keys of the tables. */
export function handlerOf<S>(tables: HandlerTables<S>, name: MethodName): AnyHandler<S> | undefined {
  const [className, methodName] = name.split('.') as [keyof HandlerTables<S>, string];
  const handlers: Readonly<Record<string, AnyHandler<S>>> | undefined = tables[className];
  return handlers?.[methodName];
}

export type AnyHandler<S> = (session: S, args: never, content: never) => void | Promise<void>;

/** All handlers by method. */
export function handlersByMethod<S>(tables: HandlerTables<S>): ReadonlyMap<MethodName, AnyHandler<S>> {
  const handlers = new Map<MethodName, AnyHandler<S>>();
  for (const name of Object.keys(METHODS) as MethodName[]) {
    const handler = handlerOf(tables, name);
    if (handler !== undefined) handlers.set(name, handler);
  }
  return handlers;
}

/** A connection, as handlers see it. */
export interface ClientConnection {
  readonly user: string;
  /** The same, as of its login. */
  readonly identity: Identity;
  readonly virtualHost: string;
  /** `address:port` of the client. */
  readonly remote: string;
  readonly clientProperties: FieldTable;
  /** Capabilities that the client announced, such as `consumer_cancel_notify`. */
  readonly capabilities: ReadonlySet<string>;
  /** Closes the connection because of anything that was thrown. */
  fail(error: unknown): void;
}

/** A channel, as handlers see it. What is sent on one that is closed goes nowhere. */
export interface Channel {
  readonly number: number;
  readonly connection: ClientConnection;
  /** Whether the client takes what it gets. When that becomes true again, `onWritable` of the session is called. */
  readonly isWritable: boolean;
  send<N extends MethodName>(name: N, args: MethodArguments<N>): void;
  /** The bytes of the body must not change afterwards; nothing else is kept. Per message. */
  deliver(consumerTag: string, deliveryTag: number, redelivered: boolean, message: OutgoingMessage): void;
  sendContent<N extends 'basic.return' | 'basic.get-ok'>(
    name: N,
    args: MethodArguments<N>,
    message: OutgoingMessage,
  ): void;
  /** Confirms publishes. Per message. */
  ack(deliveryTag: number, multiple: boolean): void;
  nack(deliveryTag: number, multiple: boolean): void;
  /** Closes the channel, or the connection, because of anything that was thrown outside of a handler. */
  fail(error: unknown): void;
}

/** What listens behind the protocol. */
export interface AmqpBackend<S> {
  readonly handlers: HandlerTables<S>;
  /** A client has logged in and names its virtual host. @throws BurrowError VHOST_NOT_FOUND, VHOST_ACCESS_REFUSED */
  openSession(connection: ClientConnection): BackendSession<S>;
}

export interface BackendSession<S> {
  openChannel(channel: Channel): S;
  /** The client takes more again. */
  onWritable(channel: S): void;
  /** However it ended. Called once. */
  closeChannel(channel: S): void;
  /** The connection has ended, after all its channels. Called once. */
  close(): void;
}

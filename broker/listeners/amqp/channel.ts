/**
 * One channel of a connection: puts contents together, runs methods one after the other, and closes alone where an error concerns it
 * alone. After it has sent close, frames are parsed and dropped until close-ok comes (AMQP 0-9-1 section 1.5.2.5).
 */
import { closeArguments } from './connection-state.ts';
import { type Content, ContentAssembly, detached } from './content-assembly.ts';
import { BODY_FRAME, HEADER_FRAME, METHOD_FRAME } from './frame-cutter.ts';
import type { FrameWriter, OutgoingMessage } from './frame-writer.ts';
import type { AnyHandler, BackendSession, Channel, ClientConnection } from './handlers.ts';
import { type AnyMethod, decodeMethod, methodNameOf } from './method-codec.ts';
import { METHODS, type MethodArguments, type MethodName } from './methods.ts';
import { AmqpException, toAmqpException } from './reply-codes.ts';

/** What a channel needs of its connection. */
export interface ChannelHost {
  readonly client: ClientConnection;
  readonly writer: FrameWriter;
  readonly isWritable: boolean;
  readonly messageBytesMax: number;
  readonly handlers: ReadonlyMap<MethodName, AnyHandler<unknown>>;
  readonly session: BackendSession<unknown>;
  /** Something was written: it is sent at the end of the turn. */
  onWritten(): void;
  /** Methods wait, and their contents' bytes; or fewer do than before, where negative. */
  onWaiting(methods: number, bytes: number): void;
  /** A content that is not complete takes so many more bytes, or fewer. */
  onUnassembled(channel: AmqpChannel, bytes: number): void;
  /** The channel has nothing to do any more. */
  onIdle(): void;
  /** The channel number may be used again. */
  onGone(channel: AmqpChannel): void;
  /** An error that the connection does not survive. */
  failConnection(exception: AmqpException, method: MethodName | undefined): void;
  /** Something failed that should not. */
  onUnexpected(error: unknown, method: MethodName | undefined): void;
}

interface Waiting {
  readonly method: AnyMethod;
  readonly content: Content | undefined;
}

type ChannelPhase =
  | 'open'
  /** close is sent, close-ok must come. */
  | 'closing'
  | 'closed';

const NO_ARGUMENTS = {};
const ACCESS_TICKET = 1;

export class AmqpChannel implements Channel {
  readonly number: number;
  readonly connection: ClientConnection;
  readonly #host: ChannelHost;
  readonly #assembly: ContentAssembly;
  /** The method whose content is arriving. */
  #contentMethod: AnyMethod | undefined;
  /** Of that content, as the connection knows it. */
  #unassembledBytes = 0;
  #phase: ChannelPhase = 'open';
  readonly #state: unknown;
  /** A handler has not finished; what comes meanwhile waits, in order. */
  #running = false;
  #waiting: Waiting[] = [];

  constructor(number: number, host: ChannelHost) {
    this.number = number;
    this.#host = host;
    this.connection = host.client;
    this.#assembly = new ContentAssembly(host.messageBytesMax);
    this.#state = host.session.openChannel(this);
  }

  get isWritable(): boolean {
    return this.#phase === 'open' && this.#host.isWritable;
  }

  /** Whether a method is being handled. */
  get isBusy(): boolean {
    return this.#phase === 'open' && this.#running;
  }

  /** Whether a message is arriving and is not complete. */
  get isAssembling(): boolean {
    return this.#assembly.isOpen;
  }

  /** What of a content is kept now must not keep the received chunks that it lies in. At the end of each chunk. */
  detachContent(): void {
    this.#assembly.detach();
  }

  /** A frame for this channel. Errors are dealt with here. Per frame. */
  onFrame(type: number, payload: Buffer): void {
    if (this.#phase !== 'open') {
      this.#onFrameWhileClosing(type, payload);
      return;
    }
    let method: MethodName | undefined = this.#contentMethod?.name;
    try {
      if (type === METHOD_FRAME) {
        // Amid a content, it is the content that is broken.
        if (!this.#assembly.isOpen) method = methodNameOf(payload);
        this.#onMethodFrame(decodeMethod(payload));
      } else if (type === HEADER_FRAME) this.#onContent(this.#assembly.onHeader(payload));
      else if (type === BODY_FRAME) this.#onContent(this.#assembly.onBody(payload));
      else throw new AmqpException('UNEXPECTED_FRAME', `a frame of type ${type} on channel ${this.number}`);
    } catch (error) {
      this.#fail(error, method);
    }
    this.#reportUnassembled();
  }

  #reportUnassembled(): void {
    const bytes = this.#assembly.bytes;
    if (bytes === this.#unassembledBytes) return;
    const delta = bytes - this.#unassembledBytes;
    this.#unassembledBytes = bytes;
    this.#host.onUnassembled(this, delta);
  }

  #onMethodFrame(method: AnyMethod): void {
    const { name } = method;
    if (this.#assembly.isOpen) {
      throw new AmqpException('UNEXPECTED_FRAME', `expected content of ${this.#contentMethod?.name}, got ${name}`);
    }
    const { sender, hasContent } = METHODS[name];
    if (name === 'channel.open') {
      throw new AmqpException('CHANNEL_ERROR', `second 'channel.open' seen on channel ${this.number}`);
    }
    if (sender === 'server' || name.startsWith('connection.')) {
      throw new AmqpException('COMMAND_INVALID', `${name} cannot be sent by a client on channel ${this.number}`);
    }
    if (!hasContent) this.#accept(method, undefined);
    else {
      this.#contentMethod = method;
      this.#assembly.begin();
    }
  }

  #onContent(content: Content | undefined): void {
    if (content === undefined) return;
    const method = this.#contentMethod!;
    this.#contentMethod = undefined;
    this.#accept(method, content);
  }

  #accept(method: AnyMethod, content: Content | undefined): void {
    if (!this.#running) {
      this.#run(method, content);
      return;
    }
    this.#waiting.push({ method, content: content === undefined ? undefined : detached(content) });
    this.#host.onWaiting(1, content?.bodyBytes ?? 0);
  }

  #run(method: AnyMethod, content: Content | undefined): void {
    let result: void | Promise<void>;
    try {
      result = this.#handle(method, content);
    } catch (error) {
      this.#fail(error, method.name);
      return;
    }
    if (!(result instanceof Promise)) return;
    this.#running = true;
    result.then(
      () => this.#onFinished(),
      (error: unknown) => {
        this.#fail(error, method.name);
        this.#onFinished();
      },
    );
  }

  #onFinished(): void {
    this.#running = false;
    // One that waited may have to wait in turn; then the rest goes on waiting.
    while (!this.#running && this.#phase === 'open' && this.#waiting.length > 0) {
      const { method, content } = this.#waiting.shift()!;
      this.#host.onWaiting(-1, -(content?.bodyBytes ?? 0));
      this.#run(method, content);
    }
    if (!this.#running) this.#host.onIdle();
  }

  #handle(method: AnyMethod, content: Content | undefined): void | Promise<void> {
    switch (method.name) {
      case 'channel.close':
        this.send('channel.close-ok', NO_ARGUMENTS);
        this.end();
        this.#host.onGone(this);
        return;
      case 'channel.flow':
        // RabbitMQ, too, never stops what it sends: clients use prefetch.
        if (!method.args.active) throw new AmqpException('NOT_IMPLEMENTED', 'active=false');
        this.send('channel.flow-ok', { active: true });
        return;
      case 'channel.flow-ok':
      case 'channel.close-ok':
      case 'basic.cancel-ok':
        // Never asked for: the broker does not send flow, after close it is not heard here, and its cancel wants no answer.
        throw new AmqpException('COMMAND_INVALID', `nothing has been asked that ${method.name} answers`);
      case 'access.request':
        this.send('access.request-ok', { ticket: ACCESS_TICKET });
        return;
      case 'basic.publish':
        if (method.args.immediate) throw new AmqpException('NOT_IMPLEMENTED', 'immediate=true');
        break;
      case 'basic.recover':
      case 'basic.recover-async':
        if (!method.args.requeue) throw new AmqpException('NOT_IMPLEMENTED', 'requeue=false');
        break;
      default:
    }
    const handler = this.#host.handlers.get(method.name);
    if (handler === undefined) throw new AmqpException('COMMAND_INVALID', `${method.name} is not for the broker`);
    return handler(this.#state, method.args as never, content as never);
  }

  /** Only methods that end it matter; nothing else is decoded. */
  #onFrameWhileClosing(type: number, payload: Buffer): void {
    if (type !== METHOD_FRAME) return;
    let name: MethodName;
    try {
      name = methodNameOf(payload);
    } catch {
      return;
    }
    if (name === 'channel.close-ok') this.#host.onGone(this);
    else if (name === 'channel.close') {
      // Both closed at the same time. Its close-ok to ours still comes.
      this.#host.writer.method(this.number, 'channel.close-ok', NO_ARGUMENTS);
      this.#host.onWritten();
    }
  }

  #fail(error: unknown, method: MethodName | undefined): void {
    if (this.#phase !== 'open') return;
    const exception = toAmqpException(error);
    if (exception.reply === 'INTERNAL_ERROR') this.#host.onUnexpected(error, method);
    if (exception.scope === 'connection') {
      this.#host.failConnection(exception, method);
      return;
    }
    this.#phase = 'closing';
    this.#host.writer.method(this.number, 'channel.close', closeArguments(exception, method));
    this.#host.onWritten();
    this.#release();
  }

  fail(error: unknown): void {
    this.#fail(error, undefined);
  }

  /** The channel has ended, or its connection has. Nothing more is sent. */
  end(): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'closed';
    this.#release();
  }

  #release(): void {
    this.#assembly.abandon();
    this.#reportUnassembled();
    this.#contentMethod = undefined;
    for (const { content } of this.#waiting) this.#host.onWaiting(-1, -(content?.bodyBytes ?? 0));
    this.#waiting = [];
    this.#host.session.closeChannel(this.#state);
  }

  onWritable(): void {
    if (this.#phase === 'open') this.#host.session.onWritable(this.#state);
  }

  send<N extends MethodName>(name: N, args: MethodArguments<N>): void {
    if (this.#phase !== 'open') return;
    this.#host.writer.method(this.number, name, args);
    this.#host.onWritten();
  }

  deliver(consumerTag: string, deliveryTag: number, redelivered: boolean, message: OutgoingMessage): void {
    if (this.#phase !== 'open') return;
    this.#host.writer.deliver(this.number, consumerTag, deliveryTag, redelivered, message);
    this.#host.onWritten();
  }

  sendContent<N extends 'basic.return' | 'basic.get-ok'>(
    name: N,
    args: MethodArguments<N>,
    message: OutgoingMessage,
  ): void {
    if (this.#phase !== 'open') return;
    this.#host.writer.content(this.number, name, args, message);
    this.#host.onWritten();
  }

  ack(deliveryTag: number, multiple: boolean): void {
    if (this.#phase !== 'open') return;
    this.#host.writer.ack(this.number, deliveryTag, multiple);
    this.#host.onWritten();
  }

  nack(deliveryTag: number, multiple: boolean): void {
    if (this.#phase !== 'open') return;
    this.#host.writer.nack(this.number, deliveryTag, multiple);
    this.#host.onWritten();
  }
}

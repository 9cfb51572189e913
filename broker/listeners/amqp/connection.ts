/**
 * One AMQP client's connection: reads frames, hands them to the connection's state machine or to a channel, and sends what these
 * write, once a turn of the event loop.
 *
 * While the client does not take what it is sent, or too much waits to be worked on, the socket is not read: TCP slows the client.
 * What breaks the protocol closes this connection, or one channel of it, and nothing else.
 */
import type { Socket } from 'node:net';
import type { ErrorName } from '../../../src/errors/table.ts';
import type { FieldTable } from '../../../src/messages/field-value.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { Identity } from '../../security/access-control.ts';
import { certificateName, type LoginFrom } from '../client-certificate.ts';
import { isLoopbackAddress } from '../loopback-address.ts';
import { Outgoing } from '../outgoing.ts';
import {
  type Authenticator,
  type Credentials,
  MECHANISMS_WITH_CERTIFICATE,
  parseCredentials,
} from './authentication.ts';
import { AmqpChannel, type ChannelHost } from './channel.ts';
import { type ConnectionEffects, type ConnectionSettings, ConnectionState, type Tuned } from './connection-state.ts';
import { BODY_FRAME, FrameCutter, HEADER_FRAME, HEARTBEAT_FRAME, METHOD_FRAME } from './frame-cutter.ts';
import { FrameWriter } from './frame-writer.ts';
import type { AmqpBackend, AnyHandler, BackendSession, ClientConnection } from './handlers.ts';
import { HeartbeatState } from './heartbeat-state.ts';
import type { AmqpLimits } from './limits.ts';
import { decodeMethod, methodNameOf } from './method-codec.ts';
import type { MethodArguments, MethodName } from './methods.ts';
import { AmqpException, toAmqpException } from './reply-codes.ts';

/** What a connection needs of its listener. */
export interface ConnectionHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: AmqpLimits;
  readonly settings: ConnectionSettings;
  readonly authenticator: Authenticator;
  /** Which part of a client's certificate is its user. */
  readonly loginFrom: LoginFrom;
  readonly backend: AmqpBackend<unknown>;
  readonly handlers: ReadonlyMap<MethodName, AnyHandler<unknown>>;
  /** Why publishers are stopped, if they are. */
  readonly blockedReason: string | undefined;
  /** Called when a connection may hold notably more bytes than when it last called. */
  checkMemory(): void;
}

/** How many bytes a connection may gain before it has the memory of all connections checked. */
const CHECK_MEMORY_BYTES = 1024 * 1024;
const PROTOCOL_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);
const NO_ARGUMENTS = {};
const FRAME_TYPES: ReadonlySet<number> = new Set([METHOD_FRAME, HEADER_FRAME, BODY_FRAME, HEARTBEAT_FRAME]);

export class AmqpConnection implements ConnectionEffects, ChannelHost, ClientConnection {
  readonly remote: string;
  readonly writer: FrameWriter;
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #logger: Logger;
  readonly #state: ConnectionState;
  readonly #heartbeat = new HeartbeatState();
  readonly #cutter: FrameCutter;
  readonly #outgoing: Outgoing;
  readonly #channels = new Map<number, AmqpChannel>();
  #channelsMax = 0;
  #session: BackendSession<unknown> | undefined;
  #virtualHost = '';
  #identity: Identity | undefined;
  /** What the client's certificate says it is, if it has shown one. */
  readonly #certificateName: string | undefined;
  /** Methods that wait for an earlier one of their channel, and their contents' bytes. */
  #waitingMethods = 0;
  #waitingBytes = 0;
  #unassembledBytes = 0;
  /** Channels that may keep parts of the chunk that is being read. */
  #contentChannels: AmqpChannel[] = [];
  /** Since when contents are incomplete without any being completed. */
  #contentSinceMs: number | undefined;
  /** Bytes received and owed since the memory of all connections was checked. */
  #uncheckedBytes = 0;
  #isBlocked = false;
  /** It has published while blocked. */
  #isStopped = false;
  #isWritable = true;
  #isReading = true;
  #flushScheduled = false;
  #framesStarted = false;
  /** The client has asked to close, while channels are still at work: what it sent before counts, as with RabbitMQ. */
  #closeAsked: MethodArguments<'connection.close'> | undefined;
  /** What comes cannot be cut into frames any more, so not even close-ok is heard. */
  #isOutOfStep = false;
  #closed = false;
  readonly #openedMs: number;
  /** When close was sent, or the connection began to end. */
  #closingSinceMs: number | undefined;
  /** When the client last took something, or was first owed it. */
  #progressMs: number;

  constructor(socket: Socket, host: ConnectionHost) {
    this.#socket = socket;
    this.#host = host;
    this.remote = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#logger = host.logger.child({ remote: this.remote });
    this.#certificateName = certificateName(socket, host.loginFrom);
    this.#state = new ConnectionState(
      this.#certificateName === undefined
        ? host.settings
        : { ...host.settings, mechanisms: MECHANISMS_WITH_CERTIFICATE },
      this,
    );
    this.#cutter = new FrameCutter(host.limits.handshakeFrameBytesMax);
    this.writer = new FrameWriter(host.limits.handshakeFrameBytesMax);
    this.#outgoing = new Outgoing(socket, () => this.#onTaken());
    this.#openedMs = host.clock.monotonic();
    this.#progressMs = this.#openedMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error) => this.#logger.debug({ err: error }, 'amqp connection failed'));
    socket.on('close', () => this.#onClose());
  }

  get client(): ClientConnection {
    return this;
  }

  get user(): string {
    return this.#state.user;
  }

  get identity(): Identity {
    return this.#identity!;
  }

  get virtualHost(): string {
    return this.#virtualHost;
  }

  get clientProperties(): FieldTable {
    return this.#state.clientProperties;
  }

  get capabilities(): ReadonlySet<string> {
    return this.#state.capabilities;
  }

  get session(): BackendSession<unknown> {
    return this.#session!;
  }

  get handlers(): ReadonlyMap<MethodName, AnyHandler<unknown>> {
    return this.#host.handlers;
  }

  get messageBytesMax(): number {
    return this.#host.limits.messageBytesMax;
  }

  get isWritable(): boolean {
    return this.#isWritable;
  }

  /** Bytes that this connection keeps in memory. */
  get bufferedBytes(): number {
    return this.#cutter.bytes + this.#unassembledBytes + this.#waitingBytes + this.#owedBytes;
  }

  get #owedBytes(): number {
    return this.#outgoing.bytes + this.writer.bytes;
  }

  // Reading

  #onData(chunk: Buffer): void {
    if (this.#state.phase === 'closed' || this.#isOutOfStep) return;
    this.#heartbeat.onReceived(this.#host.clock.monotonic());
    this.#cutter.push(chunk);
    this.#readFrames();
    this.#onGrowth(chunk.length);
  }

  #onGrowth(bytes: number): void {
    this.#uncheckedBytes += bytes;
    if (this.#uncheckedBytes < CHECK_MEMORY_BYTES) return;
    this.#uncheckedBytes = 0;
    this.#host.checkMemory();
  }

  /** Works on all frames that have arrived and may be worked on, then decides whether to go on reading. */
  #readFrames(): void {
    let starved = false;
    try {
      while (!starved && !this.#isFull()) starved = !this.#readFrame();
    } catch (error) {
      // Not of a channel: the stream is not in step any more, or channel 0 was misused.
      this.failConnection(toAmqpException(error), undefined);
    }
    for (const channel of this.#contentChannels) channel.detachContent();
    this.#contentChannels.length = 0;
    this.#setReading(!this.#isFull());
  }

  /** False if more bytes are needed. */
  #readFrame(): boolean {
    if (!this.#framesStarted) {
      const header = this.#cutter.protocolHeader();
      if (header === undefined) return false;
      this.#framesStarted = true;
      this.#state.onProtocolHeader(header);
      return true;
    }
    if (!this.#cutNext()) return false;
    this.#onFrame(this.#cutter.type, this.#cutter.channel, this.#cutter.payload);
    return true;
  }

  #cutNext(): boolean {
    try {
      return this.#cutter.next();
    } catch (error) {
      this.#isOutOfStep = true;
      throw error;
    }
  }

  #isFull(): boolean {
    const { limits } = this.#host;
    const { phase } = this.#state;
    return (
      this.#closed ||
      this.#isOutOfStep ||
      this.#closeAsked !== undefined ||
      phase === 'closed' ||
      phase === 'authenticating' ||
      this.#isStopped ||
      !this.#isWritable ||
      this.#waitingMethods >= limits.waitingMethodsMax ||
      this.#waitingBytes >= limits.waitingBytesMax
    );
  }

  #setReading(isReading: boolean): void {
    // What comes after the end is read and dropped: unread, it would make the socket's close a reset, and our last words lost.
    const reads = isReading || this.#state.phase === 'closed' || this.#isOutOfStep;
    if (reads === this.#isReading || this.#closed) return;
    this.#isReading = reads;
    if (reads) this.#socket.resume();
    else this.#socket.pause();
  }

  #onFrame(type: number, number: number, payload: Buffer): void {
    const { phase } = this.#state;
    if (type === HEARTBEAT_FRAME && number === 0) return;
    if (phase === 'closing') {
      if (number === 0 && type === METHOD_FRAME) this.#onMethodWhileClosing(payload);
      return;
    }
    if (!FRAME_TYPES.has(type)) throw new AmqpException('FRAME_ERROR', `there are no frames of type ${type}`);
    if (number === 0) {
      if (type !== METHOD_FRAME) {
        throw new AmqpException('UNEXPECTED_FRAME', `a frame of type ${type} on channel 0`);
      }
      this.#onMethod(payload);
    } else if (phase !== 'open') {
      const text = `a frame on channel ${number} in connection state ${phase}`;
      throw new AmqpException('UNEXPECTED_FRAME', text);
    } else this.#onChannelFrame(type, number, payload);
  }

  #onMethod(payload: Buffer): void {
    const name = methodNameOf(payload);
    try {
      const method = decodeMethod(payload);
      if (method.name === 'connection.close' && this.#isBusy) {
        this.#closeAsked = method.args;
        return;
      }
      this.#state.onMethod(method.name, method.args);
    } catch (error) {
      this.failConnection(toAmqpException(error), name);
    }
  }

  /** What else comes may be anything, and does not matter. */
  #onMethodWhileClosing(payload: Buffer): void {
    let name: MethodName;
    try {
      name = methodNameOf(payload);
    } catch {
      return;
    }
    if (name === 'connection.close-ok') this.#state.onMethod(name, NO_ARGUMENTS);
    else if (name === 'connection.close') {
      this.#state.onMethod(name, { replyCode: 0, replyText: '', classId: 0, methodId: 0 });
    }
  }

  #onChannelFrame(type: number, number: number, payload: Buffer): void {
    const channel = this.#channels.get(number);
    if (channel !== undefined) {
      channel.onFrame(type, payload);
      // Not in the midst of a message: it would be half received for as long as publishers are stopped.
      if (this.#isBlocked && type !== METHOD_FRAME && !channel.isAssembling) this.#isStopped = true;
      return;
    }
    if (type !== METHOD_FRAME) {
      throw new AmqpException('UNEXPECTED_FRAME', `expected a method frame on channel ${number}, which is not open`);
    }
    const name = methodNameOf(payload);
    if (name !== 'channel.open') {
      this.failConnection(new AmqpException('CHANNEL_ERROR', `expected 'channel.open' on channel ${number}`), name);
      return;
    }
    // As in RabbitMQ (rabbit_reader:create_channel), channel_max limits how many there are; their numbers are free.
    if (this.#channels.size >= this.#channelsMax) {
      const text = `number of channels opened (${this.#channels.size}) has reached the negotiated channel_max (${this.#channelsMax})`;
      throw new AmqpException('NOT_ALLOWED', text);
    }
    this.#openChannel(number);
  }

  #openChannel(number: number): void {
    let channel: AmqpChannel;
    try {
      channel = new AmqpChannel(number, this);
    } catch (error) {
      const exception = toAmqpException(error);
      if (exception.reply === 'INTERNAL_ERROR') this.onUnexpected(error, 'channel.open');
      this.failConnection(exception, 'channel.open');
      return;
    }
    this.#channels.set(number, channel);
    channel.send('channel.open-ok', NO_ARGUMENTS);
  }

  // What the state machine has done

  sendProtocolHeader(): void {
    this.writer.raw(PROTOCOL_HEADER);
    this.onWritten();
  }

  send<N extends MethodName>(name: N, args: MethodArguments<N>): void {
    this.writer.method(0, name, args);
    this.onWritten();
  }

  authenticate(mechanism: string, response: Buffer): void {
    const credentials = parseCredentials(mechanism, response, this.#certificateName);
    this.#checkCredentials(credentials, (identity) => {
      if (identity === undefined) {
        this.#logger.warn({ mechanism, user: credentials?.user }, 'amqp login refused');
      }
      this.#identity = identity;
      this.#state.onAuthenticated(identity?.name);
      // Reading stopped meanwhile.
      if (!this.#isReading) this.#readFrames();
    });
  }

  /** Calls back at once if the authenticator knows at once. One that fails lets nobody in. */
  #checkCredentials(credentials: Credentials | undefined, onChecked: (identity: Identity | undefined) => void): void {
    const login = this.#login(credentials);
    if (!(login instanceof Promise)) {
      onChecked(login);
      return;
    }
    login
      .catch((error: unknown) => {
        this.#logger.error({ err: error }, 'amqp login could not be checked');
        return undefined;
      })
      .then(onChecked)
      .catch((error: unknown) => this.fail(error));
  }

  #login(credentials: Credentials | undefined): ReturnType<Authenticator['withPassword']> {
    if (credentials === undefined) return undefined;
    const { authenticator } = this.#host;
    if (credentials.kind === 'certificate') return authenticator.withCertificate(credentials.user);
    const isLoopback = isLoopbackAddress(this.#socket.remoteAddress);
    return authenticator.withPassword(credentials.user, credentials.password, isLoopback);
  }

  becomeTuned({ frameBytesMax, channelsMax, heartbeatSeconds }: Tuned): void {
    this.#cutter.frameBytesMax = frameBytesMax;
    this.writer.frameBytesMax = frameBytesMax;
    this.#channelsMax = channelsMax;
    this.#heartbeat.begin(heartbeatSeconds, this.#host.clock.monotonic());
  }

  openSession(virtualHost: string): void {
    this.#virtualHost = virtualHost;
    this.#session = this.#host.backend.openSession(this);
    this.#logger.info({ user: this.user, virtualHost }, 'amqp connection open');
    if (this.#host.blockedReason !== undefined) {
      // Behind open-ok, which is sent when this returns.
      queueMicrotask(() => this.setBlocked(this.#host.blockedReason));
    }
  }

  updateSecret(secret: Buffer): void {
    const credentials = { kind: 'password', user: this.user, password: secret.toString('utf8') } as const;
    this.#checkCredentials(credentials, (identity) => {
      this.#state.onSecretUpdated(identity?.incarnation === this.identity.incarnation);
    });
  }

  endSession(): void {
    for (const channel of this.#channels.values()) channel.end();
    this.#channels.clear();
    const session = this.#session;
    this.#session = undefined;
    this.#closingSinceMs = this.#host.clock.monotonic();
    session?.close();
  }

  end(): void {
    this.#closingSinceMs ??= this.#host.clock.monotonic();
    this.#flush();
    this.#maybeEnd();
  }

  // What channels have done

  onWritten(): void {
    if (this.#owedBytes >= this.#host.limits.outgoingBytesMax) this.#isWritable = false;
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  get #isBusy(): boolean {
    for (const channel of this.#channels.values()) if (channel.isBusy) return true;
    return false;
  }

  onIdle(): void {
    const asked = this.#closeAsked;
    if (asked === undefined || this.#closed || this.#isBusy) return;
    this.#closeAsked = undefined;
    this.#state.onMethod('connection.close', asked);
  }

  onWaiting(methods: number, bytes: number): void {
    this.#waitingMethods += methods;
    this.#waitingBytes += bytes;
    if (methods < 0 && !this.#isReading) queueMicrotask(() => this.#readOn());
  }

  onUnassembled(channel: AmqpChannel, bytes: number): void {
    this.#unassembledBytes += bytes;
    if (bytes < 0) this.#contentSinceMs = this.#unassembledBytes > 0 ? this.#host.clock.monotonic() : undefined;
    else {
      this.#contentSinceMs ??= this.#host.clock.monotonic();
      if (this.#contentChannels.at(-1) !== channel) this.#contentChannels.push(channel);
      if (this.#unassembledBytes > this.#host.limits.unassembledBytesMax) {
        const text = 'too many bytes of messages that are not complete (unassembledBytesMax)';
        this.failConnection(new AmqpException('RESOURCE_ERROR', text), 'basic.publish');
      }
    }
  }

  onGone(channel: AmqpChannel): void {
    if (this.#channels.get(channel.number) === channel) this.#channels.delete(channel.number);
  }

  failConnection(exception: AmqpException, method: MethodName | undefined): void {
    if (this.#closed) return;
    const { phase } = this.#state;
    if (phase !== 'closing' && phase !== 'closed') {
      const fields = { reply: exception.reply, cause: exception.message, phase, method, user: this.user };
      this.#logger.warn(fields, 'amqp connection closed');
    }
    this.#state.fail(exception, method);
  }

  onUnexpected(error: unknown, method: MethodName | undefined): void {
    this.#logger.error({ err: error, method }, 'amqp method failed unexpectedly');
  }

  fail(error: unknown): void {
    const exception = toAmqpException(error);
    if (exception.reply === 'INTERNAL_ERROR') this.onUnexpected(error, undefined);
    this.failConnection(exception, undefined);
  }

  /** Tells the client that publishing is stopped, and why; or that it goes on. Who publishes all the same is not read any more. */
  setBlocked(reason: string | undefined): void {
    if (this.#state.phase !== 'open' || this.#isBlocked === (reason !== undefined)) return;
    this.#isBlocked = reason !== undefined;
    if (this.capabilities.has('connection.blocked')) {
      if (reason === undefined) this.send('connection.unblocked', NO_ARGUMENTS);
      else this.send('connection.blocked', { reason });
    }
    if (this.#isBlocked || !this.#isStopped) return;
    this.#isStopped = false;
    this.#readOn();
  }

  // Sending

  #flush(): void {
    if (this.writer.bytes === 0 || this.#closed) return;
    const nowMs = this.#host.clock.monotonic();
    if (this.#outgoing.bytes === 0) this.#progressMs = nowMs;
    this.#heartbeat.onSent(nowMs);
    const bytes = this.writer.bytes;
    this.#outgoing.pushNow(this.writer.take());
    this.#onGrowth(bytes);
  }

  /** The client took bytes. */
  #onTaken(): void {
    this.#progressMs = this.#host.clock.monotonic();
    if (!this.#isWritable && this.#owedBytes <= this.#host.limits.outgoingBytesMax / 2) {
      this.#isWritable = true;
      for (const channel of this.#channels.values()) {
        if (!this.#isWritable) break;
        channel.onWritable();
      }
      this.#readOn();
    }
    this.#maybeEnd();
  }

  #readOn(): void {
    if (!this.#closed && !this.#isReading) this.#readFrames();
  }

  #maybeEnd(): void {
    if (this.#state.phase !== 'closed' || this.#owedBytes > 0 || this.#closed) return;
    this.#setReading(true);
    this.#socket.end();
  }

  // Ending

  /** Acts on deadlines that have passed. Called by the listener at intervals. */
  checkDeadlines(nowMs: number): void {
    if (this.#closed) return;
    const { limits } = this.#host;
    const { phase } = this.#state;
    // What we do not read cannot arrive.
    if (this.#contentSinceMs !== undefined && !this.#isReading) this.#contentSinceMs = nowMs;
    if (this.#closingSinceMs !== undefined) {
      if (nowMs - this.#closingSinceMs > limits.closeTimeoutMs) this.destroy();
    } else if (phase !== 'open' && nowMs - this.#openedMs > limits.handshakeTimeoutMs) {
      this.#cut('HANDSHAKE_TIMEOUT', 'The client did not open the connection in time (handshakeTimeoutMs).');
    } else if (this.#owedBytes > 0 && nowMs - this.#progressMs > limits.writeStallTimeoutMs) {
      this.#cut('CONNECTION_LOST', 'The client does not take what it is sent (writeStallTimeoutMs).');
    } else if (this.#contentSinceMs !== undefined && nowMs - this.#contentSinceMs > limits.contentArrivalTimeoutMs) {
      this.#cut('MALFORMED_FRAME', 'A message arrives too slowly (contentArrivalTimeoutMs).');
    } else this.#beat(nowMs);
  }

  #beat(nowMs: number): void {
    const due = this.#heartbeat.due(nowMs, this.#isReading);
    if (due === 'dead') this.#cut('CONNECTION_LOST', 'The client sent no heartbeats.');
    else if (due === 'send') {
      this.writer.heartbeat();
      this.onWritten();
    }
  }

  /** Closes, since all connections together hold too much and this one holds most. */
  shed(): void {
    const { bufferedBytesTotalMax } = this.#host.limits;
    const text = `This connection holds most of more than ${bufferedBytesTotalMax} bytes (bufferedBytesTotalMax).`;
    this.#cut('IN_FLIGHT_LIMIT', text);
  }

  /** Ends a connection whose client would not hear why. */
  #cut(code: ErrorName, cause: string): void {
    this.#logger.warn({ code, cause, bufferedBytes: this.bufferedBytes }, 'amqp connection cut');
    this.destroy();
  }

  /** Says goodbye, since the broker stops. */
  drain(): void {
    this.#state.fail(new AmqpException('CONNECTION_FORCED', 'the broker is shutting down'), undefined);
  }

  destroy(): void {
    this.#onClose();
    this.#socket.destroy();
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.endSession();
  }
}

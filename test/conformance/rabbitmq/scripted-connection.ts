/**
 * One connection of a scenario, that does what it is told, also what no client would, and writes down everything that comes back, one
 * list of lines per channel.
 */
import net from 'node:net';
import {
  BODY_FRAME,
  FrameCutter,
  HEADER_FRAME,
  HEARTBEAT_FRAME,
  METHOD_FRAME,
} from '../../../broker/listeners/amqp/frame-cutter.ts';
import { METHODS, type Method, type MethodName } from '../../../broker/listeners/amqp/methods.ts';
import { bodyFrame, frame, headerFrame, PROTOCOL_HEADER } from '../../listeners/amqp/raw-client.ts';
import { encodeProperties, FieldReader, type Fields, type Properties, type Rename } from './typed-fields.ts';
import { type Arguments, decodeMethod, encodeMethod, type Received } from './wire.ts';

/** After that nothing comes any more, and the transcript says so. */
const WAIT_MS = 20_000;
const POLL_MS = 20;
const FRAME_BYTES_MAX = 131_072;
const CHANNELS_MAX = 2047;
const FRAME_OVERHEAD = 8;
const HEADER_FIXED_BYTES = 12;
const CAPABILITIES: Fields = Object.fromEntries(
  [
    'publisher_confirms',
    'exchange_exchange_bindings',
    'basic.nack',
    'consumer_cancel_notify',
    'connection.blocked',
    'authentication_failure_close',
  ].map((name) => [name, true]),
);

export interface ConnectOptions {
  /** How far the handshake goes by itself (default: to the end). */
  readonly until?: 'socket' | 'start' | 'tune' | 'open';
  readonly frameMax?: number;
  readonly channelMax?: number;
  readonly capabilities?: Fields;
}

/** A message that came. */
export interface Message extends Received {
  readonly deliveryTag: number;
  readonly properties: ReadonlyMap<string, string>;
  readonly body: string;
}

/** What every connection of a scenario shares. */
export interface ScriptContext {
  readonly port: number;
  readonly rename: Rename;
  /** Lines by channel, such as `a1`; `a0` is the connection. */
  readonly lines: Map<string, string[]>;
}

export class ScriptedConnection {
  readonly name: string;
  readonly context: ScriptContext;
  readonly #options: ConnectOptions;
  readonly #channels = new Map<number, ScriptedChannel>();
  readonly #cutter = new FrameCutter(16 * 1024 * 1024);
  #socket: net.Socket | undefined;
  #opening: Promise<void> | undefined;
  #hasReceived = false;
  /** The socket is closed. */
  isClosed = false;
  /** No further methods make sense: the connection is closed or being closed. */
  isEnding = false;
  /** Lines are written down: not during the handshake that is only a means. */
  isRecording = true;

  constructor(name: string, context: ScriptContext, options: ConnectOptions = {}) {
    this.name = name;
    this.context = context;
    this.#options = options;
  }

  channel(number: number): ScriptedChannel {
    const found = this.#channels.get(number) ?? new ScriptedChannel(this, number);
    this.#channels.set(number, found);
    return found;
  }

  /** Channel 0. */
  get control(): ScriptedChannel {
    return this.channel(0);
  }

  /** Connects and shakes hands, once. */
  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async #open(): Promise<void> {
    const { until = 'open', frameMax = FRAME_BYTES_MAX, channelMax = CHANNELS_MAX, capabilities } = this.#options;
    const socket = net.connect({ port: this.context.port, host: '127.0.0.1' });
    this.#socket = socket;
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', () => {});
    socket.on('close', () => this.#onClose());
    if (until === 'socket') return;
    const { control } = this;
    this.isRecording = until !== 'open';
    this.raw(PROTOCOL_HEADER);
    await control.reply('connection.start');
    if (until === 'start') return;
    control.send('connection.start-ok', loginArguments({ capabilities }));
    await control.reply('connection.tune');
    if (until === 'tune') return;
    control.send('connection.tune-ok', { channelMax, frameMax, heartbeat: 0 });
    await control.call('connection.open', { virtualHost: '/' });
    this.isRecording = true;
  }

  raw(...bytes: Uint8Array[]): void {
    if (!this.isClosed) this.#socket!.write(Buffer.concat(bytes));
  }

  /** Breaks off without a word. */
  destroy(): void {
    this.#socket!.destroy();
  }

  /** Says goodbye, as far as that is possible, and waits for the socket's end. */
  async close(): Promise<void> {
    if (this.#opening === undefined) return;
    await this.#opening;
    for (const channel of this.#channels.values()) if (channel.number > 0) await channel.close();
    if (!this.isEnding && (this.#options.until ?? 'open') === 'open') {
      await this.control.call('connection.close', { replyCode: 200, replyText: 'bye' });
    }
    this.#socket!.end();
    await this.control.ended();
    for (const channel of this.#channels.values()) channel.recordConfirms();
  }

  #onClose(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.isEnding = true;
    this.record(0, 'the socket is closed');
    this.#wakeAll();
  }

  #onData(chunk: Buffer): void {
    if (!this.#hasReceived && chunk.toString('latin1', 0, 4) === 'AMQP') {
      // The answer to a protocol header that the broker does not know.
      this.record(0, `protocol header ${chunk.toString('hex')}`);
      return;
    }
    this.#hasReceived = true;
    this.#cutter.push(chunk);
    while (this.#cutter.next()) {
      const { type, channel, payload } = this.#cutter;
      this.channel(channel).onFrame(type, payload);
    }
  }

  /** The broker closes the connection: that is answered. */
  onConnectionClose(): void {
    this.isEnding = true;
    this.control.send('connection.close-ok', {});
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const channel of this.#channels.values()) channel.wake();
  }

  record(channel: number, line: string): void {
    if (!this.isRecording) return;
    const { lines } = this.context;
    const key = `${this.name}${channel}`;
    const list = lines.get(key) ?? [];
    list.push(line);
    lines.set(key, list);
  }
}

/** What start-ok says of guest. */
export function loginArguments(options: {
  user?: string;
  password?: string;
  mechanism?: string;
  response?: Buffer;
  capabilities?: Fields | undefined;
}): Arguments<'connection.start-ok'> {
  const { user = 'guest', password = 'guest', mechanism = 'PLAIN', capabilities = CAPABILITIES } = options;
  return {
    clientProperties: { capabilities, product: 'side by side' },
    mechanism,
    response: options.response ?? Buffer.from(`\0${user}\0${password}`),
    locale: 'en_US',
  };
}

export class ScriptedChannel {
  readonly connection: ScriptedConnection;
  readonly number: number;
  readonly #inbox: Received[] = [];
  readonly #messages: Message[] = [];
  readonly #events: Received[] = [];
  #messagesTaken = 0;
  #eventsTaken = 0;
  #opening: Promise<unknown> | undefined;
  #isEnded = false;
  /** A content that is arriving. */
  #content: { method: Received; properties: Map<string, string>; size: number; body: Buffer[] } | undefined;
  #heartbeats = 0;
  #tellsConfirms = false;
  #confirms = false;
  #published = 0;
  readonly #confirmed = new Map<number, 'ack' | 'nack'>();
  #wake: Array<() => void> = [];

  constructor(connection: ScriptedConnection, number: number) {
    this.connection = connection;
    this.number = number;
  }

  /** The channel is closed, or its connection. */
  get isEnded(): boolean {
    return this.#isEnded || this.connection.isEnding;
  }

  /** Messages that came back. */
  get returns(): number {
    return this.#events.filter(({ name }) => name === 'basic.return').length;
  }

  /** Opens it unless that was done; other methods do so themselves. */
  async open(): Promise<void> {
    await this.connection.open();
    if (this.number === 0) return;
    this.#opening ??= this.#request('channel.open', {});
    await this.#opening;
  }

  /** Opens it again after the broker has closed it. */
  async reopen(): Promise<void> {
    this.#isEnded = false;
    this.#confirms = false;
    this.#opening = this.#request('channel.open', {});
    await this.#opening;
  }

  // Sending

  /** Sends a method and waits for what answers it. Gives the answer; undefined if the channel was closed instead. */
  async call<N extends MethodName>(name: N, args: Arguments<N> = {}): Promise<Received | undefined> {
    if (this.number > 0) await this.open();
    return this.isEnded ? undefined : this.#request(name, args);
  }

  #request<N extends MethodName>(name: N, args: Arguments<N>): Promise<Received | undefined> {
    const from = this.#inbox.length;
    this.send(name, args);
    const answers = name === 'basic.get' ? ['basic.get-ok', 'basic.get-empty'] : [`${name}-ok`];
    const find = (): Received | undefined =>
      this.#inbox.slice(from).find((received) => answers.includes(received.name));
    return this.#await(find, { evenIfEnded: name === 'connection.close' });
  }

  /** Sends a method and waits for nothing; the channel must be open. */
  send<N extends MethodName>(name: N, args: Arguments<N> = {}): void {
    this.raw(frame(METHOD_FRAME, this.number, encodeMethod(name, args, this.connection.context.rename)));
    if (name === 'connection.close') this.connection.isEnding = true;
  }

  raw(...bytes: Uint8Array[]): void {
    this.connection.raw(...bytes);
  }

  /** Sends a message and waits for nothing; the channel must be open. */
  publish(args: Arguments<'basic.publish'>, body: string | Buffer = '', properties: Properties = {}): void {
    this.#published++;
    const bytes = Buffer.from(body);
    const { rename } = this.connection.context;
    this.send('basic.publish', args);
    this.raw(headerFrame(this.number, bytes.length, encodeProperties(properties, rename)));
    const size = FRAME_BYTES_MAX - FRAME_OVERHEAD;
    for (let at = 0; at < bytes.length; at += size) this.raw(bodyFrame(this.number, bytes.subarray(at, at + size)));
  }

  /** Publishes to the default exchange, or where `args` say, and waits for the confirm. */
  async put(
    routingKey: string,
    body: string | Buffer = '',
    properties: Properties = {},
    args: Arguments<'basic.publish'> = {},
  ): Promise<void> {
    await this.confirms();
    if (this.isEnded) return;
    this.publish({ routingKey, ...args }, body, properties);
    await this.confirmed();
  }

  /** Puts the channel into confirm mode. */
  async confirms(): Promise<void> {
    if (this.#confirms) return;
    this.#confirms = true;
    await this.call('confirm.select');
  }

  /** Waits until all that was published is confirmed. */
  async confirmed(): Promise<void> {
    await this.#await(() => this.#confirmed.size >= this.#published || undefined);
  }

  // Shorthands, with the names of the protocol

  declare(queue: string, args: Fields = {}, more: Arguments<'queue.declare'> = {}): Promise<Received | undefined> {
    return this.call('queue.declare', { queue, arguments: args, ...more });
  }

  declareExchange(
    exchange: string,
    type: string,
    args: Fields = {},
    more: Arguments<'exchange.declare'> = {},
  ): Promise<Received | undefined> {
    return this.call('exchange.declare', { exchange, type, arguments: args, ...more });
  }

  bind(queue: string, exchange: string, routingKey = '', args: Fields = {}): Promise<Received | undefined> {
    return this.call('queue.bind', { queue, exchange, routingKey, arguments: args });
  }

  consume(queue: string, more: Arguments<'basic.consume'> = {}): Promise<Received | undefined> {
    return this.call('basic.consume', { queue, consumerTag: 'c', ...more });
  }

  get(queue: string, more: Arguments<'basic.get'> = {}): Promise<Received | undefined> {
    return this.call('basic.get', { queue, ...more });
  }

  /** Asks for the queue's counts: by then what it had to deliver to this channel has come. */
  sync(queue: string): Promise<Received | undefined> {
    return this.call('queue.declare', { queue, passive: true });
  }

  /** Asks until the queue has so many ready messages. */
  async counted(queue: string, messages: number): Promise<void> {
    for (let waitedMs = 0; waitedMs < WAIT_MS; waitedMs += POLL_MS) {
      const isRecording = this.connection.isRecording;
      this.connection.isRecording = false;
      const reply = await this.sync(queue);
      this.connection.isRecording = isRecording;
      if (reply?.args['messageCount'] === messages) return this.record(`${queue} has ${messages} messages`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    this.record(`${queue} has ${messages} messages: NOT`);
  }

  /** What was published before confirm.select is not confirmed. */
  forgetPublished(): void {
    this.#published = 0;
  }

  /** From now on the transcript tells when confirms come. */
  tellConfirms(): void {
    this.#tellsConfirms = true;
  }

  async close(): Promise<void> {
    if (this.#opening === undefined || this.isEnded) return;
    await this.call('channel.close', { replyCode: 200, replyText: 'bye' });
    this.#isEnded = true;
  }

  // Waiting

  /** Waits for a method by its name. */
  reply(name: MethodName): Promise<Received | undefined> {
    return this.#await(() => this.#inbox.find((received) => received.name === name));
  }

  /** Waits for the next method, whatever it is, or the end of the socket. */
  async anything(): Promise<void> {
    const from = this.#inbox.length;
    await this.#await(() => this.#inbox[from], { evenIfEnded: true });
  }

  /** Waits for so many more deliveries. */
  async messages(count: number): Promise<readonly Message[]> {
    const from = this.#messagesTaken;
    await this.#await(() => this.#messages.length >= from + count || undefined);
    this.#messagesTaken = from + count;
    return this.#messages.slice(from, from + count);
  }

  /** Waits for one more return, cancel, flow or the like. */
  async event(): Promise<void> {
    const index = this.#eventsTaken++;
    await this.#await(() => this.#events[index]);
  }

  /** Waits until the channel or the connection is closed by the broker. */
  async closed(): Promise<void> {
    await this.#await(() => this.isEnded || undefined);
  }

  /** Waits for a heartbeat. */
  async heartbeat(): Promise<void> {
    await this.#await(() => this.#heartbeats > 0 || undefined);
    this.record(this.#heartbeats > 0 ? 'heartbeats' : 'no heartbeats');
  }

  /** Waits for the end of the socket. */
  async ended(): Promise<void> {
    await this.#await(() => this.connection.isClosed || undefined, { evenIfEnded: true });
  }

  async #await<T>(find: () => T | undefined, { evenIfEnded = false } = {}): Promise<T | undefined> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const found = find();
      if (found !== undefined || this.connection.isClosed || (this.isEnded && !evenIfEnded)) return found;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) {
        this.record('(nothing came)');
        return undefined;
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  wake(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const each of waiting) each();
  }

  // Receiving

  onFrame(type: number, payload: Buffer): void {
    if (type === METHOD_FRAME) {
      const method = decodeMethod(payload);
      const { hasContent } = METHODS[method.name] as Method;
      if (hasContent) this.#content = { method, properties: new Map(), size: 0, body: [] };
      else this.#onMethod(method);
    } else if (type === HEADER_FRAME) {
      const reader = new FieldReader(payload, HEADER_FIXED_BYTES - 8);
      this.#content!.size = reader.uint64();
      this.#content!.properties = reader.properties();
      this.#maybeComplete();
    } else if (type === BODY_FRAME) {
      this.#content!.body.push(Buffer.from(payload));
      this.#maybeComplete();
    } else if (type === HEARTBEAT_FRAME) this.#heartbeats++;
    else this.record(`a frame of type ${type}`);
    this.wake();
  }

  #maybeComplete(): void {
    const { method, properties, size, body } = this.#content!;
    const bytes = Buffer.concat(body);
    if (bytes.length < size) return;
    this.#content = undefined;
    const text = bytes.length > 100 ? `${bytes.length} bytes` : bytes.toString();
    const fields = Array.from(properties, ([name, value]) => `${name}=${value}`).join(' ');
    this.record(`${describe(method)} [${fields}] ${JSON.stringify(text)}`);
    const message: Message = {
      ...method,
      deliveryTag: Number(method.args['deliveryTag'] ?? 0),
      properties,
      body: text,
    };
    this.#inbox.push(message);
    if (method.name === 'basic.deliver') this.#messages.push(message);
    else if (method.name === 'basic.return') this.#events.push(method);
  }

  #onMethod(method: Received): void {
    const { name, args } = method;
    this.#inbox.push(method);
    if (name === 'basic.ack' || name === 'basic.nack') {
      this.#onConfirm(name === 'basic.ack' ? 'ack' : 'nack', Number(args['deliveryTag']), args['multiple'] === true);
      return;
    }
    this.record(describe(method));
    if (name === 'channel.close') {
      this.#isEnded = true;
      this.send('channel.close-ok', {});
    } else if (name === 'connection.close') this.connection.onConnectionClose();
    if (name === 'channel.close' || name === 'basic.cancel' || name === 'channel.flow') this.#events.push(method);
  }

  /** In which bundles confirms come is up to the broker: what counts is what becomes of each message, and that it is told once. */
  #onConfirm(what: 'ack' | 'nack', number: number, multiple: boolean): void {
    const numbers = [number];
    if (multiple) {
      for (let each = 1; each < number; each++) if (!this.#confirmed.has(each)) numbers.push(each);
    }
    for (const each of numbers) {
      if (this.#confirmed.has(each)) this.record(`message ${each} is confirmed twice`);
      this.#confirmed.set(each, what);
      if (this.#tellsConfirms) this.record(`${what} of ${each}`);
    }
  }

  /** What became of what was published: a line for the end of the transcript. */
  recordConfirms(): void {
    if (this.#confirmed.size === 0) return;
    const outcomes = [...this.#confirmed].sort(([one], [other]) => one - other);
    this.record(`confirms: ${outcomes.map(([number, what]) => `${number} ${what}`).join(', ')}`);
  }

  record(line: string): void {
    this.connection.record(this.number, line);
  }
}

function describe({ name, args }: Received): string {
  const fields = Object.entries(args).map(([key, value]) => `${key}=${value}`);
  return [name, ...fields].join(' ');
}

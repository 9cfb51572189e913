/** An AMQP client that sends any bytes and sees each frame, for tests of the protocol itself. */
import net from 'node:net';
import {
  BODY_FRAME,
  FrameCutter,
  HEADER_FRAME,
  HEARTBEAT_FRAME,
  METHOD_FRAME,
} from '../../../broker/listeners/amqp/frame-cutter.ts';
import { type AnyMethod, decodeMethod, encodeMethod } from '../../../broker/listeners/amqp/method-codec.ts';
import type { MethodArguments, MethodName } from '../../../broker/listeners/amqp/methods.ts';
import { ByteWriter } from '../../../src/bytes/writer.ts';

export const PROTOCOL_HEADER = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1');

export function frame(type: number, channel: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(payload.length + 8);
  bytes[0] = type;
  bytes.writeUInt16BE(channel, 1);
  bytes.writeUInt32BE(payload.length, 3);
  bytes.set(payload, 7);
  bytes[payload.length + 7] = 0xce;
  return bytes;
}

export function methodFrame<N extends MethodName>(channel: number, name: N, args: MethodArguments<N>): Buffer {
  const writer = new ByteWriter();
  encodeMethod(writer, name, args);
  return frame(METHOD_FRAME, channel, writer.finish());
}

export function headerFrame(
  channel: number,
  bodySize: number,
  properties: Uint8Array = Buffer.alloc(2),
  classId = 60,
): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(classId, 0);
  head.writeUInt32BE(Math.floor(bodySize / 2 ** 32), 4);
  head.writeUInt32BE(bodySize % 2 ** 32, 8);
  return frame(HEADER_FRAME, channel, Buffer.concat([head, properties]));
}

export function bodyFrame(channel: number, body: Uint8Array): Buffer {
  return frame(BODY_FRAME, channel, body);
}

export const heartbeatFrame = frame(HEARTBEAT_FRAME, 0, Buffer.alloc(0));

export const publishArguments = { exchange: '', routingKey: 'q', mandatory: false, immediate: false };

/** Publish method, header and body. */
export function publishFrames(channel: number, body: Uint8Array, properties?: Uint8Array): Buffer {
  const frames = [
    methodFrame(channel, 'basic.publish', publishArguments),
    headerFrame(channel, body.length, properties),
  ];
  if (body.length > 0) frames.push(bodyFrame(channel, body));
  return Buffer.concat(frames);
}

export interface ReceivedFrame {
  readonly type: number;
  readonly channel: number;
  readonly payload: Buffer;
}

export class RawClient {
  readonly socket: net.Socket;
  readonly #cutter = new FrameCutter(1024 * 1024);
  readonly #frames: ReceivedFrame[] = [];
  /** All bytes, if they are not to be cut into frames. */
  readonly raw: Buffer[] = [];
  readonly #cut: boolean;
  #wake: () => void = () => {};
  isClosed = false;

  constructor(socket: net.Socket, options: { cut: boolean }) {
    this.socket = socket;
    this.#cut = options.cut;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  static async connect(port: number, options: { cut: boolean } = { cut: true }): Promise<RawClient> {
    const socket = net.connect({ port, host: '127.0.0.1' });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RawClient(socket, options);
  }

  /** Connected, logged in, connection open. */
  static async open(
    port: number,
    options: { frameMax?: number; channelMax?: number; heartbeat?: number; capabilities?: readonly string[] } = {},
  ): Promise<RawClient> {
    const client = await RawClient.connect(port);
    client.send(PROTOCOL_HEADER);
    await client.expect('connection.start');
    client.startOk({ capabilities: options.capabilities });
    await client.expect('connection.tune');
    const { frameMax = 0, channelMax = 0, heartbeat = 0 } = options;
    client.method(0, 'connection.tune-ok', { frameMax, channelMax, heartbeat });
    client.method(0, 'connection.open', { virtualHost: '/' });
    await client.expect('connection.open-ok');
    return client;
  }

  startOk(
    options: {
      user?: string;
      password?: string;
      mechanism?: string;
      response?: Buffer;
      capabilities?: readonly string[] | undefined;
    } = {},
  ): void {
    const { user = 'guest', password = 'guest', mechanism = 'PLAIN', capabilities = [] } = options;
    this.method(0, 'connection.start-ok', {
      clientProperties: new Map([['capabilities', new Map(capabilities.map((name) => [name, true]))]]),
      mechanism,
      response: options.response ?? Buffer.from(`\0${user}\0${password}`),
      locale: 'en_US',
    });
  }

  #onData(chunk: Buffer): void {
    if (this.#cut) {
      this.#cutter.push(chunk);
      while (this.#cutter.next()) {
        const { type, channel, payload } = this.#cutter;
        this.#frames.push({ type, channel, payload });
      }
    } else this.raw.push(chunk);
    this.#wake();
  }

  send(...bytes: Uint8Array[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  method<N extends MethodName>(channel: number, name: N, args: MethodArguments<N>): void {
    this.send(methodFrame(channel, name, args));
  }

  async openChannel(channel: number): Promise<void> {
    this.method(channel, 'channel.open', {});
    await this.expect('channel.open-ok', channel);
  }

  async frame(): Promise<ReceivedFrame> {
    await this.#until(() => this.#frames.length > 0);
    return this.#frames.shift()!;
  }

  /** Frames received and not taken yet. */
  get pending(): number {
    return this.#frames.length;
  }

  async next(): Promise<{ channel: number } & AnyMethod> {
    const { type, channel, payload } = await this.frame();
    if (type !== METHOD_FRAME) throw new Error(`a frame of type ${type}, not a method`);
    return { channel, ...decodeMethod(payload) };
  }

  /** The next frame, which must be this method. */
  async expect<N extends MethodName>(name: N, channel = 0): Promise<MethodArguments<N>> {
    const method = await this.next();
    if (method.name !== name || method.channel !== channel) {
      throw new Error(
        `expected ${name} on ${channel}, got ${method.name} on ${method.channel}: ${JSON.stringify(method.args)}`,
      );
    }
    return method.args as MethodArguments<N>;
  }

  /** Resolves when the broker has closed the socket. */
  async closed(): Promise<void> {
    await this.#until(() => this.isClosed, { closedToo: true });
  }

  async #until(condition: () => boolean, options: { closedToo?: boolean } = {}): Promise<void> {
    while (!condition()) {
      if (this.isClosed && options.closedToo !== true) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

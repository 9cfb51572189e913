/** The native listener before a model of a broker, and clients that follow the rules or break them. */
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import type { GroupService } from '../../../broker/groups/group-service.ts';
import { type NativeListener, startNativeListener } from '../../../broker/listeners/native/listener.ts';
import type { NativeAccess } from '../../../broker/listeners/native/native-access.ts';
import type { NativeLimits } from '../../../broker/listeners/native/native-limits.ts';
import type { BrokerService } from '../../../broker/partitions/broker-service.ts';
import type { Logger } from '../../../broker/ports/logger.ts';
import { systemClock } from '../../../broker/ports/system-clock.ts';
import type { QueueService } from '../../../broker/queues/queue-service.ts';
import type { BurrowError } from '../../../src/errors/burrow-error.ts';
import { decodeResponse, decodeServerFrame, encodeRequest, type ServerFrame } from '../../../src/protocol/frame.ts';
import type { MessageName, RequestOf, ResponseOf } from '../../../src/protocol/messages.ts';
import { SUBPROTOCOL } from '../../../src/protocol/version.ts';
import { FakeBrokerService } from '../../support/fake-broker-service.ts';
import { FakeGroupService } from '../../support/fake-group-service.ts';

export interface LogLine {
  readonly text: string;
  readonly [field: string]: unknown;
}

export interface Target<S extends BrokerService> {
  readonly port: number;
  readonly listener: NativeListener;
  readonly service: S;
  readonly logLines: readonly LogLine[];
}

export interface TargetOptions<S extends BrokerService> {
  readonly limits?: Partial<NativeLimits>;
  /** Default: a model of a broker. */
  readonly service?: S;
  readonly groups?: GroupService;
  readonly queues?: QueueService;
  /** Default: everybody is let in. */
  readonly access?: Partial<NativeAccess>;
  readonly allowedOrigins?: readonly string[];
  readonly allowedHosts?: readonly string[];
}

export async function startTarget<S extends BrokerService = FakeBrokerService>(
  options: TargetOptions<S> = {},
): Promise<Target<S>> {
  const logLines: LogLine[] = [];
  const write = (fields: object, text: string): void => void logLines.push({ ...fields, text });
  const logger: Logger = { debug() {}, info() {}, warn: write, error: write, child: () => logger };
  const { service = new FakeBrokerService() as BrokerService as S, groups = new FakeGroupService() } = options;
  const { queues: queueService, access = {}, ...rest } = options;
  const anybody = { name: 'anybody', incarnation: 0 };
  const listener = await startNativeListener({
    access: {
      withoutLogin: () => anybody,
      withPassword: () => anybody,
      watch: () => () => {},
      servicesFor: () => ({ service, groups, queueService, users: undefined }),
      ...access,
    },
    nodeId: service.nodeId,
    clusterId: service.clusterId,
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    logger,
    software: 'burrowmq/test',
    batchBytesMax: 1_048_588,
    ...rest,
  });
  onTestFinished(() => listener.close(0));
  return { port: listener.port, listener, service, logLines };
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

/** Speaks whole frames over the `ws` package. */
export class TestClient {
  readonly webSocket: WebSocket;
  readonly closed: Promise<Closed>;
  /** Everything that has arrived, in order. */
  readonly frames: ServerFrame[] = [];
  pings = 0;
  #nextCorrelationId = 1;
  readonly #waiting = new Map<number, { resolve: (body: unknown) => void; reject: (error: BurrowError) => void }>();
  readonly #watchers = new Set<() => void>();

  constructor(port: number, options: ClientOptions = {}) {
    this.webSocket = new WebSocket(`ws://127.0.0.1:${port}`, SUBPROTOCOL, { perMessageDeflate: false, ...options });
    this.webSocket.on('message', (data: Buffer) => this.#onMessage(data));
    this.webSocket.on('ping', () => {
      this.pings++;
      this.#look();
    });
    this.closed = new Promise((resolve) => {
      this.webSocket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.webSocket.on('error', () => {});
    onTestFinished(() => this.webSocket.terminate());
  }

  /** Connected and greeted. */
  static async open(port: number, options?: ClientOptions): Promise<TestClient> {
    const client = await TestClient.connect(port, options);
    await client.hello();
    return client;
  }

  static async connect(port: number, options?: ClientOptions): Promise<TestClient> {
    const client = new TestClient(port, options);
    await new Promise<void>((resolve, reject) => {
      client.webSocket.once('open', resolve);
      client.webSocket.once('error', reject);
    });
    return client;
  }

  hello(): Promise<ResponseOf<'hello'>> {
    return this.request('hello', {
      protocolVersionMin: 1,
      protocolVersionMax: 1,
      clientId: 'test',
      software: 'test/1',
    });
  }

  request<N extends MessageName>(name: N, request: RequestOf<N>): Promise<ResponseOf<N>> {
    return this.send(name, request).done;
  }

  send<N extends MessageName>(name: N, request: RequestOf<N>): { correlationId: number; done: Promise<ResponseOf<N>> } {
    const correlationId = this.#nextCorrelationId++;
    const done = this.answerTo(correlationId).then((body) => decodeResponse(name, body));
    done.catch(() => {});
    this.webSocket.send(encodeRequest(name, correlationId, request));
    return { correlationId, done };
  }

  answerTo(correlationId: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(correlationId, { resolve, reject }));
  }

  /** Resolves when the condition holds after something arrived. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.add(resolve));
  }

  #onMessage(data: Buffer): void {
    const frame = decodeServerFrame(data);
    this.frames.push(frame);
    if (frame.kind === 'response') {
      const waiting = this.#waiting.get(frame.correlationId);
      this.#waiting.delete(frame.correlationId);
      if (frame.error !== undefined) waiting?.reject(frame.error);
      else waiting?.resolve(frame.body);
    }
    this.#look();
  }

  #look(): void {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const watcher of watchers) watcher();
  }
}

/** A TCP socket and what came back on it. */
export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  received: Buffer = Buffer.alloc(0);
  isClosed: boolean = false;

  constructor(port: number, options: { readonly allowHalfOpen?: boolean } = {}) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true, ...options });
    this.socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.socket.on('close', () => {
        this.isClosed = true;
        resolve();
      });
    });
    onTestFinished(() => void this.socket.destroy());
  }

  get text(): string {
    return this.received.toString('latin1');
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Upgraded to a WebSocket, with no hello yet. */
  static async upgraded(port: number): Promise<RawClient> {
    const client = new RawClient(port);
    client.write(upgradeRequest(port));
    await eventually(() => client.text.includes('\r\n\r\n'));
    if (!client.text.startsWith('HTTP/1.1 101')) throw new Error(client.text);
    client.received = Buffer.alloc(0);
    return client;
  }

  /** Upgraded and greeted. */
  static async greeted(port: number): Promise<RawClient> {
    const client = await RawClient.upgraded(port);
    client.write(webSocketFrame(HELLO));
    await eventually(() => client.received.length > 20);
    client.received = Buffer.alloc(0);
    return client;
  }

  /** Code and reason of the close frame that came last. */
  get closeFrame(): Closed | undefined {
    for (let at = 0; at + 2 <= this.received.length; ) {
      const opcode = this.received[at]! & 0x0f;
      let length = this.received[at + 1]!;
      let head = 2;
      if (length === 126) {
        length = this.received.readUInt16BE(at + 2);
        head = 4;
      } else if (length === 127) {
        length = Number(this.received.readBigUInt64BE(at + 2));
        head = 10;
      }
      const payload = this.received.subarray(at + head, at + head + length);
      if (opcode === 8) {
        return { code: payload.length < 2 ? 1005 : payload.readUInt16BE(0), reason: payload.toString('utf8', 2) };
      }
      at += head + length;
    }
    return undefined;
  }
}

export const HELLO = encodeRequest('hello', 0, {
  protocolVersionMin: 1,
  protocolVersionMax: 1,
  clientId: 'raw',
  software: 'raw/1',
});

export function upgradeRequest(port: number, headers: Readonly<Record<string, string | undefined>> = {}): string {
  const all: Record<string, string | undefined> = {
    host: `127.0.0.1:${port}`,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-protocol': SUBPROTOCOL,
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]));
  return `GET / HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

export interface FrameOptions {
  readonly opcode?: number;
  readonly fin?: boolean;
  readonly mask?: readonly [number, number, number, number] | undefined;
  /** What the head claims, if it is not the truth. */
  readonly claimedBytes?: number;
}

/** One frame as RFC 6455 section 5.2 draws it. */
export function webSocketFrame(payload: Uint8Array, options: FrameOptions = {}): Buffer {
  const { opcode = 2, fin = true, claimedBytes = payload.length } = options;
  const mask = 'mask' in options ? options.mask : ([1, 2, 3, 4] as const);
  const head = Buffer.alloc(10);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = mask === undefined ? 0 : 0x80;
  let headBytes = 2;
  if (claimedBytes < 126) head[1] |= claimedBytes;
  else if (claimedBytes <= 0xffff) {
    head[1] |= 126;
    head.writeUInt16BE(claimedBytes, 2);
    headBytes = 4;
  } else {
    head[1] |= 127;
    head.writeBigUInt64BE(BigInt(claimedBytes), 2);
    headBytes = 10;
  }
  const masked = Buffer.from(payload);
  if (mask !== undefined) for (let i = 0; i < masked.length; i++) masked[i]! ^= mask[i % 4]!;
  return Buffer.concat([head.subarray(0, headBytes), Buffer.from(mask ?? []), masked]);
}

/** Waits, for at most ten seconds. */
export async function eventually(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`never came true: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

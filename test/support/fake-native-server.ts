/** A server of the native protocol on a real socket that does what a test says. It knows frames, not what requests mean. */
import { onTestFinished } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import {
  decodeRequest,
  decodeRequestFrame,
  encodeErrorResponse,
  encodeGoingAway,
  encodeRecordsPushParts,
  encodeResponse,
} from '../../src/protocol/frame.ts';
import {
  type MessageName,
  messageName,
  type RecordsPush,
  type RequestOf,
  type ResponseOf,
} from '../../src/protocol/messages.ts';
import { SUBPROTOCOL } from '../../src/protocol/version.ts';

export interface FakeNativeServerOptions {
  port?: number;
  nodeId?: number;
  frameBytesMax?: number;
  inFlightRequestsMax?: number;
  loginNeeded?: boolean;
}

/** A request that came in. */
export class FakeNativeRequest {
  readonly name: MessageName;
  readonly correlationId: number;
  readonly #body: unknown;
  readonly #socket: WebSocket;

  constructor(name: MessageName, correlationId: number, body: unknown, socket: WebSocket) {
    this.name = name;
    this.correlationId = correlationId;
    this.#body = body;
    this.#socket = socket;
  }

  /** Its content, which must be a request of this name. */
  as<N extends MessageName>(name: N): RequestOf<N> {
    return decodeRequest(name, this.#body);
  }

  answer<N extends MessageName>(name: N, response: ResponseOf<N>): void {
    this.#socket.send(encodeResponse(name, this.correlationId, response));
  }

  /** Records of the stream that this request opened or changed. */
  push(streamId: number, push: RecordsPush): void {
    this.#socket.send(Buffer.concat(encodeRecordsPushParts(streamId, push)));
  }

  fail(code: ErrorName, message: string): void {
    this.#socket.send(encodeErrorResponse(this.correlationId, new BurrowError(code, message)));
  }
}

export class FakeNativeServer {
  /** All but hello, in the order of their coming. */
  readonly requests: FakeNativeRequest[] = [];
  helloCount = 0;
  onRequest: (request: FakeNativeRequest) => void = () => {};
  onHello: (request: FakeNativeRequest) => void;
  readonly port: number;
  readonly #server: WebSocketServer;

  private constructor(server: WebSocketServer, options: FakeNativeServerOptions) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    this.onHello = (request) =>
      request.answer('hello', {
        protocolVersion: 1,
        software: 'fake',
        nodeId: options.nodeId ?? 1,
        clusterId: 'fake-cluster',
        limits: {
          frameBytesMax: options.frameBytesMax ?? 17 * 1024 * 1024,
          inFlightRequestsMax: options.inFlightRequestsMax ?? 100,
          inFlightBytesMax: 64 * 1024 * 1024,
          idleTimeoutMs: 60_000,
          batchBytesMax: 1024 * 1024,
        },
        loginNeeded: options.loginNeeded ?? false,
      });
    server.on('connection', (socket) => {
      socket.on('message', (data: Buffer) => this.#onMessage(socket, data));
      socket.on('error', () => {});
    });
  }

  static async start(options: FakeNativeServerOptions = {}): Promise<FakeNativeServer> {
    const server = new WebSocketServer({
      port: options.port ?? 0,
      host: '127.0.0.1',
      perMessageDeflate: false,
      handleProtocols: (protocols) => (protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    await new Promise<void>((resolve, reject) => {
      server.once('listening', resolve);
      server.once('error', reject);
    });
    const fake = new FakeNativeServer(server, options);
    onTestFinished(() => fake.close());
    return fake;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/`;
  }

  get connectionCount(): number {
    return this.#server.clients.size;
  }

  dropConnections(): void {
    for (const socket of this.#server.clients) socket.terminate();
  }

  sayGoingAway(): void {
    for (const socket of this.#server.clients) socket.send(encodeGoingAway());
  }

  sendRaw(bytes: Uint8Array): void {
    for (const socket of this.#server.clients) socket.send(bytes);
  }

  async close(): Promise<void> {
    this.dropConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #onMessage(socket: WebSocket, data: Buffer): void {
    const { api, correlationId, body } = decodeRequestFrame(data);
    const request = new FakeNativeRequest(messageName(api)!, correlationId, body, socket);
    if (request.name === 'hello') {
      this.helloCount += 1;
      this.onHello(request);
      return;
    }
    this.requests.push(request);
    this.onRequest(request);
  }
}

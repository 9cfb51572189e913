/** A Kafka client of a few lines for tests: sends requests or plain bytes, and reads responses in the order they come. */
import { connect, type Socket } from 'node:net';
import { compileMessage } from '../../broker/listeners/kafka/codec.ts';
import { MessageReader } from '../../broker/listeners/kafka/message-reader.ts';
import { MessageWriter } from '../../broker/listeners/kafka/message-writer.ts';
import type { Decoded, Encodable, Fields, MessageTable } from '../../broker/listeners/kafka/schema/field.ts';
import { requestHeader, responseHeader } from '../../broker/listeners/kafka/schema/headers.ts';

const API_VERSIONS_KEY = 18;

/** A request frame, with its length field, as one buffer. */
export function requestFrame<F extends Fields>(
  apiKey: number,
  version: number,
  table: MessageTable<F>,
  message: Encodable<F>,
  options: { correlationId?: number; clientId?: string | null } = {},
): Buffer {
  const writer = new MessageWriter();
  writer.reserve(4);
  const { correlationId = 1, clientId = 'test' } = options;
  const headerVersion = version >= table.flexibleSince ? 2 : 1;
  compileMessage(requestHeader).encode(writer, headerVersion, { apiKey, apiVersion: version, correlationId, clientId });
  compileMessage(table).encode(writer, version, message);
  return Buffer.concat(writer.finishFrame());
}

export function decodeMessage<F extends Fields>(table: MessageTable<F>, version: number, bytes: Buffer, start = 0) {
  const reader = new MessageReader(bytes, start, 1_000_000);
  const message = compileMessage(table).decode(reader, version);
  if (!reader.ok || reader.remaining > 0) throw new Error(`${table.name} ${version} does not decode`);
  return message;
}

export interface ApiTables<Q extends Fields, R extends Fields> {
  readonly key: number;
  readonly request: MessageTable<Q>;
  readonly response: MessageTable<R>;
}

export class KafkaTestClient {
  readonly socket: Socket;
  /** Resolves when the connection is closed, by whichever side. */
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);
  readonly #frames: Buffer[] = [];
  readonly #waiting: Array<(frame: Buffer | undefined) => void> = [];
  #ended = false;
  #correlationId = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended = true;
        for (const wake of this.#waiting.splice(0)) wake(undefined);
        resolve();
      });
    });
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<KafkaTestClient> {
    const socket = connect({ port, host, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new KafkaTestClient(socket);
  }

  #onData(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0);
      if (this.#received.length < end) return;
      const frame = this.#received.subarray(4, end);
      this.#received = this.#received.subarray(end);
      const wake = this.#waiting.shift();
      if (wake === undefined) this.#frames.push(frame);
      else wake(frame);
    }
  }

  /** The next response frame without its length field, or undefined when the connection has been closed. */
  next(): Promise<Buffer | undefined> {
    const frame = this.#frames.shift();
    if (frame !== undefined || this.#ended) return Promise.resolve(frame);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Frames that have arrived and were not asked for. */
  get unread(): number {
    return this.#frames.length;
  }

  async call<Q extends Fields, R extends Fields>(
    api: ApiTables<Q, R>,
    version: number,
    message: Encodable<Q>,
  ): Promise<Decoded<R>> {
    const correlationId = this.send(api, version, message);
    const frame = await this.next();
    if (frame === undefined) throw new Error('The connection was closed instead of an answer');
    return decodeResponse(api, version, frame, correlationId);
  }

  /** Sends without waiting and returns the correlation id. */
  send<Q extends Fields, R extends Fields>(api: ApiTables<Q, R>, version: number, message: Encodable<Q>): number {
    const correlationId = ++this.#correlationId;
    this.socket.write(requestFrame(api.key, version, api.request, message, { correlationId }));
    return correlationId;
  }

  close(): void {
    this.socket.destroy();
  }
}

export function decodeResponse<Q extends Fields, R extends Fields>(
  api: ApiTables<Q, R>,
  version: number,
  frame: Buffer,
  expectedCorrelationId?: number,
): Decoded<R> {
  const flexible = version >= api.response.flexibleSince && api.key !== API_VERSIONS_KEY;
  const reader = new MessageReader(frame, 0, 10);
  const { correlationId } = compileMessage(responseHeader).decode(reader, flexible ? 1 : 0);
  if (expectedCorrelationId !== undefined && correlationId !== expectedCorrelationId) {
    throw new Error(`Answer ${correlationId} came where ${expectedCorrelationId} was due`);
  }
  return decodeMessage(api.response, version, frame, reader.position);
}

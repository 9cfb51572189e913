/**
 * A process that holds AMQP connections open, as told by its parent: `open`, `check`. Nothing but sockets and bytes, so that many fit.
 * Keeps heartbeats both ways: sends one every half interval, and takes a broker that sent nothing for two intervals for dead.
 */
import net from 'node:net';
import { encodeMethod } from '../../broker/listeners/amqp/method-codec.ts';
import type { MethodArguments, MethodName } from '../../broker/listeners/amqp/methods.ts';
import { ByteWriter } from '../../src/bytes/writer.ts';

export type HolderCommand =
  | { readonly kind: 'open'; readonly port: number; readonly connections: number; readonly heartbeatSeconds: number }
  /** Use every connection once: open a channel on it. */
  | { readonly kind: 'check' };

export type HolderReport =
  | { readonly kind: 'opened' }
  | {
      readonly kind: 'checked';
      /** Connections on which a channel could be opened. */
      readonly alive: number;
      readonly heartbeatsSent: number;
      readonly heartbeatsReceived: number;
      /** Why connections ended, the first few. */
      readonly lost: readonly string[];
    };

const HEADER = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1');
const HEARTBEAT = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]);
const FRAME_OVERHEAD_BYTES = 8;
const METHOD_FRAME = 1;
const HEARTBEAT_FRAME = 8;
const CHANNEL_CLASS = 20;
const OPEN_OK = 11;
/** Handshakes at a time: a listen queue has 511 places. */
const OPENING_MAX = 100;
/** In which the sockets are visited, so that their heartbeats spread. */
const SLOTS = 50;
const NOT_USED_YET = 'no answer on a channel';
const LOST_SHOWN = 10;

function methodFrame<N extends MethodName>(channel: number, name: N, args: MethodArguments<N>): Buffer {
  const writer = new ByteWriter();
  encodeMethod(writer, name, args);
  const payload = writer.finish();
  const frame = Buffer.alloc(payload.length + FRAME_OVERHEAD_BYTES);
  frame[0] = METHOD_FRAME;
  frame.writeUInt16BE(channel, 1);
  frame.writeUInt32BE(payload.length, 3);
  frame.set(payload, 7);
  frame[frame.length - 1] = 0xce;
  return frame;
}

class HeldConnection {
  readonly #socket: net.Socket;
  readonly #heartbeatMs: number;
  readonly #onOpen: () => void;
  /** What has arrived and is not a whole frame yet. */
  #rest: Buffer = Buffer.alloc(0);
  #heardMs = performance.now();
  #sentMs = performance.now();
  received = 0;
  sent = 0;
  /** Undefined while all is well. */
  lost: string | undefined;
  isUsed = false;
  onUsed: () => void = () => {};

  constructor(port: number, heartbeatSeconds: number, onOpen: () => void) {
    this.#heartbeatMs = heartbeatSeconds * 1000;
    this.#onOpen = onOpen;
    this.#socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#socket.on('error', (error) => this.#end(error.message));
    this.#socket.on('close', () => this.#end('closed by the broker'));
    const capabilities = new Map([['authentication_failure_close', true]]);
    this.#send(HEADER);
    // Pipelined: what stands in the answers is known.
    this.#send(
      methodFrame(0, 'connection.start-ok', {
        clientProperties: new Map<string, string | Map<string, boolean>>([
          ['product', 'holder'],
          ['capabilities', capabilities],
        ]),
        mechanism: 'PLAIN',
        response: Buffer.from('\0guest\0guest'),
        locale: 'en_US',
      }),
    );
    this.#send(methodFrame(0, 'connection.tune-ok', { channelMax: 0, frameMax: 0, heartbeat: heartbeatSeconds }));
    this.#send(methodFrame(0, 'connection.open', { virtualHost: '/' }));
  }

  visit(nowMs: number): void {
    if (this.lost !== undefined) return;
    if (nowMs - this.#heardMs > this.#heartbeatMs * 2) this.#end('the broker sent no heartbeats');
    else if (nowMs - this.#sentMs >= this.#heartbeatMs / 2) {
      this.sent++;
      this.#send(HEARTBEAT);
    }
  }

  use(): void {
    this.#send(methodFrame(1, 'channel.open', {}));
  }

  #send(bytes: Buffer): void {
    this.#sentMs = performance.now();
    this.#socket.write(bytes);
  }

  #onData(chunk: Buffer): void {
    this.#heardMs = performance.now();
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= FRAME_OVERHEAD_BYTES) {
      const end = bytes.readUInt32BE(3) + FRAME_OVERHEAD_BYTES;
      if (bytes.length < end) break;
      this.#onFrame(bytes);
      bytes = bytes.subarray(end);
    }
    this.#rest = Buffer.from(bytes);
  }

  #onFrame(frame: Buffer): void {
    if (frame[0] === HEARTBEAT_FRAME) this.received++;
    if (frame[0] !== METHOD_FRAME) return;
    const [classId, methodId] = [frame.readUInt16BE(7), frame.readUInt16BE(9)];
    // connection.open-ok
    if (classId === 10 && methodId === 41) this.#onOpen();
    else if (classId === CHANNEL_CLASS && methodId === OPEN_OK) {
      this.isUsed = true;
      this.onUsed();
    } else if (classId === 10 && methodId === 50) this.#end(frame.toString('latin1', 13, frame.length - 5));
  }

  #end(reason: string): void {
    if (this.lost !== undefined) return;
    this.lost = reason;
    this.#onOpen();
    this.onUsed();
  }
}

const held: HeldConnection[] = [];

function tell(report: HolderReport): void {
  process.send!(report);
}

async function open({ port, connections, heartbeatSeconds }: Extract<HolderCommand, { kind: 'open' }>): Promise<void> {
  let next = 0;
  const openInTurn = async (): Promise<void> => {
    while (next < connections) {
      next++;
      await new Promise<void>((resolve) => held.push(new HeldConnection(port, heartbeatSeconds, resolve)));
    }
  };
  let slot = 0;
  setInterval(
    () => {
      const nowMs = performance.now();
      for (let index = slot; index < held.length; index += SLOTS) held[index]!.visit(nowMs);
      slot = (slot + 1) % SLOTS;
    },
    (heartbeatSeconds * 1000) / 2 / SLOTS,
  );
  await Promise.all(Array.from({ length: OPENING_MAX }, openInTurn));
  tell({ kind: 'opened' });
}

async function check(): Promise<void> {
  const used = held.map(
    (connection) =>
      new Promise<void>((resolve) => {
        connection.onUsed = resolve;
        if (connection.lost === undefined) connection.use();
        else resolve();
      }),
  );
  await Promise.all(used);
  const lost = held.filter(({ isUsed }) => !isUsed).map((connection) => connection.lost ?? NOT_USED_YET);
  tell({
    kind: 'checked',
    alive: held.length - lost.length,
    heartbeatsSent: held.reduce((sum, { sent }) => sum + sent, 0),
    heartbeatsReceived: held.reduce((sum, { received }) => sum + received, 0),
    lost: lost.slice(0, LOST_SHOWN),
  });
}

process.on('message', (command: HolderCommand) => {
  const done = command.kind === 'open' ? open(command) : check();
  done.catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit());

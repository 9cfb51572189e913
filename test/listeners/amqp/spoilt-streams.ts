/**
 * Streams of frames as clients send them, some spoilt, run through a connection on an imitated socket. What must hold whatever comes:
 * nothing is thrown, nothing fails unexpectedly, what is sent are frames that a client can read, what is kept is bounded by what came,
 * and everything that was opened behind the protocol is closed once.
 */
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { AmqpConnection } from '../../../broker/listeners/amqp/connection.ts';
import { FrameCutter, METHOD_FRAME } from '../../../broker/listeners/amqp/frame-cutter.ts';
import { handlersByMethod } from '../../../broker/listeners/amqp/handlers.ts';
import { DEFAULT_AMQP_LIMITS } from '../../../broker/listeners/amqp/limits.ts';
import { decodeMethod } from '../../../broker/listeners/amqp/method-codec.ts';
import { METHODS, type Method, type MethodName } from '../../../broker/listeners/amqp/methods.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { encodeProperties } from '../../../src/messages/message-properties.ts';
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts';
import { FakeBackend, type FakeChannel, guestAuthenticator } from './fake-backend.ts';
import {
  bodyFrame,
  headerFrame,
  heartbeatFrame,
  methodFrame,
  PROTOCOL_HEADER,
  publishArguments,
} from './raw-client.ts';

const LIMITS = { ...DEFAULT_AMQP_LIMITS, messageBytesMax: 5_000, channelsMax: 4, waitingMethodsMax: 5 };

/** Takes everything at once, and can be paused. */
class ImitatedSocket extends Writable {
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 1;
  readonly sent: Buffer[] = [];
  isPaused = false;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.sent.push(chunk);
    done();
  }
  setNoDelay(): void {}
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
}

export interface SpoiltStreamFacts {
  readonly frames: number;
  /** Messages that got through. */
  readonly messages: number;
  /** Channels and connections that were closed for an error. */
  readonly channelErrors: number;
  readonly connectionErrors: number;
}

/** Runs the stream of one seed. Throws what does not hold. */
export async function runSpoiltStream(seed: number): Promise<SpoiltStreamFacts> {
  const random = new SeededRandom(seed);
  const frames = drawFrames(random);
  const backend = new FakeBackend();
  const lines: LogLine[] = [];
  const socket = new ImitatedSocket();
  const logger = recordingLogger(lines);
  let waits: Array<() => void> = [];
  const waitsSometimes = random.chance(0.3);
  backend.intercept = () =>
    waitsSometimes && random.chance(0.2) ? new Promise<void>((resolve) => waits.push(resolve)) : undefined;
  const connection = new AmqpConnection(socket as unknown as Socket, {
    clock: new ManualClock(),
    logger,
    limits: LIMITS,
    settings: {
      serverProperties: new Map(),
      mechanisms: 'PLAIN',
      frameBytesMax: LIMITS.frameBytesMax,
      channelsMax: LIMITS.channelsMax,
      heartbeatSeconds: 60,
    },
    authenticator: guestAuthenticator,
    loginFrom: 'common-name',
    backend: backend as never,
    handlers: handlersByMethod<FakeChannel>(backend.handlers) as never,
    blockedReason: undefined,
    checkMemory() {},
  });

  const stream = Buffer.concat(frames);
  let given = 0;
  for (let turns = 0; given < stream.length && turns < 1000; turns++) {
    if (!socket.isPaused) {
      const chunk = Buffer.from(stream.subarray(given, given + random.between(1, 2000)));
      given += chunk.length;
      socket.emit('data', chunk);
    }
    const due = waits;
    waits = [];
    for (const resolve of due) resolve();
    await new Promise((resolve) => setImmediate(resolve));
    const bound = given + Buffer.concat(socket.sent).length + LIMITS.outgoingBytesMax;
    if (connection.bufferedBytes > bound) throw new Error(`${connection.bufferedBytes} bytes are kept of ${given}`);
  }
  connection.destroy();

  const unexpected = lines.find(({ level }) => level === 'error');
  if (unexpected !== undefined) throw unexpected.fields['err'];
  const count = (pattern: RegExp): number => backend.events.filter((event) => pattern.test(event)).length;
  if (count(/^open/) !== count(/^close/)) throw new Error(`not all channels were closed once: ${backend.events}`);
  if (count(/^session [^c]/) !== count(/^session closed/)) throw new Error('the session was not closed once');
  const { channelErrors, connectionErrors } = readSent(socket.sent);
  return { frames: frames.length, messages: backend.messages.length, channelErrors, connectionErrors };
}

/** Everything that a client gets must make sense to it. */
function readSent(sent: readonly Buffer[]): { channelErrors: number; connectionErrors: number } {
  const cutter = new FrameCutter(LIMITS.frameBytesMax);
  let channelErrors = 0;
  let connectionErrors = 0;
  for (const chunk of sent) if (!chunk.equals(PROTOCOL_HEADER)) cutter.push(chunk);
  while (cutter.next()) {
    if (cutter.type !== METHOD_FRAME) continue;
    const { name, args } = decodeMethod(cutter.payload);
    if (name === 'channel.close') channelErrors++;
    if (name !== 'connection.close') continue;
    connectionErrors++;
    if (args.replyCode === 541) throw new Error(args.replyText);
  }
  if (cutter.bytes > 0) throw new Error('half a frame was sent');
  return { channelErrors, connectionErrors };
}

/** A handshake, then methods, contents and heartbeats on a few channels; then some of it is spoilt. */
function drawFrames(random: SeededRandom): Buffer[] {
  const frames = [
    PROTOCOL_HEADER,
    methodFrame(0, 'connection.start-ok', {
      clientProperties: new Map([['capabilities', new Map([['connection.blocked', true]])]]),
      mechanism: 'PLAIN',
      response: Buffer.from('\0guest\0guest'),
      locale: 'en_US',
    }),
    methodFrame(0, 'connection.tune-ok', { channelMax: 0, frameMax: random.pick([0, 4096]), heartbeat: 0 }),
    methodFrame(0, 'connection.open', { virtualHost: '/' }),
    methodFrame(1, 'channel.open', {}),
    methodFrame(2, 'channel.open', {}),
  ];
  const handshake = frames.length;
  const count = random.between(5, 40);
  while (frames.length < handshake + count) frames.push(...drawCommand(random));
  // The handshake less often, or little else would be seen.
  const from = random.chance(0.2) ? 0 : handshake;
  const spoilings = random.pick([0, 1, 1, 2, 5]);
  for (let index = 0; index < spoilings; index++) spoil(random, frames, random.between(from, frames.length - 1));
  return frames;
}

const NAMES = Object.keys(METHODS) as MethodName[];

function drawCommand(random: SeededRandom): Buffer[] {
  const channel = random.between(1, 2);
  if (random.chance(0.5)) return drawContent(random, channel);
  if (random.chance(0.1)) return [heartbeatFrame];
  // Closing would end nearly every stream at once.
  const name = random.pick(
    NAMES.filter((each) => METHODS[each].sender !== 'server' && !each.startsWith('connection.')),
  );
  if (name === 'basic.publish' || (/close|open/.test(name) && random.chance(0.8))) return [];
  return [methodFrame(channel, name, drawArguments(random, name) as never)];
}

function drawContent(random: SeededRandom, channel: number): Buffer[] {
  const body = random.bytes(random.pick([0, 1, 100, 3000, 5001]));
  const properties = encodeProperties({ messageId: 'id', headers: new Map([['a', ['b', new Map([['c', 1]])]]]) });
  const frames = [
    methodFrame(channel, 'basic.publish', publishArguments),
    headerFrame(channel, body.length, properties),
  ];
  for (let at = 0; at < body.length; ) {
    const size = random.between(1, 2000);
    frames.push(bodyFrame(channel, body.subarray(at, at + size)));
    at += size;
  }
  return frames;
}

function drawArguments(random: SeededRandom, name: MethodName): Record<string, unknown> {
  const { args } = METHODS[name] as Method;
  const values = {
    octet: () => random.below(256),
    short: () => random.below(65_536),
    long: () => random.below(2 ** 32),
    longlong: () => random.below(2 ** 40),
    bit: () => random.chance(0.7),
    shortstr: () => random.pick(['', 'q', 'amq.direct', '__proto__']),
    longstr: () => random.bytes(random.below(20)),
    table: () => new Map([['__proto__', 1]]),
  };
  return Object.fromEntries(Object.entries(args).map(([key, { kind }]) => [key, values[kind]()]));
}

/** Changes one frame, or the order of frames. */
function spoil(random: SeededRandom, frames: Buffer[], at: number): void {
  const bytes = Buffer.from(frames[at]!);
  switch (random.below(6)) {
    case 0:
      if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
      frames[at] = bytes;
      break;
    case 1:
      // In the payload, so that the stream stays in step.
      if (bytes.length > 8) bytes[7 + random.below(bytes.length - 8)] = random.below(256);
      frames[at] = bytes;
      break;
    case 2:
      frames.splice(at, 1);
      break;
    case 3:
      frames.splice(at, 0, bytes);
      break;
    case 4:
      if (bytes.length > 2) bytes.writeUInt16BE(random.below(6), 1);
      frames[at] = bytes;
      break;
    default:
      frames[at] = bytes.subarray(0, random.below(bytes.length));
  }
}

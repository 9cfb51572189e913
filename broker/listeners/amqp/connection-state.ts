/**
 * What a connection is doing, from the protocol header to its end (AMQP 0-9-1 section 2.2.4): which method may come on channel 0, and
 * what follows from it. Pure: what is to be done goes to `effects`, what becomes of it comes back as an event. Channels other than 0 are
 * the business of `channel.ts`.
 */
import type { FieldTable } from '../../../src/messages/field-value.ts';
import { FRAME_BYTES_MAX_FLOOR } from './limits.ts';
import { METHODS, type MethodArguments, type MethodName } from './methods.ts';
import { AmqpException, REPLY_CODES, REPLY_SUCCESS, replyText } from './reply-codes.ts';

export type ConnectionPhase =
  /** Nothing has come; the protocol header must be next. */
  | 'header'
  /** start is sent, start-ok must come. */
  | 'starting'
  /** The login is being checked. Nothing may come. */
  | 'authenticating'
  /** tune is sent, tune-ok must come. */
  | 'tuning'
  /** open must come. */
  | 'opening'
  /** The handshake is over. */
  | 'open'
  /** close is sent; all that comes is dropped but close-ok. */
  | 'closing'
  | 'closed';

export interface ConnectionSettings {
  readonly serverProperties: FieldTable;
  /** Names, separated by spaces. */
  readonly mechanisms: string;
  readonly frameBytesMax: number;
  readonly channelsMax: number;
  readonly heartbeatSeconds: number;
}

export interface ConnectionEffects {
  /** Sends the header of the protocol that we speak. */
  sendProtocolHeader(): void;
  /** Sends a method on channel 0. */
  send<N extends MethodName>(name: N, args: MethodArguments<N>): void;
  /** Has the login checked; `onAuthenticated` follows. */
  authenticate(mechanism: string, response: Buffer): void;
  /** These hold from the next frame on. */
  becomeTuned(tuned: Tuned): void;
  /** Opens a session on a virtual host, or throws what is wrong with it. */
  openSession(virtualHost: string): void;
  /** Has the new secret checked; `onSecretUpdated` follows. */
  updateSecret(secret: Buffer): void;
  /** Ends all channels and the session. */
  endSession(): void;
  /** Closes the socket when everything is sent. */
  end(): void;
}

export interface Tuned {
  readonly frameBytesMax: number;
  readonly channelsMax: number;
  readonly heartbeatSeconds: number;
}

const PROTOCOL_HEADERS = [
  [0, 0, 9, 1],
  // The header of 0-9, which RabbitMQ treats as 0-9-1, too.
  [1, 1, 0, 9],
];
const LOCALE = 'en_US';
const NO_ARGUMENTS = {};

/** The phase in which a method may come; connection.close may in all. */
const PHASE_OF: ReadonlyMap<MethodName, ConnectionPhase> = new Map([
  ['connection.start-ok', 'starting'],
  ['connection.tune-ok', 'tuning'],
  ['connection.open', 'opening'],
  ['connection.update-secret', 'open'],
  ['connection.close-ok', 'closing'],
]);
/** Before the login. */
const UNTRUSTED: ReadonlySet<ConnectionPhase> = new Set(['header', 'starting', 'authenticating']);

export class ConnectionState {
  #phase: ConnectionPhase = 'header';
  readonly #settings: ConnectionSettings;
  readonly #effects: ConnectionEffects;
  #clientProperties: FieldTable = new Map();
  #capabilities: ReadonlySet<string> = new Set();
  #mechanism = '';
  #user = '';

  constructor(settings: ConnectionSettings, effects: ConnectionEffects) {
    this.#settings = settings;
    this.#effects = effects;
  }

  get phase(): ConnectionPhase {
    return this.#phase;
  }

  /** As the client told them in start-ok. */
  get clientProperties(): FieldTable {
    return this.#clientProperties;
  }

  /** Capabilities that the client announced. */
  get capabilities(): ReadonlySet<string> {
    return this.#capabilities;
  }

  /** Who logged in. */
  get user(): string {
    return this.#user;
  }

  /** The first eight bytes. Others than ours are answered with ours, and the connection ends (section 2.2.4). */
  onProtocolHeader(bytes: Buffer): void {
    const version = [...bytes.subarray(4)];
    const known = PROTOCOL_HEADERS.some((header) => header.every((byte, index) => byte === version[index]));
    if (bytes.toString('latin1', 0, 4) !== 'AMQP' || !known) {
      this.#effects.sendProtocolHeader();
      this.#becomeClosed();
      return;
    }
    this.#phase = 'starting';
    const { serverProperties, mechanisms } = this.#settings;
    this.#effects.send('connection.start', {
      versionMajor: 0,
      versionMinor: 9,
      serverProperties,
      mechanisms: Buffer.from(mechanisms),
      locales: Buffer.from(LOCALE),
    });
  }

  /** A method on channel 0. Throws what is wrong with it. */
  onMethod<N extends MethodName>(name: N, args: MethodArguments<N>): void;
  onMethod(name: MethodName, args: unknown): void {
    if (this.#phase === 'closed') return;
    if (name !== 'connection.close' && PHASE_OF.get(name) !== this.#phase) {
      if (this.#phase === 'closing') return;
      // RabbitMQ's code for it (rabbit_reader:handle_method0).
      const text = `unexpected method ${name} on channel 0 in connection state ${this.#phase}`;
      throw new AmqpException('CHANNEL_ERROR', text);
    }
    switch (name) {
      case 'connection.close':
        this.#onClose();
        break;
      case 'connection.close-ok':
        this.#becomeClosed();
        break;
      case 'connection.start-ok':
        this.#onStartOk(args as MethodArguments<typeof name>);
        break;
      case 'connection.tune-ok':
        this.#onTuneOk(args as MethodArguments<typeof name>);
        break;
      case 'connection.open':
        this.#onOpen(args as MethodArguments<typeof name>);
        break;
      default:
        this.#effects.updateSecret((args as MethodArguments<'connection.update-secret'>).newSecret);
    }
  }

  #onStartOk({ clientProperties, mechanism, response }: MethodArguments<'connection.start-ok'>): void {
    this.#clientProperties = clientProperties;
    this.#capabilities = announcedCapabilities(clientProperties);
    this.#mechanism = mechanism;
    this.#phase = 'authenticating';
    this.#effects.authenticate(mechanism, response);
  }

  /** The login was checked: a user, or undefined if it is refused. */
  onAuthenticated(user: string | undefined): void {
    if (this.#phase !== 'authenticating') return;
    if (user === undefined) {
      const text = `Login was refused using authentication mechanism ${printable(this.#mechanism)}. For details see the broker logfile.`;
      // Clients that do not announce it take a lost connection for a refused login, as 0-9-1 has it.
      if (this.#capabilities.has('authentication_failure_close')) {
        this.#sendClose(new AmqpException('ACCESS_REFUSED', text, 'connection'), undefined);
      } else this.#becomeClosed();
      return;
    }
    this.#user = user;
    this.#phase = 'tuning';
    const { channelsMax, frameBytesMax, heartbeatSeconds } = this.#settings;
    this.#effects.send('connection.tune', {
      channelMax: channelsMax,
      frameMax: frameBytesMax,
      heartbeat: heartbeatSeconds,
    });
  }

  /**
   * Zero means no limit, which is ours then: RabbitMQ refuses it, but clients that do not know better send it. What a client asks beyond
   * what was offered is refused as there.
   */
  #onTuneOk({ channelMax, frameMax, heartbeat }: MethodArguments<'connection.tune-ok'>): void {
    const { channelsMax, frameBytesMax } = this.#settings;
    if (frameMax !== 0) checkNegotiated('frame_max', frameMax, FRAME_BYTES_MAX_FLOOR, frameBytesMax);
    if (channelMax !== 0) checkNegotiated('channel_max', channelMax, 1, channelsMax);
    this.#phase = 'opening';
    this.#effects.becomeTuned({
      frameBytesMax: frameMax === 0 ? frameBytesMax : frameMax,
      channelsMax: channelMax === 0 ? channelsMax : channelMax,
      heartbeatSeconds: heartbeat,
    });
  }

  #onOpen({ virtualHost }: MethodArguments<'connection.open'>): void {
    this.#effects.openSession(virtualHost);
    this.#phase = 'open';
    this.#effects.send('connection.open-ok', NO_ARGUMENTS);
  }

  /** The new secret was checked. */
  onSecretUpdated(isRight: boolean): void {
    if (this.#phase !== 'open') return;
    if (isRight) this.#effects.send('connection.update-secret-ok', NO_ARGUMENTS);
    else this.fail(new AmqpException('NOT_ALLOWED', 'the new secret was refused'), 'connection.update-secret');
  }

  /** The client closes. Also where both close at the same time. */
  #onClose(): void {
    if (this.#phase !== 'closing') this.#effects.endSession();
    this.#effects.send('connection.close-ok', NO_ARGUMENTS);
    this.#becomeClosed();
  }

  /**
   * The connection is to be closed because of an error. Who has not logged in is told nothing.
   *
   * @param method - What the client had asked for, if it was that.
   */
  fail(exception: AmqpException, method: MethodName | undefined): void {
    if (this.#phase === 'closing' || this.#phase === 'closed') return;
    if (UNTRUSTED.has(this.#phase)) this.#becomeClosed();
    else this.#sendClose(exception, method);
  }

  #sendClose(exception: AmqpException, method: MethodName | undefined): void {
    this.#phase = 'closing';
    this.#effects.endSession();
    this.#effects.send('connection.close', closeArguments(exception, method));
  }

  #becomeClosed(): void {
    this.#phase = 'closed';
    this.#effects.end();
  }
}

/** The arguments of connection.close and channel.close. */
export function closeArguments(
  exception: AmqpException | undefined,
  method: MethodName | undefined,
): MethodArguments<'connection.close'> {
  const { classId, methodId } = method === undefined ? { classId: 0, methodId: 0 } : METHODS[method];
  if (exception === undefined) return { replyCode: REPLY_SUCCESS, replyText: 'Goodbye', classId, methodId };
  return { replyCode: REPLY_CODES[exception.reply], replyText: replyText(exception), classId, methodId };
}

function checkNegotiated(name: string, value: number, min: number, max: number): void {
  if (value >= min && value <= max) return;
  const bound =
    value < min ? `lower than the minimum allowed value: ${min}` : `higher than the maximum allowed value: ${max}`;
  const text = `failed to negotiate connection parameter '${name}' (negotiated value ${value} is ${bound})`;
  throw new AmqpException('NOT_ALLOWED', text);
}

/** Where a client says `capabilities: { name: true }`. */
function announcedCapabilities(clientProperties: FieldTable): ReadonlySet<string> {
  const capabilities = clientProperties.get('capabilities');
  if (!(capabilities instanceof Map)) return new Set();
  const table: FieldTable = capabilities;
  return new Set([...table].filter(([, value]) => value === true).map(([name]) => name));
}

/** A name that a client gave, short enough for a reply text. */
function printable(name: string): string {
  return name.length > 32 ? `${name.slice(0, 32)}…` : name;
}

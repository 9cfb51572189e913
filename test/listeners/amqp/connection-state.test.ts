/** The connection's states by scripts: what came, and everything that followed from it. */
import { describe, expect, test } from 'vitest';
import {
  type ConnectionEffects,
  type ConnectionSettings,
  ConnectionState,
} from '../../../broker/listeners/amqp/connection-state.ts';
import type { MethodArguments, MethodName } from '../../../broker/listeners/amqp/methods.ts';
import { AmqpException } from '../../../broker/listeners/amqp/reply-codes.ts';
import type { FieldTable } from '../../../src/messages/field-value.ts';

const SETTINGS: ConnectionSettings = {
  serverProperties: new Map(),
  mechanisms: 'PLAIN AMQPLAIN',
  frameBytesMax: 131_072,
  channelsMax: 2047,
  heartbeatSeconds: 60,
};
const HEADER = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1');
const CLOSE = { replyCode: 200, replyText: 'bye', classId: 0, methodId: 0 };

class Script implements ConnectionEffects {
  readonly trace: string[] = [];
  readonly state = new ConnectionState(SETTINGS, this);

  /** What followed since the last call, and the phase. */
  get since(): string[] {
    return [...this.trace.splice(0), this.state.phase];
  }

  on<N extends MethodName>(name: N, args: MethodArguments<N>): string[] {
    try {
      this.state.onMethod(name, args);
    } catch (error) {
      const exception = error as AmqpException;
      this.trace.push(`threw ${exception.reply}`);
      this.state.fail(exception, name);
    }
    return this.since;
  }

  header(bytes: Buffer = HEADER): string[] {
    this.state.onProtocolHeader(bytes);
    return this.since;
  }

  startOk(capabilities: readonly string[] = []): string[] {
    const announced: FieldTable = new Map(capabilities.map((name) => [name, true]));
    return this.on('connection.start-ok', {
      clientProperties: new Map([['capabilities', announced]]),
      mechanism: 'PLAIN',
      response: Buffer.from('x'),
      locale: 'en_US',
    });
  }

  tuneOk(channelMax = 0, frameMax = 0, heartbeat = 0): string[] {
    return this.on('connection.tune-ok', { channelMax, frameMax, heartbeat });
  }

  authenticated(user: string | undefined): string[] {
    this.state.onAuthenticated(user);
    return this.since;
  }

  /** As far as `phase`. */
  static at(phase: 'starting' | 'authenticating' | 'tuning' | 'opening' | 'open'): Script {
    const script = new Script();
    const steps = [
      () => script.header(),
      () => script.startOk(['authentication_failure_close']),
      () => script.authenticated('guest'),
      () => script.tuneOk(),
      () => script.on('connection.open', { virtualHost: '/' }),
    ];
    while (script.state.phase !== phase) steps.shift()!();
    return script;
  }

  sendProtocolHeader(): void {
    this.trace.push('sends the protocol header');
  }
  send<N extends MethodName>(name: N, args: MethodArguments<N>): void {
    const close = args as Partial<MethodArguments<'connection.close'>>;
    const code =
      close.replyCode === undefined
        ? ''
        : ` ${close.replyCode} (${close.classId}, ${close.methodId}) ${close.replyText}`;
    this.trace.push(`sends ${name}${code}`);
  }
  authenticate(mechanism: string, response: Buffer): void {
    this.trace.push(`authenticates ${mechanism} ${response}`);
  }
  becomeTuned(tuned: object): void {
    this.trace.push(`tuned ${Object.values(tuned).join(' ')}`);
  }
  openSession(virtualHost: string): void {
    if (virtualHost !== '/') throw new AmqpException('NOT_ALLOWED', `vhost ${virtualHost} not found`);
    this.trace.push(`opens ${virtualHost}`);
  }
  updateSecret(secret: Buffer): void {
    this.trace.push(`secret ${secret}`);
  }
  endSession(): void {
    this.trace.push('ends the session');
  }
  end(): void {
    this.trace.push('ends');
  }
}

test('a handshake', () => {
  const script = new Script();
  expect(script.header()).toEqual(['sends connection.start', 'starting']);
  expect(script.startOk(['basic.nack', 'connection.blocked'])).toEqual(['authenticates PLAIN x', 'authenticating']);
  expect([...script.state.capabilities]).toEqual(['basic.nack', 'connection.blocked']);
  expect(script.authenticated('guest')).toEqual(['sends connection.tune', 'tuning']);
  expect(script.state.user).toBe('guest');
  expect(script.tuneOk(100, 8192, 30)).toEqual(['tuned 8192 100 30', 'opening']);
  expect(script.on('connection.open', { virtualHost: '/' })).toEqual(['opens /', 'sends connection.open-ok', 'open']);
  expect(script.on('connection.close', CLOSE)).toEqual([
    'ends the session',
    'sends connection.close-ok',
    'ends',
    'closed',
  ]);
});

describe('the protocol header', () => {
  test.each([
    ['AMQP 1.0', 'AMQP\x00\x01\x00\x00'],
    ['AMQP 0-8', 'AMQP\x01\x01\x08\x00'],
    ['HTTP', 'GET / HT'],
    ['another version', 'AMQP\x00\x00\x09\x02'],
  ])('of %s is answered with ours, and the end', (_name, text) => {
    expect(new Script().header(Buffer.from(text, 'latin1'))).toEqual(['sends the protocol header', 'ends', 'closed']);
  });

  test('of 0-9 is taken for 0-9-1', () => {
    const header = Buffer.from('AMQP\x01\x01\x00\x09', 'latin1');
    expect(new Script().header(header)).toEqual(['sends connection.start', 'starting']);
  });
});

describe('a refused login', () => {
  test('is said to who announced that it understands', () => {
    expect(Script.at('authenticating').authenticated(undefined)).toEqual([
      'ends the session',
      'sends connection.close 403 (0, 0) ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.',
      'closing',
    ]);
  });

  test('is only an end to others', () => {
    const script = Script.at('starting');
    script.startOk();
    expect(script.authenticated(undefined)).toEqual(['ends', 'closed']);
  });

  test('that is decided late changes nothing any more', () => {
    const script = Script.at('authenticating');
    script.on('connection.close', CLOSE);
    expect(script.authenticated('guest')).toEqual(['closed']);
  });
});

describe('tune-ok', () => {
  test.each([
    [[0, 0, 0], 'tuned 131072 2047 0'],
    [[2047, 131_072, 60], 'tuned 131072 2047 60'],
    [[1, 4096, 1], 'tuned 4096 1 1'],
    // The client's word counts for heartbeats, also if it is more than we suggested.
    [[1, 4096, 600], 'tuned 4096 1 600'],
  ])('of %j gives %s', (args, tuned) => {
    expect(Script.at('tuning').tuneOk(...(args as [number, number, number]))).toEqual([tuned, 'opening']);
  });

  test.each([
    [[0, 4095, 0], "'frame_max' (negotiated value 4095 is lower than the minimum allowed value: 4096)"],
    [[0, 131_073, 0], "'frame_max' (negotiated value 131073 is higher than the maximum allowed value: 131072)"],
    [[2048, 0, 0], "'channel_max' (negotiated value 2048 is higher than the maximum allowed value: 2047)"],
  ])('of %j is not allowed', (args, text) => {
    expect(Script.at('tuning').tuneOk(...(args as [number, number, number]))).toEqual([
      'threw NOT_ALLOWED',
      'ends the session',
      `sends connection.close 530 (10, 31) NOT_ALLOWED - failed to negotiate connection parameter ${text}`,
      'closing',
    ]);
  });
});

test('an unknown virtual host is not allowed', () => {
  expect(Script.at('opening').on('connection.open', { virtualHost: 'none' })).toEqual([
    'threw NOT_ALLOWED',
    'ends the session',
    'sends connection.close 530 (10, 40) NOT_ALLOWED - vhost none not found',
    'closing',
  ]);
});

describe('a method that is not due', () => {
  const open = { virtualHost: '/' };

  test.each(['starting', 'authenticating'] as const)('ends the connection silently while %s', (phase) => {
    expect(Script.at(phase).on('connection.open', open)).toEqual(['threw CHANNEL_ERROR', 'ends', 'closed']);
  });

  test.each(['tuning', 'open'] as const)('closes the connection with 504 while %s', (phase) => {
    expect(Script.at(phase).on('connection.open', open)).toEqual([
      'threw CHANNEL_ERROR',
      'ends the session',
      `sends connection.close 504 (10, 40) CHANNEL_ERROR - unexpected method connection.open on channel 0 in connection state ${phase}`,
      'closing',
    ]);
  });

  test('of another class is not for channel 0', () => {
    expect(Script.at('open').on('channel.open', {})[0]).toBe('threw CHANNEL_ERROR');
  });

  test('such as close-ok is unexpected, too, where nobody closes', () => {
    expect(Script.at('open').on('connection.close-ok', {})[0]).toBe('threw CHANNEL_ERROR');
  });
});

describe('closing', () => {
  function closing(): Script {
    const script = Script.at('open');
    script.state.fail(new AmqpException('FRAME_ERROR', 'x'), undefined);
    expect(script.since).toEqual(['ends the session', 'sends connection.close 501 (0, 0) FRAME_ERROR - x', 'closing']);
    return script;
  }

  test('drops everything until close-ok', () => {
    const script = closing();
    expect(script.on('connection.open', { virtualHost: '/' })).toEqual(['closing']);
    expect(script.on('channel.open', {})).toEqual(['closing']);
    expect(script.on('connection.close-ok', {})).toEqual(['ends', 'closed']);
    expect(script.on('connection.close-ok', {})).toEqual(['closed']);
  });

  test('at the same time as the client is answered, and is the end', () => {
    expect(closing().on('connection.close', CLOSE)).toEqual(['sends connection.close-ok', 'ends', 'closed']);
  });

  test('happens once', () => {
    const script = closing();
    script.state.fail(new AmqpException('INTERNAL_ERROR', 'y'), undefined);
    expect(script.since).toEqual(['closing']);
  });

  test('is allowed during the handshake', () => {
    expect(Script.at('tuning').on('connection.close', CLOSE)).toEqual([
      'ends the session',
      'sends connection.close-ok',
      'ends',
      'closed',
    ]);
  });
});

describe('update-secret', () => {
  const args = { newSecret: Buffer.from('new'), reason: 'expires' };

  test('is answered if the secret is right', () => {
    const script = Script.at('open');
    expect(script.on('connection.update-secret', args)).toEqual(['secret new', 'open']);
    script.state.onSecretUpdated(true);
    expect(script.since).toEqual(['sends connection.update-secret-ok', 'open']);
  });

  test('closes the connection if it is not', () => {
    const script = Script.at('open');
    script.on('connection.update-secret', args);
    script.state.onSecretUpdated(false);
    expect(script.since).toEqual([
      'ends the session',
      'sends connection.close 530 (10, 70) NOT_ALLOWED - the new secret was refused',
      'closing',
    ]);
  });
});

/** The listener with real sockets: handshake, channels, errors and their scope. */
import { describe, expect, test } from 'vitest';
import type { Authenticator } from '../../../broker/listeners/amqp/authentication.ts';
import { AmqpException } from '../../../broker/listeners/amqp/reply-codes.ts';
import type { Identity } from '../../../broker/security/access-control.ts';
import { encodeFieldTable } from '../../../src/messages/field-table.ts';
import type { FieldTable } from '../../../src/messages/field-value.ts';
import { encodeProperties } from '../../../src/messages/message-properties.ts';
import { guestAuthenticator } from './fake-backend.ts';
import { startBed } from './listener-bed.ts';
import {
  bodyFrame,
  frame,
  headerFrame,
  heartbeatFrame,
  methodFrame,
  PROTOCOL_HEADER,
  publishArguments,
  publishFrames,
} from './raw-client.ts';

const declare = {
  queue: 'q',
  passive: false,
  durable: true,
  exclusive: false,
  autoDelete: false,
  noWait: false,
  arguments: new Map(),
};
const consume = {
  queue: 'q',
  consumerTag: 'c',
  noLocal: false,
  noAck: true,
  exclusive: false,
  noWait: false,
  arguments: new Map(),
};
const CLOSE = { replyCode: 200, replyText: 'bye', classId: 0, methodId: 0 };

describe('the handshake', () => {
  test('tells who we are and what we can', async () => {
    const client = await (await startBed()).connect();
    client.send(PROTOCOL_HEADER);
    const { serverProperties, mechanisms, versionMinor } = await client.expect('connection.start');
    expect(mechanisms.toString()).toBe('PLAIN AMQPLAIN');
    expect(versionMinor).toBe(9);
    expect(serverProperties.get('product')).toBe('BurrowMQ');
    expect(serverProperties.get('version')).toBe('1.2.3');
    const capabilities = serverProperties.get('capabilities') as FieldTable;
    expect([...capabilities.keys()].sort()).toEqual([
      'authentication_failure_close',
      'basic.nack',
      'connection.blocked',
      'consumer_cancel_notify',
      'consumer_priorities',
      'direct_reply_to',
      'exchange_exchange_bindings',
      'per_consumer_qos',
      'publisher_confirms',
    ]);
    client.startOk();
    expect(await client.expect('connection.tune')).toEqual({ channelMax: 2047, frameMax: 131_072, heartbeat: 60 });
  });

  test('works byte by byte', async () => {
    const { backend, connect } = await startBed();
    const client = await connect();
    const bytes = Buffer.concat([
      PROTOCOL_HEADER,
      methodFrame(0, 'connection.start-ok', {
        clientProperties: new Map(),
        mechanism: 'AMQPLAIN',
        response: Buffer.from(
          encodeFieldTable(
            new Map([
              ['LOGIN', 'guest'],
              ['PASSWORD', 'guest'],
            ]),
          ),
        ),
        locale: 'en_US',
      }),
    ]);
    for (const byte of bytes) client.socket.write(Uint8Array.of(byte));
    await client.expect('connection.start');
    await client.expect('connection.tune');
    const rest = [
      methodFrame(0, 'connection.tune-ok', { channelMax: 0, frameMax: 0, heartbeat: 0 }),
      methodFrame(0, 'connection.open', { virtualHost: '/' }),
      methodFrame(1, 'channel.open', {}),
    ];
    for (const byte of Buffer.concat(rest)) client.socket.write(Uint8Array.of(byte));
    await client.expect('connection.open-ok');
    await client.expect('channel.open-ok', 1);
    expect(backend.events).toEqual(['session guest /', 'open 1']);
  });

  test('of another protocol is answered with ours', async () => {
    const client = await (await startBed()).connect({ cut: false });
    client.send(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
    await client.closed();
    expect(Buffer.concat(client.raw)).toEqual(PROTOCOL_HEADER);
  });

  test.each([
    ['a wrong password', { password: 'wrong' }],
    ['another user', { user: 'somebody' }],
    ['a mechanism that is not offered', { mechanism: 'EXTERNAL' }],
    ['an unknown mechanism', { mechanism: 'SCRAM' }],
    ['half a response', { response: Buffer.from('\0guest') }],
    ['a malformed table', { mechanism: 'AMQPLAIN', response: Buffer.from([5, 1]) }],
  ])('refuses %s with 403', async (_what, login) => {
    const { connect, lines } = await startBed();
    const client = await connect();
    client.send(PROTOCOL_HEADER);
    await client.expect('connection.start');
    client.startOk({ ...login, capabilities: ['authentication_failure_close'] });
    const close = await client.expect('connection.close');
    expect(close.replyCode).toBe(403);
    expect(close.replyText).toMatch(/^ACCESS_REFUSED - Login was refused using authentication mechanism/);
    client.method(0, 'connection.close-ok', {});
    await client.closed();
    expect(lines.some(({ text }) => text === 'amqp login refused')).toBe(true);
  });

  test('refuses a login without a word to who would not understand it', async () => {
    const client = await (await startBed()).connect();
    client.send(PROTOCOL_HEADER);
    await client.expect('connection.start');
    client.startOk({ password: 'wrong' });
    await client.closed();
    expect(client.pending).toBe(0);
  });

  test('asks an authenticator that takes its time, and says whether it is from this machine', async () => {
    const asked: unknown[] = [];
    const authenticator: Authenticator = {
      ...guestAuthenticator,
      withPassword: (...login) => {
        asked.push(login);
        return Promise.resolve({ name: 'me', incarnation: 7 });
      },
    };
    const { backend, connect } = await startBed({ authenticator });
    const client = await connect();
    client.send(PROTOCOL_HEADER);
    expect((await client.expect('connection.start')).mechanisms.toString()).toBe('PLAIN AMQPLAIN');
    client.startOk({ user: 'me', password: 'secret' });
    await client.expect('connection.tune');
    client.method(0, 'connection.tune-ok', { channelMax: 0, frameMax: 0, heartbeat: 0 });
    client.method(0, 'connection.open', { virtualHost: '/' });
    await client.expect('connection.open-ok');
    expect(asked).toEqual([['me', 'secret', true]]);
    expect(backend.events).toEqual(['session me /']);
    expect(backend.connections[0]!.identity).toEqual({ name: 'me', incarnation: 7 });
  });

  test('does not look at what comes while the login is checked', async () => {
    let onAsked: (letIn: (identity: Identity) => void) => void;
    const asked = new Promise<(identity: Identity) => void>((resolve) => {
      onAsked = resolve;
    });
    const authenticator: Authenticator = {
      ...guestAuthenticator,
      withPassword: () => new Promise<Identity>((resolve) => onAsked(resolve)),
    };
    const { backend, connect } = await startBed({ authenticator });
    const client = await connect();
    client.send(PROTOCOL_HEADER);
    await client.expect('connection.start');
    client.startOk();
    client.method(0, 'connection.tune-ok', { channelMax: 0, frameMax: 0, heartbeat: 0 });
    client.method(0, 'connection.open', { virtualHost: '/' });
    await new Promise<void>((resolve) => client.socket.write('', () => resolve()));
    (await asked)({ name: 'guest', incarnation: 0 });
    await client.expect('connection.tune');
    await client.expect('connection.open-ok');
    expect(backend.events).toEqual(['session guest /']);
  });

  test('lets nobody in if the authenticator fails', async () => {
    const authenticator: Authenticator = {
      ...guestAuthenticator,
      withPassword: () => Promise.reject(new Error('down')),
    };
    const client = await (await startBed({ authenticator })).connect();
    client.send(PROTOCOL_HEADER);
    await client.expect('connection.start');
    client.startOk({ capabilities: ['authentication_failure_close'] });
    expect((await client.expect('connection.close')).replyCode).toBe(403);
  });

  test('names a virtual host that must exist', async () => {
    const client = await (await startBed()).connect();
    client.send(PROTOCOL_HEADER);
    await client.expect('connection.start');
    client.startOk();
    await client.expect('connection.tune');
    client.method(0, 'connection.tune-ok', { channelMax: 0, frameMax: 0, heartbeat: 0 });
    client.method(0, 'connection.open', { virtualHost: 'none' });
    expect(await client.expect('connection.close')).toEqual({
      replyCode: 530,
      replyText: 'NOT_ALLOWED - vhost none not found',
      classId: 10,
      methodId: 40,
    });
  });
});

describe('channels', () => {
  test('open, close, and may be opened again', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    for (let round = 0; round < 2; round++) {
      await client.openChannel(1);
      client.method(1, 'channel.close', CLOSE);
      await client.expect('channel.close-ok', 1);
    }
    expect(backend.events.slice(1)).toEqual(['open 1', 'close 1', 'open 1', 'close 1']);
  });

  test('answer what needs no backend', async () => {
    const client = await (await startBed()).open();
    await client.openChannel(1);
    client.method(1, 'channel.flow', { active: true });
    expect(await client.expect('channel.flow-ok', 1)).toEqual({ active: true });
    const access = { realm: '/data', exclusive: false, passive: true, active: true, write: true, read: true };
    client.method(1, 'access.request', access);
    expect(await client.expect('access.request-ok', 1)).toEqual({ ticket: 1 });
  });

  test('are as many as was negotiated, with any numbers', async () => {
    const { open } = await startBed();
    const client = await open({ channelMax: 2 });
    await client.openChannel(60_000);
    await client.openChannel(7);
    client.method(7, 'channel.close', CLOSE);
    await client.expect('channel.close-ok', 7);
    await client.openChannel(8);
    client.method(1, 'channel.open', {});
    expect(await client.expect('connection.close')).toEqual({
      replyCode: 530,
      replyText: 'NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)',
      classId: 0,
      methodId: 0,
    });
  });

  test('pass messages on as they came', async () => {
    const { backend, open } = await startBed();
    const client = await open({ frameMax: 4096 });
    await client.openChannel(1);
    client.method(1, 'confirm.select', { noWait: false });
    await client.expect('confirm.select-ok', 1);
    const properties = encodeProperties({ messageId: 'm', headers: new Map([['h', 1]]), deliveryMode: 2 });
    const body = Buffer.alloc(10_000, 'x');
    client.send(
      methodFrame(1, 'basic.publish', publishArguments),
      headerFrame(1, body.length, properties),
      bodyFrame(1, body.subarray(0, 4000)),
      // Contents of other channels, methods of other channels and heartbeats may come in between.
      methodFrame(2, 'channel.open', {}),
      heartbeatFrame,
      bodyFrame(1, body.subarray(4000, 8000)),
      bodyFrame(1, Buffer.alloc(0)),
      publishFrames(2, Buffer.from('other')),
      bodyFrame(1, body.subarray(8000)),
      publishFrames(1, Buffer.alloc(0)),
    );
    await client.expect('channel.open-ok', 2);
    expect(await client.expect('basic.ack', 1)).toEqual({ deliveryTag: 1, multiple: false });
    expect(await client.expect('basic.ack', 1)).toEqual({ deliveryTag: 2, multiple: false });
    expect(backend.messages.map((message) => message.body.toString())).toEqual(['other', body.toString(), '']);
    expect(backend.messages[1]!.properties.equals(Buffer.from(properties))).toBe(true);

    client.method(1, 'basic.consume', consume);
    await client.expect('basic.consume-ok', 1);
    const sizes: number[] = [];
    let received = Buffer.alloc(0);
    for (let deliveries = 0; deliveries < 2; ) {
      const { type, payload } = await client.frame();
      expect(payload.length + 8).toBeLessThanOrEqual(4096);
      if (type === 1) deliveries++;
      if (type === 2) sizes.push(payload.readUInt32BE(8));
      if (type === 3) received = Buffer.concat([received, payload]);
    }
    while (received.length < 5 + body.length) {
      const { type, payload } = await client.frame();
      if (type === 2) {
        sizes.push(payload.readUInt32BE(8));
        expect(payload.subarray(12).equals(Buffer.from(properties))).toBe(true);
      } else received = Buffer.concat([received, payload]);
    }
    expect(sizes).toEqual([5, 10_000]);
    expect(received.toString()).toBe(`other${body}`);
  });

  test('run one method after the other, each channel for itself', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    await client.openChannel(1);
    await client.openChannel(2);
    let release = (): void => {};
    backend.intercept = (method, { channel }) =>
      method === 'queue.declare' && channel.number === 1
        ? new Promise<void>((resolve) => {
            release = resolve;
          })
        : undefined;
    client.method(1, 'queue.declare', declare);
    client.send(publishFrames(1, Buffer.from('later')));
    client.method(1, 'basic.qos', { prefetchSize: 0, prefetchCount: 1, global: false });
    client.method(1, 'channel.close', CLOSE);
    client.method(2, 'basic.qos', { prefetchSize: 0, prefetchCount: 1, global: false });
    await client.expect('basic.qos-ok', 2);
    expect(backend.messages).toEqual([]);
    release();
    expect(await client.expect('queue.declare-ok', 1)).toMatchObject({ messageCount: 0 });
    await client.expect('basic.qos-ok', 1);
    await client.expect('channel.close-ok', 1);
    expect(backend.messages[0]!.body.toString()).toBe('later');
  });

  test('stop reading when too much waits, and go on afterwards', async () => {
    const { backend, open } = await startBed({ limits: { waitingMethodsMax: 10 } });
    const client = await open();
    await client.openChannel(1);
    await client.openChannel(2);
    let release = (): void => {};
    backend.intercept = (method) =>
      method === 'queue.declare'
        ? new Promise<void>((resolve) => {
            release = resolve;
          })
        : undefined;
    client.method(1, 'queue.declare', declare);
    for (let index = 0; index < 30; index++) client.send(publishFrames(1, Buffer.from(`${index}`)));
    client.method(2, 'tx.select', {});
    client.method(1, 'tx.commit', {});
    await expect.poll(() => backend.events.includes('queue.declare 1')).toBe(true);
    expect(backend.events).not.toContain('tx.select 2');
    release();
    await client.expect('queue.declare-ok', 1);
    const answers = [await client.next(), await client.next()].map(({ name }) => name);
    expect(answers.sort()).toEqual(['tx.commit-ok', 'tx.select-ok']);
    expect(backend.messages.map(({ body }) => body.toString())).toEqual(Array.from({ length: 30 }, (_, i) => `${i}`));
  });
});

describe('an error of a channel', () => {
  test('closes it alone; until close-ok everything on it is dropped', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    await client.openChannel(1);
    await client.openChannel(2);
    backend.intercept = (method) => {
      if (method === 'queue.declare') throw new AmqpException('NOT_FOUND', "no queue 'q' in vhost '/'");
    };
    client.method(1, 'queue.declare', declare);
    client.method(1, 'tx.select', {});
    client.send(publishFrames(1, Buffer.from('dropped')));
    // Not even what has no sense is looked at.
    client.send(frame(1, 1, Buffer.from([9, 9, 9])), frame(2, 1, Buffer.alloc(3)), bodyFrame(1, Buffer.alloc(3)));
    expect(await client.expect('channel.close', 1)).toEqual({
      replyCode: 404,
      replyText: "NOT_FOUND - no queue 'q' in vhost '/'",
      classId: 50,
      methodId: 10,
    });
    client.method(1, 'channel.close-ok', {});
    client.method(2, 'tx.select', {});
    await client.expect('tx.select-ok', 2);
    await client.openChannel(1);
    expect(backend.messages).toEqual([]);
    expect(backend.events).not.toContain('tx.select 1');
    expect(backend.events.filter((event) => event === 'close 1')).toHaveLength(1);
  });

  test('may cross with a close of the client', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    await client.openChannel(1);
    backend.intercept = () => {
      throw new AmqpException('PRECONDITION_FAILED', 'x');
    };
    client.method(1, 'tx.select', {});
    client.method(1, 'channel.close', CLOSE);
    await client.expect('channel.close', 1);
    await client.expect('channel.close-ok', 1);
    client.method(1, 'channel.close-ok', {});
    await client.openChannel(1);
  });

  test('is a promise that is rejected, too; what waited is forgotten', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    await client.openChannel(1);
    backend.intercept = () => Promise.reject(new AmqpException('RESOURCE_LOCKED', 'x'));
    client.method(1, 'queue.declare', declare);
    client.method(1, 'tx.select', {});
    expect((await client.expect('channel.close', 1)).replyCode).toBe(405);
    expect(backend.events).not.toContain('tx.select 1');
  });

  test('is a message that is too large; its body is dropped', async () => {
    const { backend, open } = await startBed({ limits: { messageBytesMax: 1000 } });
    const client = await open();
    await client.openChannel(1);
    await client.openChannel(2);
    client.send(publishFrames(1, Buffer.alloc(1001)), publishFrames(2, Buffer.alloc(1000)));
    expect(await client.expect('channel.close', 1)).toEqual({
      replyCode: 406,
      replyText: 'PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000',
      classId: 60,
      methodId: 40,
    });
    await expect.poll(() => backend.messages.length).toBe(1);
  });

  test('may come from the backend by itself', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    await client.openChannel(1);
    backend.channels[0]!.channel.fail(new AmqpException('PRECONDITION_FAILED', 'timeout'));
    expect(await client.expect('channel.close', 1)).toMatchObject({ replyCode: 406, classId: 0 });
    backend.channels[0]!.channel.ack(1, false);
    client.method(1, 'channel.close-ok', {});
    await client.openChannel(1);
  });
});

describe('an error of the connection', () => {
  const methodOn = (channel: number) => methodFrame(channel, 'tx.select', {});
  const wrongEnd = methodOn(1);
  wrongEnd[wrongEnd.length - 1] = 0;
  const unknown = frame(1, 1, Buffer.from([0, 60, 0, 99]));
  const cutOff = frame(1, 1, Buffer.from([0, 60, 0, 40, 0]));
  const badTable = frame(1, 1, Buffer.from([0, 50, 0, 10, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9]));

  test.each([
    [501, 'a frame that does not end right', wrongEnd],
    [501, 'a frame larger than frame_max', Buffer.from([3, 0, 1, 0x7f, 0, 0, 0])],
    [501, 'a frame type that there is not', frame(7, 1, Buffer.alloc(1))],
    [501, 'arguments that are cut off', cutOff],
    [501, 'a malformed table', badTable],
    [
      501,
      'malformed properties',
      Buffer.concat([methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 0, Buffer.from([0x80, 0]))]),
    ],
    [503, 'a method that only brokers send', methodFrame(1, 'tx.select-ok', {})],
    [503, 'channel.close-ok that answers nothing', methodFrame(1, 'channel.close-ok', {})],
    [503, 'channel.flow-ok that answers nothing', methodFrame(1, 'channel.flow-ok', { active: true })],
    [503, 'basic.cancel-ok that answers nothing', methodFrame(1, 'basic.cancel-ok', { consumerTag: 'x' })],
    [503, 'a method of class connection on a channel', methodFrame(1, 'connection.close-ok', {})],
    [504, 'a channel that is not open', methodOn(2)],
    [504, 'a second channel.open', methodFrame(1, 'channel.open', {})],
    [504, 'a method of another class on channel 0', methodOn(0)],
    [505, 'a body without a method', bodyFrame(1, Buffer.alloc(1))],
    [
      505,
      'a method in the midst of a content',
      Buffer.concat([methodFrame(1, 'basic.publish', publishArguments), methodOn(1)]),
    ],
    [
      505,
      'a header of another class',
      Buffer.concat([methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 0, Buffer.alloc(2), 50)]),
    ],
    [505, 'a heartbeat on a channel', frame(8, 1, Buffer.alloc(0))],
    [505, 'a body on channel 0', bodyFrame(0, Buffer.alloc(1))],
    [505, 'a content frame on a channel that is not open', bodyFrame(2, Buffer.alloc(1))],
    [
      501,
      'more body than announced',
      Buffer.concat([
        methodFrame(1, 'basic.publish', publishArguments),
        headerFrame(1, 3),
        bodyFrame(1, Buffer.alloc(4)),
      ]),
    ],
    [540, 'an unknown method', unknown],
    [540, 'flow that stops us', methodFrame(1, 'channel.flow', { active: false })],
    [
      540,
      'immediate',
      Buffer.concat([methodFrame(1, 'basic.publish', { ...publishArguments, immediate: true }), headerFrame(1, 0)]),
    ],
    [540, 'recover without requeue', methodFrame(1, 'basic.recover', { requeue: false })],
  ])('is %i for %s', async (code, _what, bytes) => {
    const { backend, listener, open } = await startBed();
    const client = await open({ channelMax: 10 });
    await client.openChannel(1);
    client.send(bytes);
    expect((await client.expect('connection.close')).replyCode).toBe(code);
    // What comes until close-ok does not matter.
    client.send(frame(9, 9, Buffer.alloc(3)));
    expect(backend.events.slice(-2)).toEqual(['close 1', 'session closed']);
    client.method(0, 'connection.close-ok', {});
    if (code === 501) client.socket.end(); // Out of step: not even close-ok was understood.
    await client.closed();
    await expect.poll(() => listener.connections).toBe(0);
  });

  test('is 541 for what should not happen; the log knows, the client does not', async () => {
    const { backend, lines, open } = await startBed();
    const client = await open();
    await client.openChannel(1);
    backend.intercept = () => {
      throw new TypeError('secret');
    };
    client.method(1, 'tx.select', {});
    const close = await client.expect('connection.close');
    expect(close).toMatchObject({ replyCode: 541, classId: 90, methodId: 10 });
    expect(close.replyText).not.toContain('secret');
    expect(lines.some(({ level, text }) => level === 'error' && text === 'amqp method failed unexpectedly')).toBe(true);
  });
});

describe('the client closes', () => {
  test('its connection: all channels end first', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    await client.openChannel(1);
    await client.openChannel(5);
    client.method(0, 'connection.close', CLOSE);
    await client.expect('connection.close-ok');
    await client.closed();
    expect(backend.events.slice(-3)).toEqual(['close 1', 'close 5', 'session closed']);
  });

  test('its connection: what it sent before is done first', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    for (const channel of [1, 2]) await client.openChannel(channel);
    const waits: Array<() => void> = [];
    backend.intercept = (method) =>
      method === 'queue.declare' ? new Promise<void>((resolve) => waits.push(resolve)) : undefined;
    for (const channel of [1, 2]) client.method(channel, 'queue.declare', declare);
    client.send(publishFrames(1, Buffer.from('last words')));
    client.method(0, 'connection.close', CLOSE);
    await expect.poll(() => waits.length).toBe(2);
    waits[0]!();
    await client.expect('queue.declare-ok', 1);
    expect(client.pending).toBe(0);
    waits[1]!();
    await client.expect('queue.declare-ok', 2);
    await client.expect('connection.close-ok');
    await client.closed();
    expect(backend.messages[0]!.body.toString()).toBe('last words');
  });

  test('only its socket', async () => {
    const { backend, open } = await startBed();
    const client = await open();
    await client.openChannel(1);
    client.socket.destroy();
    await expect.poll(() => backend.events.slice(-2)).toEqual(['close 1', 'session closed']);
    backend.channels[0]!.channel.ack(1, false);
  });
});

test('the broker that stops says so, and waits for close-ok', async () => {
  const { listener, open } = await startBed();
  const client = await open();
  const closing = listener.close();
  expect(await client.expect('connection.close')).toMatchObject({
    replyCode: 320,
    replyText: 'CONNECTION_FORCED - the broker is shutting down',
  });
  client.method(0, 'connection.close-ok', {});
  await closing;
  await client.closed();
});

test('update-secret asks the authenticator', async () => {
  const client = await (await startBed()).open();
  client.method(0, 'connection.update-secret', { newSecret: Buffer.from('guest'), reason: 'x' });
  await client.expect('connection.update-secret-ok');
  client.method(0, 'connection.update-secret', { newSecret: Buffer.from('wrong'), reason: 'x' });
  expect((await client.expect('connection.close')).replyCode).toBe(530);
});

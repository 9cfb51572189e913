/** Connections: handshake, logins, limits, what is not AMQP, and the end. */
import {
  bodyFrame,
  frame,
  headerFrame,
  heartbeatFrame,
  methodFrame,
  PROTOCOL_HEADER,
} from '../../listeners/amqp/raw-client.ts';
import { type Scenario, type Side, scenario } from './scenario.ts';
import { loginArguments, type ScriptedConnection } from './scripted-connection.ts';
import { type Fields, shortString, typed } from './typed-fields.ts';

/** A field table's entries without their length, as AMQPLAIN has them. */
function amqPlain(user: string, password: string): Buffer {
  const entry = (name: string, value: string): Buffer => {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(Buffer.byteLength(value));
    return Buffer.concat([shortString(name), Buffer.from('S'), size, Buffer.from(value)]);
  };
  return Buffer.concat([entry('LOGIN', user), entry('PASSWORD', password)]);
}

/** Up to the login, then start-ok with these, then whatever comes. */
function login(name: string, options: Parameters<typeof loginArguments>[0]): Scenario {
  return scenario(`login: ${name}`, async (side) => {
    const { control } = await side.connect('a', { until: 'start' });
    control.send('connection.start-ok', loginArguments(options));
    await control.anything();
    if (control.isEnded) await control.ended();
  });
}

/** Logged in, then tune-ok with these and open. */
function tune(name: string, channelMax: number, frameMax: number, heartbeat = 0): Scenario {
  return scenario(`tune: ${name}`, async (side) => {
    const { control } = await side.connect('a', { until: 'tune' });
    control.send('connection.tune-ok', { channelMax, frameMax, heartbeat });
    await control.call('connection.open', { virtualHost: '/' });
    if (control.isEnded) await control.ended();
  });
}

/** The first bytes, then whatever comes first. */
function protocolHeader(name: string, bytes: Buffer): Scenario {
  return scenario(`protocol header: ${name}`, async (side) => {
    const connection = await side.connect('a', { until: 'socket' });
    connection.raw(bytes);
    await connection.control.anything();
  });
}

/** Something on an open connection that the broker closes it for; what another connection does goes on. */
function fatal(name: string, send: (connection: ScriptedConnection, side: Side) => void | Promise<void>): Scenario {
  return scenario(`fatal: ${name}`, async (side) => {
    await side.b.open();
    await side.a.open();
    const connection = side.connection('a');
    await send(connection, side);
    await connection.control.closed();
    await connection.control.ended();
    await side.b.declare('~alive', {}, { exclusive: true });
  });
}

/** A method at a time of the handshake when it may not come. */
function misplaced(name: string, until: 'start' | 'tune', bytes: Buffer): Scenario {
  return scenario(`handshake: ${name}`, async (side) => {
    const connection = await side.connect('a', { until });
    connection.raw(bytes);
    await connection.control.ended();
  });
}

const NO_CAPABILITIES: Fields = {};
const publish = { exchange: '', routingKey: 'nowhere', mandatory: false, immediate: false };
const closing = { replyCode: 200, replyText: 'bye', classId: 0, methodId: 0 };
const consumption = {
  queue: '',
  consumerTag: '',
  noLocal: false,
  noAck: false,
  exclusive: false,
  noWait: false,
  arguments: new Map(),
};

export const CONNECTION_SCENARIOS: readonly Scenario[] = [
  scenario('start: versions, mechanisms, locales, capabilities', async (side) => {
    const { control } = await side.connect('a', { until: 'socket' });
    control.raw(PROTOCOL_HEADER);
    await control.reply('connection.start');
  }),
  scenario('open: the usual handshake', async (side) => {
    const { control } = await side.connect('a', { until: 'tune' });
    control.send('connection.tune-ok', { channelMax: 100, frameMax: 8192, heartbeat: 0 });
    await control.call('connection.open', { virtualHost: '/' });
    await side.a.open();
  }),

  protocolHeader('of AMQP 0-9', Buffer.from('AMQP\x01\x01\x00\x09', 'latin1')),
  protocolHeader('of AMQP 0-8', Buffer.from('AMQP\x01\x01\x08\x00', 'latin1')),
  protocolHeader('of AMQP 0-10', Buffer.from('AMQP\x01\x01\x00\x0a', 'latin1')),
  protocolHeader('of AMQP 0-9-2', Buffer.from('AMQP\x00\x00\x09\x02', 'latin1')),
  protocolHeader('HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: here\r\n\r\n')),
  protocolHeader('TLS', Buffer.from('16030100fd010000f90303000000', 'hex')),
  protocolHeader('zeros', Buffer.alloc(8)),

  login('PLAIN', {}),
  login('AMQPLAIN', { mechanism: 'AMQPLAIN', response: amqPlain('guest', 'guest') }),
  login('AMQPLAIN with a wrong password', { mechanism: 'AMQPLAIN', response: amqPlain('guest', 'wrong') }),
  login('a wrong password', { password: 'wrong' }),
  login('an unknown user', { user: 'nobody' }),
  login('an empty user and password', { user: '', password: '' }),
  login('a wrong password, and no authentication_failure_close', { password: 'wrong', capabilities: NO_CAPABILITIES }),
  login('no capabilities', { capabilities: NO_CAPABILITIES }),
  login('an unknown mechanism', { mechanism: 'SCRAM-SHA-256' }),
  login('an unknown mechanism, and no authentication_failure_close', {
    mechanism: 'SCRAM-SHA-256',
    capabilities: NO_CAPABILITIES,
  }),
  login('a mechanism in small letters', { mechanism: 'plain' }),
  login('EXTERNAL without TLS', { mechanism: 'EXTERNAL', response: Buffer.alloc(0) }),
  login('PLAIN with an identity to act as', { response: Buffer.from('guest\0guest\0guest') }),
  login('PLAIN without separators', { response: Buffer.from('guest') }),
  login('PLAIN with too few parts', { response: Buffer.from('\0guest') }),
  login('PLAIN with too many parts', { response: Buffer.from('\0guest\0guest\0guest') }),
  login('AMQPLAIN that is no table', { mechanism: 'AMQPLAIN', response: Buffer.from('\0guest\0guest') }),
  login('AMQPLAIN of an empty table', { mechanism: 'AMQPLAIN', response: Buffer.alloc(0) }),
  login('capabilities of other types', {
    capabilities: { 'basic.nack': typed('I', 1), exchange_exchange_bindings: 'yes' },
  }),

  tune('everything as offered', 2047, 131_072, 60),
  tune('less than offered', 10, 8192, 5),
  tune('the smallest frames', 1, 4096),
  tune('frames below the smallest', 10, 4095),
  tune('larger frames than offered', 10, 131_073),
  tune('more channels than offered', 2048, 131_072),
  tune('unlimited channels', 0, 131_072),
  tune('unlimited frames', 10, 0),
  tune('a longer heartbeat than offered', 10, 131_072, 600),

  ...['/nowhere', '', 'a'.repeat(200)].map((virtualHost) =>
    scenario(`open: virtual host ${JSON.stringify(virtualHost.slice(0, 20))}`, async (side) => {
      const { control } = await side.connect('a', { until: 'tune' });
      control.send('connection.tune-ok', { channelMax: 10, frameMax: 131_072, heartbeat: 0 });
      await control.call('connection.open', { virtualHost });
      await control.ended();
    }),
  ),

  misplaced(
    'tune-ok instead of start-ok',
    'start',
    methodFrame(0, 'connection.tune-ok', { channelMax: 0, frameMax: 0, heartbeat: 0 }),
  ),
  misplaced('open instead of start-ok', 'start', methodFrame(0, 'connection.open', { virtualHost: '/' })),
  misplaced('channel.open instead of start-ok', 'start', methodFrame(1, 'channel.open', {})),
  misplaced('open instead of tune-ok', 'tune', methodFrame(0, 'connection.open', { virtualHost: '/' })),
  misplaced('channel.open instead of tune-ok', 'tune', methodFrame(1, 'channel.open', {})),
  misplaced('a content header instead of tune-ok', 'tune', headerFrame(0, 0)),
  misplaced('close instead of start-ok', 'start', methodFrame(0, 'connection.close', closing)),
  misplaced('close instead of tune-ok', 'tune', methodFrame(0, 'connection.close', closing)),
  scenario('handshake: close instead of open', async (side) => {
    const { control } = await side.connect('a', { until: 'tune' });
    control.send('connection.tune-ok', { channelMax: 10, frameMax: 131_072, heartbeat: 0 });
    await control.call('connection.close', { replyCode: 200, replyText: 'bye' });
    await control.ended();
  }),
  scenario('handshake: a channel instead of open', async (side) => {
    const { control } = await side.connect('a', { until: 'tune' });
    control.send('connection.tune-ok', { channelMax: 10, frameMax: 131_072, heartbeat: 0 });
    control.raw(methodFrame(1, 'channel.open', {}));
    await control.closed();
    await control.ended();
  }),
  scenario('handshake: a frame beyond the size before tune', async (side) => {
    const { control } = await side.connect('a', { until: 'start' });
    control.raw(frame(1, 0, Buffer.alloc(20_000)));
    await control.ended();
  }),

  fatal('a wrong end of a frame', (connection) => {
    const bytes = methodFrame(1, 'tx.select', {});
    bytes[bytes.length - 1] = 0;
    connection.raw(bytes);
  }),
  fatal('a frame larger than frame_max', (connection) => connection.raw(frame(3, 1, Buffer.alloc(131_072)))),
  fatal('a frame of an unknown type', (connection) => connection.raw(frame(7, 1, Buffer.alloc(1)))),
  fatal('a frame of type 0', (connection) => connection.raw(frame(0, 0, Buffer.alloc(0)))),
  fatal('a frame of type 5 on channel 0', (connection) => connection.raw(frame(5, 0, Buffer.alloc(3)))),
  fatal('an empty method frame', (connection) => connection.raw(frame(1, 1, Buffer.alloc(0)))),
  fatal('an empty method frame on channel 0', (connection) => connection.raw(frame(1, 0, Buffer.alloc(0)))),
  fatal('an unknown method', (connection) => connection.raw(frame(1, 1, Buffer.from('003c00fa', 'hex')))),
  fatal('an unknown class', (connection) => connection.raw(frame(1, 1, Buffer.from('01f4000a', 'hex')))),
  fatal('an unknown method on channel 0', (connection) => connection.raw(frame(1, 0, Buffer.from('000a00fa', 'hex')))),
  fatal('arguments that are cut off', (connection) => connection.raw(frame(1, 1, Buffer.from('0032000a0000', 'hex')))),
  fatal('a short string longer than the frame', (connection) =>
    connection.raw(frame(1, 1, Buffer.from('0032000a0000ff6161', 'hex'))),
  ),
  fatal('a table longer than the frame', (connection) =>
    connection.raw(frame(1, 1, Buffer.from('0032000a00000161000000ffff0161', 'hex'))),
  ),
  fatal('a table with an unknown type of field', (connection) =>
    connection.raw(frame(1, 1, Buffer.from('0032000a0000016100000000030161ff', 'hex'))),
  ),
  fatal('a method of servers', (connection) =>
    connection.raw(methodFrame(1, 'queue.declare-ok', { queue: 'q', messageCount: 0, consumerCount: 0 })),
  ),
  fatal('basic.deliver from a client, and a method amid its content', (connection) =>
    connection.raw(
      methodFrame(1, 'basic.deliver', {
        consumerTag: '',
        deliveryTag: 1,
        redelivered: false,
        exchange: '',
        routingKey: '',
      }),
      methodFrame(1, 'tx.select', {}),
    ),
  ),
  fatal('connection.open twice', (connection) =>
    connection.raw(methodFrame(0, 'connection.open', { virtualHost: '/' })),
  ),
  fatal('start-ok on an open connection', (connection) =>
    connection.raw(
      methodFrame(0, 'connection.start-ok', {
        clientProperties: new Map(),
        mechanism: 'PLAIN',
        response: Buffer.alloc(0),
        locale: '',
      }),
    ),
  ),
  fatal('a connection method on a channel', (connection) =>
    connection.raw(methodFrame(1, 'connection.close', closing)),
  ),
  fatal('a queue method on channel 0', (connection) => connection.raw(methodFrame(0, 'tx.select', {}))),
  fatal('channel.open on channel 0', (connection) => connection.raw(methodFrame(0, 'channel.open', {}))),
  fatal('a content header on channel 0', (connection) => connection.raw(headerFrame(0, 0))),
  fatal('a content body on channel 0', (connection) => connection.raw(bodyFrame(0, Buffer.from('x')))),
  fatal('a heartbeat on a channel', (connection) => connection.raw(frame(8, 1, Buffer.alloc(0)))),
  fatal('a method on a channel that is not open', (connection) => connection.raw(methodFrame(7, 'tx.select', {}))),
  fatal('a content header on a channel that is not open', (connection) => connection.raw(headerFrame(7, 0))),
  fatal('a content body on a channel that is not open', (connection) => connection.raw(bodyFrame(7, Buffer.from('x')))),
  fatal('a content header without a method', (connection) => connection.raw(headerFrame(1, 0))),
  fatal('a content body without a header', (connection) => connection.raw(bodyFrame(1, Buffer.from('x')))),
  fatal('a content body right after the method', (connection) =>
    connection.raw(methodFrame(1, 'basic.publish', publish), bodyFrame(1, Buffer.from('x'))),
  ),
  fatal('two content headers', (connection) =>
    connection.raw(methodFrame(1, 'basic.publish', publish), headerFrame(1, 5), headerFrame(1, 5)),
  ),
  fatal('a method amid a content', (connection) =>
    connection.raw(methodFrame(1, 'basic.publish', publish), headerFrame(1, 5), methodFrame(1, 'tx.select', {})),
  ),
  fatal('a method instead of a content header', (connection) =>
    connection.raw(methodFrame(1, 'basic.publish', publish), methodFrame(1, 'tx.select', {})),
  ),
  fatal('a body that is longer than its header says, and a method', (connection) =>
    connection.raw(
      methodFrame(1, 'basic.publish', publish),
      headerFrame(1, 2),
      bodyFrame(1, Buffer.from('abc')),
      methodFrame(1, 'tx.select', {}),
    ),
  ),
  fatal('a content header of another class', (connection) =>
    connection.raw(methodFrame(1, 'basic.publish', publish), headerFrame(1, 0, Buffer.alloc(2), 50)),
  ),
  fatal('a content header that is cut off', (connection) =>
    connection.raw(methodFrame(1, 'basic.publish', publish), frame(2, 1, Buffer.from('003c0000', 'hex'))),
  ),
  fatal('properties that are cut off', (connection) =>
    connection.raw(methodFrame(1, 'basic.publish', publish), headerFrame(1, 0, Buffer.from('8000ff61', 'hex'))),
  ),
  fatal('headers that are cut off', (connection) =>
    connection.raw(methodFrame(1, 'basic.publish', publish), headerFrame(1, 0, Buffer.from('2000000000ff0161', 'hex'))),
  ),
  fatal('channel.open twice', async (connection, { a }) => {
    await a.open();
    connection.raw(methodFrame(1, 'channel.open', {}));
  }),
  fatal('immediate', async ({ control }, { a }) => {
    await a.open();
    a.publish({ routingKey: 'q', immediate: true }, 'x');
    await control.closed();
  }),
  fatal('channel.flow off', (_connection, { a }) => void a.send('channel.flow', { active: false })),
  fatal('prefetch in bytes', (_connection, { a }) => void a.send('basic.qos', { prefetchSize: 1000 })),
  fatal('recover without requeue', (_connection, { a }) => void a.send('basic.recover', { requeue: false })),
  fatal(
    'an exchange of an unknown type',
    (_connection, { a }) => void a.send('exchange.declare', { exchange: '~x', type: 'telepathy' }),
  ),
  fatal('a consumer tag twice', async (connection, { a }) => {
    await a.declare('~q', {}, { exclusive: true });
    await a.consume('~q');
    connection.raw(methodFrame(1, 'basic.consume', { ...consumption, consumerTag: 'c' }));
  }),

  scenario('channels may have higher numbers than channel_max', async (side) => {
    const connection = await side.connect('a', { channelMax: 2 });
    await connection.channel(3).open();
    await connection.channel(60_000).open();
  }),
  scenario('a small channel_max is kept', async (side) => {
    const connection = await side.connect('a', { channelMax: 2 });
    await connection.channel(1).open();
    await connection.channel(2).open();
    connection.raw(methodFrame(3, 'channel.open', {}));
    await connection.control.ended();
  }),
  scenario('a small frame_max cuts deliveries', async (side) => {
    await side.connect('a', { frameMax: 4096 });
    await side.a.declare('~q');
    await side.b.put('~q', Buffer.alloc(10_000, 'x'));
    await side.a.consume('~q');
    await side.a.messages(1);
  }),
  scenario('a frame beyond a small frame_max', async (side) => {
    const connection = await side.connect('a', { frameMax: 4096 });
    await side.a.open();
    connection.raw(frame(1, 1, Buffer.alloc(4097)));
    await connection.control.ended();
  }),
  scenario('heartbeats are taken at any time', async (side) => {
    const connection = await side.connect('a', {});
    connection.raw(heartbeatFrame, heartbeatFrame);
    await side.a.declare('~q', {}, { exclusive: true });
  }),
  scenario('heartbeats come', async (side) => {
    const { control } = await side.connect('a', { until: 'tune' });
    control.send('connection.tune-ok', { channelMax: 10, frameMax: 131_072, heartbeat: 1 });
    await control.call('connection.open', { virtualHost: '/' });
    await control.heartbeat();
    await control.call('connection.close', { replyCode: 200, replyText: 'bye' });
    await control.ended();
  }),
  scenario('who sends nothing for two heartbeats is cut off', async (side) => {
    const { control } = await side.connect('a', { until: 'tune' });
    control.send('connection.tune-ok', { channelMax: 10, frameMax: 131_072, heartbeat: 1 });
    await control.call('connection.open', { virtualHost: '/' });
    await control.ended();
  }),
  scenario('close ends all channels and their consumers', async (side) => {
    await side.a.declare('~q');
    await side.a.consume('~q');
    await side.b.consume('~q');
    await side.a2.open();
    await side.connection('a').control.call('connection.close', { replyCode: 200, replyText: 'bye' });
    await side.counts('~q', 0, 1);
  }),
  scenario('after close nothing is heard any more', async (side) => {
    const { a } = side;
    await a.declare('~q');
    const { control } = side.connection('a');
    control.send('connection.close', { replyCode: 200, replyText: 'bye' });
    a.send('queue.delete', { queue: '~q' });
    await side.b.declare('~q', {}, { passive: true });
  }),
  scenario('a lost connection returns what was not settled', async (side) => {
    await side.a.declare('~q');
    await side.a.put('~q', 'one');
    await side.b.get('~q');
    side.connection('b').destroy();
    await side.counts('~q', 1);
    await side.a.get('~q');
  }),
  scenario('update-secret with the right password', async (side) => {
    await side.a.open();
    await side
      .connection('a')
      .control.call('connection.update-secret', { newSecret: Buffer.from('guest'), reason: 'new' });
  }),
  scenario('update-secret with a wrong password', async (side) => {
    await side.a.open();
    await side
      .connection('a')
      .control.call('connection.update-secret', { newSecret: Buffer.from('wrong'), reason: 'new' });
  }),
];

/** RabbitMQ's table of permissions (its guide "Access Control"): for each AMQP method what a user must be allowed, on a whole broker. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Broker, type BrokerOptions, startBroker } from '../../../broker/index.ts';
import type { MethodArguments, MethodName } from '../../../broker/listeners/amqp/methods.ts';
import { METHODS } from '../../../broker/listeners/amqp/methods.ts';
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts';
import { PROTOCOL_HEADER, publishArguments, publishFrames, RawClient } from './raw-client.ts';

const EVERYTHING = { configure: '.*', write: '.*', read: '.*' };
const NOTHING = { configure: '', write: '', read: '' };
type Permissions = typeof NOTHING;

interface Bed {
  readonly broker: Broker;
  readonly lines: LogLine[];
  /** Logged in with its name as its password, and a first channel open. */
  open(user: string, virtualHost?: string): Promise<RawClient>;
  connect(): Promise<RawClient>;
}

async function start(options: Partial<BrokerOptions> = {}): Promise<Bed> {
  const lines: LogLine[] = [];
  const broker = await startBroker({ storage: 'memory', logger: recordingLogger(lines), ...options });
  const clients: RawClient[] = [];
  onTestFinished(async () => {
    for (const client of clients) client.socket.destroy();
    await broker.close();
  });
  const connect = async (): Promise<RawClient> => {
    const client = await RawClient.connect(broker.ports.amqp!);
    clients.push(client);
    return client;
  };
  const open = async (user: string, virtualHost = '/'): Promise<RawClient> => {
    const client = await connect();
    await logIn(client, user, virtualHost);
    await client.expect('connection.open-ok');
    await client.openChannel(1);
    return client;
  };
  return { broker, lines, open, connect };
}

async function logIn(client: RawClient, user: string, virtualHost: string, password = user): Promise<void> {
  client.send(PROTOCOL_HEADER);
  await client.expect('connection.start');
  client.startOk({ user, password, capabilities: ['authentication_failure_close', 'consumer_cancel_notify'] });
  await client.expect('connection.tune');
  client.method(0, 'connection.tune-ok', { channelMax: 0, frameMax: 0, heartbeat: 0 });
  client.method(0, 'connection.open', { virtualHost });
}

/** With an administrator `admin` who may do everything, and `app`, who may do what is said. */
async function startWithUsers(permissions: Permissions, options: Partial<BrokerOptions> = {}): Promise<Bed> {
  const bed = await start(options);
  const { users } = bed.broker;
  await users.add({ name: 'admin', password: 'admin', tags: ['administrator'] });
  await users.setPermissions('admin', '/', EVERYTHING);
  await users.add({ name: 'app', password: 'app' });
  await users.setPermissions('app', '/', permissions);
  return bed;
}

const queue = { passive: false, durable: false, exclusive: false, autoDelete: false, noWait: false };
const exchange = { type: 'fanout', durable: false, autoDelete: false, internal: false, noWait: false };
const NONE = new Map();

/** The exchange `e`, another one `e2`, and the queue `q` bound to `e`. */
async function prepare({ open }: Bed): Promise<void> {
  const admin = await open('admin');
  for (const name of ['e', 'e2']) {
    admin.method(1, 'exchange.declare', { exchange: name, passive: false, ...exchange, arguments: NONE });
    await admin.expect('exchange.declare-ok', 1);
  }
  admin.method(1, 'queue.declare', { queue: 'q', ...queue, arguments: NONE });
  await admin.expect('queue.declare-ok', 1);
  admin.method(1, 'queue.bind', { queue: 'q', exchange: 'e', routingKey: 'k', noWait: false, arguments: NONE });
  await admin.expect('queue.bind-ok', 1);
  admin.socket.end();
}

interface Row {
  readonly what: string;
  readonly method: MethodName;
  readonly args: unknown;
  /** Everything that is needed, and nothing else; each alone is not enough. */
  readonly needs: ReadonlyArray<readonly [keyof Permissions, string]>;
  readonly answer: MethodName;
}

function row<N extends MethodName>(
  what: string,
  method: N,
  args: MethodArguments<N>,
  needs: Row['needs'],
  answer: MethodName,
): Row {
  return { what, method, args, needs, answer };
}

const declared = { ...exchange, passive: false, arguments: NONE };
const ROWS: readonly Row[] = [
  row(
    'exchange.declare',
    'exchange.declare',
    { exchange: 'new', ...declared },
    [['configure', 'new']],
    'exchange.declare-ok',
  ),
  row(
    'exchange.declare of one that is there',
    'exchange.declare',
    { exchange: 'e', ...declared },
    [['configure', 'e']],
    'exchange.declare-ok',
  ),
  row(
    'exchange.declare with an alternate exchange',
    'exchange.declare',
    { exchange: 'new', ...declared, arguments: new Map([['alternate-exchange', 'alt']]) },
    [
      ['configure', 'new'],
      ['read', 'new'],
      ['write', 'alt'],
    ],
    'exchange.declare-ok',
  ),
  row(
    'passive exchange.declare',
    'exchange.declare',
    { exchange: 'e', ...declared, passive: true },
    [],
    'exchange.declare-ok',
  ),
  row(
    'exchange.delete',
    'exchange.delete',
    { exchange: 'e', ifUnused: false, noWait: false },
    [['configure', 'e']],
    'exchange.delete-ok',
  ),
  row(
    'exchange.bind',
    'exchange.bind',
    { destination: 'e2', source: 'e', routingKey: 'k', noWait: false, arguments: NONE },
    [
      ['write', 'e2'],
      ['read', 'e'],
    ],
    'exchange.bind-ok',
  ),
  row(
    'exchange.unbind',
    'exchange.unbind',
    { destination: 'e2', source: 'e', routingKey: 'k', noWait: false, arguments: NONE },
    [
      ['write', 'e2'],
      ['read', 'e'],
    ],
    'exchange.unbind-ok',
  ),
  row(
    'queue.declare',
    'queue.declare',
    { queue: 'new', ...queue, arguments: NONE },
    [['configure', 'new']],
    'queue.declare-ok',
  ),
  row(
    'queue.declare of one that is there',
    'queue.declare',
    { queue: 'q', ...queue, arguments: NONE },
    [['configure', 'q']],
    'queue.declare-ok',
  ),
  row(
    'queue.declare without a name',
    'queue.declare',
    { queue: '', ...queue, exclusive: true, arguments: NONE },
    [['configure', 'amq\\.gen-.*']],
    'queue.declare-ok',
  ),
  row(
    'queue.declare with a dead-letter exchange',
    'queue.declare',
    { queue: 'new', ...queue, arguments: new Map([['x-dead-letter-exchange', 'dlx']]) },
    [
      ['configure', 'new'],
      ['read', 'new'],
      ['write', 'dlx'],
    ],
    'queue.declare-ok',
  ),
  row(
    'passive queue.declare',
    'queue.declare',
    { queue: 'q', ...queue, passive: true, arguments: NONE },
    [],
    'queue.declare-ok',
  ),
  row(
    'queue.delete',
    'queue.delete',
    { queue: 'q', ifUnused: false, ifEmpty: false, noWait: false },
    [['configure', 'q']],
    'queue.delete-ok',
  ),
  row(
    'queue.bind',
    'queue.bind',
    { queue: 'q', exchange: 'e', routingKey: 'x', noWait: false, arguments: NONE },
    [
      ['write', 'q'],
      ['read', 'e'],
    ],
    'queue.bind-ok',
  ),
  row(
    'queue.unbind',
    'queue.unbind',
    { queue: 'q', exchange: 'e', routingKey: 'k', arguments: NONE },
    [
      ['write', 'q'],
      ['read', 'e'],
    ],
    'queue.unbind-ok',
  ),
  row('queue.purge', 'queue.purge', { queue: 'q', noWait: false }, [['read', 'q']], 'queue.purge-ok'),
  row('basic.get', 'basic.get', { queue: 'q', noAck: true }, [['read', 'q']], 'basic.get-empty'),
  row(
    'basic.consume',
    'basic.consume',
    { queue: 'q', consumerTag: 'c', noLocal: false, noAck: true, exclusive: false, noWait: false, arguments: NONE },
    [['read', 'q']],
    'basic.consume-ok',
  ),
  row(
    'basic.consume of direct replies',
    'basic.consume',
    {
      ...{
        queue: 'amq.rabbitmq.reply-to',
        consumerTag: 'c',
        noLocal: false,
        noAck: true,
        exclusive: false,
        noWait: false,
      },
      arguments: NONE,
    },
    [],
    'basic.consume-ok',
  ),
];

function permissionsOf(needs: Row['needs']): Permissions {
  const of = (operation: keyof Permissions): string => {
    const names = needs.filter(([each]) => each === operation).map(([, name]) => name);
    return names.length === 0 ? '' : `^(${names.join('|')})$`;
  };
  return { configure: of('configure'), write: of('write'), read: of('read') };
}

describe.each(ROWS.map((each) => [each.what, each] as const))('%s', (_, { method, args, needs, answer }) => {
  test('is done for who has just what it needs', async () => {
    const bed = await startWithUsers(permissionsOf(needs));
    await prepare(bed);
    const client = await bed.open('app');
    client.method(1, method, args as never);
    expect((await client.next()).name).toBe(answer);
  });

  test.each(needs.map((need) => [need[0], need[1], need] as const))(
    'is refused to who has everything but %s %s',
    async (operation, name, missing) => {
      // Everything else that could be asked for, that name excepted.
      const all = { configure: '.*', write: '.*', read: '.*' };
      const bed = await startWithUsers({ ...all, [missing[0]]: `^(?!${name}$)` });
      await prepare(bed);
      const client = await bed.open('app');
      client.method(1, method, args as never);
      const { classId, methodId } = METHODS[method];
      const close = await client.expect('channel.close', 1);
      expect(close).toMatchObject({ replyCode: 403, classId, methodId });
      expect(close.replyText).toMatch(
        new RegExp(
          `^ACCESS_REFUSED - ${operation} access to (queue|exchange) '${name}' in vhost '/' refused for user 'app'$`,
        ),
      );
    },
  );
});

describe('basic.publish', () => {
  test.each([
    ['an exchange', 'e', '^e$', "exchange 'e'"],
    ['the default exchange', '', '^amq\\.default$', 'default exchange'],
  ])('to %s needs to be allowed to write', async (_, name, pattern, text) => {
    const bed = await startWithUsers({ ...NOTHING, write: pattern });
    await prepare(bed);
    const client = await bed.open('app');
    client.method(1, 'confirm.select', { noWait: false });
    await client.expect('confirm.select-ok', 1);
    const send = (): void => client.send(publishTo(name));
    send();
    await client.expect('basic.ack', 1);
    // Counts from the next message on.
    await bed.broker.users.setPermissions('app', '/', { configure: '.*', write: '^$|other', read: '.*' });
    send();
    const close = await client.expect('channel.close', 1);
    expect(close).toMatchObject({ replyCode: 403, classId: 60, methodId: 40 });
    expect(close.replyText).toBe(`ACCESS_REFUSED - write access to ${text} in vhost '/' refused for user 'app'`);
  });

  function publishTo(name: string): Buffer {
    const frames = publishFrames(1, Buffer.from('x'));
    const shortString = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
    const before = Buffer.concat([shortString(publishArguments.exchange), shortString(publishArguments.routingKey)]);
    const after = Buffer.concat([shortString(name), shortString(publishArguments.routingKey)]);
    // The method's frame is the first; its length grows with the name.
    const at = frames.indexOf(before, 13);
    const changed = Buffer.concat([frames.subarray(0, at), after, frames.subarray(at + before.length)]);
    changed.writeUInt32BE(changed.readUInt32BE(3) + after.length - before.length, 3);
    return changed;
  }
});

describe('a virtual host', () => {
  test('is entered by who has permissions there, and by nobody else', async () => {
    const bed = await startWithUsers(NOTHING);
    await bed.broker.queues.createVirtualHost('team');
    await bed.open('app');
    for (const [user, name, text] of [
      ['app', 'team', "NOT_ALLOWED - access to vhost 'team' refused for user 'app'"],
      ['app', 'none', 'NOT_ALLOWED - vhost none not found'],
    ] as const) {
      const client = await bed.connect();
      await logIn(client, user, name);
      expect(await client.expect('connection.close')).toEqual({
        replyCode: 530,
        replyText: text,
        classId: 10,
        methodId: 40,
      });
    }
    await bed.broker.users.setPermissions('app', 'team', NOTHING);
    await bed.open('app', 'team');
    // A successor of that name is another one.
    await bed.broker.queues.deleteVirtualHost('team');
    await bed.broker.queues.createVirtualHost('team');
    const client = await bed.connect();
    await logIn(client, 'app', 'team');
    expect((await client.expect('connection.close')).replyCode).toBe(530);
  });

  test('shuts out who has lost its permissions: whatever needs one is refused', async () => {
    const bed = await startWithUsers(EVERYTHING);
    await prepare(bed);
    const client = await bed.open('app');
    await bed.broker.users.deletePermissions('app', '/');
    client.method(1, 'basic.get', { queue: 'q', noAck: true });
    expect((await client.expect('connection.close')).replyText).toContain("access to vhost '/' refused");
  });
});

describe('a login', () => {
  test('that is wrong gets 403, and its password stands in no log', async () => {
    const bed = await startWithUsers(EVERYTHING);
    for (const [user, password] of [
      ['app', 'hunter2'],
      ['nobody', 'hunter2'],
      ['__proto__', 'hunter2'],
      ['constructor', 'hunter2'],
      ['guest', 'guest'],
    ] as const) {
      const client = await bed.connect();
      client.send(PROTOCOL_HEADER);
      await client.expect('connection.start');
      client.startOk({ user, password, capabilities: ['authentication_failure_close'] });
      expect((await client.expect('connection.close')).replyCode).toBe(403);
    }
    const refused = bed.lines.filter(({ text }) => text === 'amqp login refused');
    expect(refused.map(({ fields }) => fields['user'])).toEqual(['app', 'nobody', '__proto__', 'constructor', 'guest']);
    expect(JSON.stringify(bed.lines)).not.toContain('hunter2');
  });

  test('ends when its user is deleted', async () => {
    const bed = await startWithUsers(EVERYTHING);
    const [client, admin] = [await bed.open('app'), await bed.open('admin')];
    await bed.broker.users.delete('app');
    expect(await client.expect('connection.close')).toMatchObject({
      replyCode: 320,
      replyText: "CONNECTION_FORCED - user 'app' was deleted",
    });
    admin.method(1, 'tx.select', {});
    await admin.expect('tx.select-ok', 1);
  });

  test('without users is guest’s, and ends with the first user', async () => {
    const bed = await start();
    const client = await bed.open('guest');
    await bed.broker.users.add({ name: 'admin', password: 'admin', tags: ['administrator'] });
    expect((await client.expect('connection.close')).replyCode).toBe(320);
    const again = await bed.connect();
    again.send(PROTOCOL_HEADER);
    await again.expect('connection.start');
    again.startOk({ user: 'guest', capabilities: ['authentication_failure_close'] });
    expect((await again.expect('connection.close')).replyCode).toBe(403);
  });

  test('goes on with another password, which update-secret wants to be right', async () => {
    const bed = await startWithUsers(EVERYTHING);
    const client = await bed.open('app');
    await bed.broker.users.setPassword('app', 'new');
    client.method(1, 'tx.select', {});
    await client.expect('tx.select-ok', 1);
    client.method(0, 'connection.update-secret', { newSecret: Buffer.from('new'), reason: 'rotated' });
    await client.expect('connection.update-secret-ok');
    client.method(0, 'connection.update-secret', { newSecret: Buffer.from('app'), reason: 'rotated' });
    expect((await client.expect('connection.close')).replyCode).toBe(530);
  });
});

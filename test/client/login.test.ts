/** Logins of the SDK at a whole broker: who is let in, what it may do, and what becomes of secrets. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Broker, type BrokerOptions, startBroker } from '../../broker/index.ts';
import { type Client, type ConnectOptions, connect } from '../../client/index.ts';
import { decodeServerFrame, encodeRequest } from '../../src/protocol/frame.ts';
import { HELLO_FRAME_BYTES_MAX, SUBPROTOCOL } from '../../src/protocol/version.ts';
import { Authority } from '../support/certificates.ts';
import { FakeNativeServer } from '../support/fake-native-server.ts';
import { type LogLine, recordingLogger } from '../support/recording-logger.ts';

const EVERYTHING = { configure: '.*', write: '.*', read: '.*' };

async function start(options: Partial<BrokerOptions> = {}) {
  const lines: LogLine[] = [];
  const logger = recordingLogger(lines);
  const broker = await startBroker({ storage: 'memory', kafkaPort: 'off', amqpPort: 'off', logger, ...options });
  onTestFinished(() => broker.close());
  const open = async (login: ConnectOptions = {}, url = broker.addresses.native!): Promise<Client> => {
    const client = await connect(url, login);
    onTestFinished(() => client.close({ timeoutMs: 0 }));
    return client;
  };
  return { broker, lines, open };
}

async function startWithUsers() {
  const bed = await start();
  const { users } = bed.broker;
  await users.add({ name: 'admin', password: 'secret', tags: ['administrator'] });
  await users.add({ name: 'app', password: 'p@ss:word/' });
  return { ...bed, users };
}

describe('a broker without users', () => {
  test('lets in who does not log in, and who would', async () => {
    const { open } = await start();
    for (const login of [{}, { user: 'app', password: 'x' }]) {
      const queue = (await open(login)).queue('q');
      await queue.declare();
    }
  });

  test('closes those connections with the first user, after answering it', async () => {
    const { open, broker } = await start();
    const [one, other] = [await open(), await open()];
    await expect(one.users().add('app', { password: 'x' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await one.users().add('admin', { password: 'secret', tags: ['administrator'] });
    const codeOf = (error: { code: string }): string => error.code;
    for (const client of [one, other]) {
      await expect.poll(() => client.listVirtualHosts().catch(codeOf)).toBe('AUTHENTICATION_FAILED');
    }
    const admin = await open({ user: 'admin', password: 'secret' });
    await admin.users().setPermissions('admin', '/', EVERYTHING);
    await admin.queue('q').declare();
    expect(broker.users.list()).toHaveLength(1);
  });
});

describe('a login', () => {
  test('may stand in the options or in the address', async () => {
    const { open, broker, users } = await startWithUsers();
    await users.setPermissions('app', '/', EVERYTHING);
    const { native } = broker.ports;
    for (const [url, login] of [
      [undefined, { user: 'app', password: 'p@ss:word/' }],
      [`ws://app:p%40ss%3Aword%2F@127.0.0.1:${native}`, {}],
      [`app:p%40ss%3Aword%2F@127.0.0.1:${native}`, {}],
      [`ws://admin:wrong@127.0.0.1:${native}`, { user: 'app', password: 'p@ss:word/' }],
    ] as const) {
      await (await open(login, url)).queue('q').declare();
    }
  });

  test('that is missing, wrong or of nobody is refused at once, and shows in no error or log', async () => {
    const { open, broker, lines } = await startWithUsers();
    const { native } = broker.ports;
    for (const [url, login, text] of [
      [undefined, {}, /wants a login/],
      [undefined, { user: 'app', password: 'hunter2' }, /wrong/],
      [undefined, { user: '__proto__', password: 'hunter2' }, /wrong/],
      [`ws://app:hunter2@127.0.0.1:${native}`, {}, /wrong/],
    ] as const) {
      const failure = open(login, url);
      await expect(failure).rejects.toMatchObject({ code: 'AUTHENTICATION_FAILED' });
      await expect(failure).rejects.toThrow(text);
      await expect(failure).rejects.not.toThrow(/hunter2/);
    }
    expect(lines.filter(({ text }) => text === 'native login refused')).toHaveLength(3);
    expect(JSON.stringify(lines)).not.toContain('hunter2');
    // Nobody listens there, or it is no address at all.
    for (const url of ['ws://app:hunter2@127.0.0.1:1', 'http://app:hunter2@127.0.0.1', 'app:hunter2@:x']) {
      await expect(open({}, url)).rejects.not.toThrow(/hunter2/);
    }
    await expect(open({ user: 'app' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('is sent to who wants one only', async () => {
    for (const loginNeeded of [false, true]) {
      const server = await FakeNativeServer.start({ loginNeeded });
      server.onRequest = (request) => {
        if (request.name === 'authenticate') request.answer('authenticate', {});
      };
      const client = await connect(server.url, { user: 'app', password: 'x' });
      onTestFinished(() => client.close({ timeoutMs: 0 }));
      const sent = server.requests.filter(({ name }) => name === 'authenticate');
      expect(sent.map((request) => request.as('authenticate'))).toEqual(
        loginNeeded ? [{ user: 'app', password: 'x' }] : [],
      );
    }
  });

  test('ends when its user is deleted', async () => {
    const { open, users } = await startWithUsers();
    const app = await open({ user: 'app', password: 'p@ss:word/' });
    const admin = await open({ user: 'admin', password: 'secret' });
    await users.delete('app');
    // What is under way when the connection ends is lost; then it cannot come back.
    const codeOf = (error: { code: string }): string => error.code;
    await expect.poll(() => app.listVirtualHosts().catch(codeOf)).toBe('AUTHENTICATION_FAILED');
    await admin.listVirtualHosts();
  });
});

/** A client that says what it wants. */
class Raw {
  readonly socket: WebSocket;
  readonly errors: number[] = [];
  readonly closed: Promise<number>;
  constructor(broker: Broker) {
    this.socket = new WebSocket(broker.addresses.native!, SUBPROTOCOL);
    onTestFinished(() => this.socket.terminate());
    this.socket.on('error', () => {});
    this.socket.on('message', (data: Buffer) => {
      const frame = decodeServerFrame(data);
      if (frame.kind === 'response') this.errors.push(frame.error?.number ?? 0);
    });
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
  }

  async hello(): Promise<void> {
    await new Promise((resolve) => this.socket.once('open', resolve));
    const hello = { protocolVersionMin: 1, protocolVersionMax: 1, clientId: 'raw', software: 'raw' };
    this.socket.send(encodeRequest('hello', 0, hello));
    await expect.poll(() => this.errors).toEqual([0]);
  }
}

describe('before the login', () => {
  test('nothing else is taken', async () => {
    const { broker } = await startWithUsers();
    const raw = new Raw(broker);
    await raw.hello();
    raw.socket.send(encodeRequest('createVirtualHosts', 1, { names: ['mine'] }));
    expect(await raw.closed).toBe(4003);
    expect(raw.errors).toEqual([0, 170]);
    expect(broker.queues.listVirtualHosts()).toEqual(['/']);
  });

  test('there is one try, what is sent behind it counts if it succeeds, and the memory is small', async () => {
    const { broker } = await startWithUsers();
    const wrong = new Raw(broker);
    await wrong.hello();
    wrong.socket.send(encodeRequest('authenticate', 1, { user: 'app', password: 'x' }));
    wrong.socket.send(encodeRequest('authenticate', 2, { user: 'admin', password: 'secret' }));
    wrong.socket.send(encodeRequest('createVirtualHosts', 3, { names: ['mine'] }));
    expect(await wrong.closed).toBe(4003);
    const right = new Raw(broker);
    await right.hello();
    right.socket.send(encodeRequest('authenticate', 1, { user: 'admin', password: 'secret' }));
    right.socket.send(encodeRequest('createVirtualHosts', 2, { names: ['theirs'] }));
    await expect.poll(() => broker.queues.listVirtualHosts()).toEqual(['/', 'theirs']);
    const large = new Raw(broker);
    await large.hello();
    const password = 'x'.repeat(HELLO_FRAME_BYTES_MAX);
    large.socket.send(encodeRequest('authenticate', 1, { user: 'app', password }));
    expect(await large.closed).toBe(1009);
  });

  test('a client does not stay for ever', async () => {
    const { broker } = await start({ handshakeTimeoutMs: 200 });
    await broker.users.add({ name: 'admin', password: 'secret', tags: ['administrator'] });
    const raw = new Raw(broker);
    await raw.hello();
    expect(await raw.closed).toBe(4000);
  });
});

describe('permissions', () => {
  test('hold for exchanges and queues of the SDK, and change at once', async () => {
    const { open, users } = await startWithUsers();
    const admin = await open({ user: 'admin', password: 'secret' });
    await admin.users().setPermissions('admin', '/', EVERYTHING);
    await admin.queue('q').declare();
    const app = await open({ user: 'app', password: 'p@ss:word/' });
    const refused = { code: 'NOT_AUTHORIZED' };
    await expect(app.queue('q').get()).rejects.toMatchObject({ code: 'VHOST_ACCESS_REFUSED' });
    expect(await app.listVirtualHosts()).toEqual([]);
    await users.setPermissions('app', '/', { configure: '^mine$', write: '^$', read: '^mine$' });
    expect(await app.listVirtualHosts()).toEqual(['/']);
    await app.queue('mine').declare();
    await expect(app.queue('q').get()).rejects.toMatchObject(refused);
    await expect(app.queue('q').purge()).rejects.toMatchObject(refused);
    await expect(app.queue('q').delete()).rejects.toMatchObject(refused);
    await expect(app.queue('mine').publish('x')).rejects.toMatchObject(refused);
    await users.setPermissions('app', '/', { configure: '', write: '^amq\\.default$', read: '' });
    await app.queue('mine').publish('x');
  });

  test('of virtual hosts, users and policies come with tags', async () => {
    const { open, users } = await startWithUsers();
    await users.setPermissions('app', '/', EVERYTHING);
    const app = await open({ user: 'app', password: 'p@ss:word/' });
    const refused = { code: 'NOT_AUTHORIZED' };
    const policy = { pattern: '.', definition: { 'max-length': 1 } };
    await expect(app.virtualHost('mine').create()).rejects.toMatchObject(refused);
    await expect(app.virtualHost('/').delete()).rejects.toMatchObject(refused);
    await expect(app.virtualHost().setPolicy('p', policy)).rejects.toMatchObject(refused);
    await expect(app.virtualHost().deletePolicy('p')).rejects.toMatchObject(refused);
    for (const asked of [
      app.users().add('more', { password: 'x' }),
      app.users().delete('admin'),
      app.users().setPassword('admin', 'x'),
      app.users().setTags('app', ['administrator']),
      app.users().setPermissions('app', '/', EVERYTHING),
      app.users().deletePermissions('admin', '/'),
      app.users().list(),
    ]) {
      await expect(asked).rejects.toMatchObject(refused);
    }
    await users.setTags('app', ['policymaker']);
    await app.virtualHost().setPolicy('p', policy);
    await users.setTags('app', ['administrator']);
    await app.virtualHost('mine').create();
    expect((await app.users().list()).map(({ name }) => name)).toEqual(['admin', 'app']);
  });
});

test('over TLS the listener is the same (wss)', async () => {
  const authority = new Authority('ours');
  const server = authority.issue('server', '/CN=localhost');
  const { broker } = await start({ tlsPort: 0, tlsCert: server.certFile, tlsKey: server.keyFile });
  const open = (ca: Buffer): Promise<WebSocket> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(broker.addresses.nativeTls!, SUBPROTOCOL, { ca });
      onTestFinished(() => socket.terminate());
      socket.once('open', () => resolve(socket));
      socket.once('error', reject);
    });
  const socket = await open(authority.certificate.cert);
  const hello = { protocolVersionMin: 1, protocolVersionMax: 1, clientId: 'raw', software: 'raw' };
  socket.send(encodeRequest('hello', 0, hello));
  const answer = await new Promise<Buffer>((resolve) => socket.once('message', resolve));
  expect(decodeServerFrame(answer)).toMatchObject({ kind: 'response', correlationId: 0, error: undefined });
  await expect(open(new Authority('theirs').certificate.cert)).rejects.toThrow(/certificate|issuer|signature/i);
  // Closing does not wait for who does not answer.
  await broker.close();
});

/** TLS of the AMQP and native listeners, with certificates of both sides. */
import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import amqplib from 'amqplib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Broker, type BrokerOptions, startBroker } from '../../broker/index.ts';
import { TlsAcceptor } from '../../broker/listeners/tls-acceptor.ts';
import { TlsCertificates } from '../../broker/listeners/tls-certificates.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { Authority, type Certificate } from '../support/certificates.ts';
import { type LogLine, recordingLogger } from '../support/recording-logger.ts';

const EVERYTHING = { configure: '.*', write: '.*', read: '.*' };

async function start(server: Certificate, options: Partial<BrokerOptions> = {}) {
  const lines: LogLine[] = [];
  const broker = await startBroker({
    storage: 'memory',
    port: 'off',
    kafkaPort: 'off',
    amqpTlsPort: 0,
    tlsCert: server.certFile,
    tlsKey: server.keyFile,
    logger: recordingLogger(lines),
    ...options,
  });
  onTestFinished(() => broker.close());
  return { broker, lines };
}

async function connect(broker: Broker, options: tls.ConnectionOptions, login = 'guest:guest@') {
  const socketOptions: Record<string, unknown> = { ...options };
  const connection = await amqplib.connect(`amqps://${login}127.0.0.1:${broker.ports.amqpTls}`, socketOptions);
  connection.on('error', () => {});
  onTestFinished(async () => {
    await connection.close().catch(() => {});
  });
  return connection;
}

describe('AMQP over TLS', () => {
  test('is AMQP', async () => {
    const authority = new Authority('ours');
    const { broker } = await start(authority.issue('server', '/CN=localhost'));
    const connection = await connect(broker, { ca: authority.certificate.cert });
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('q');
    const body = Buffer.alloc(3_000_000, 'x');
    channel.sendToQueue('q', body);
    await channel.waitForConfirms();
    const got = await channel.get('q', { noAck: true });
    expect(got !== false && got.content.equals(body)).toBe(true);
  });

  test('shows a certificate that clients of another authority do not believe', async () => {
    const { broker, lines } = await start(new Authority('ours').issue('server', '/CN=localhost'));
    const stranger = new Authority('theirs').certificate.cert;
    await expect(connect(broker, { ca: stranger })).rejects.toMatchObject({
      code: expect.stringMatching(/CERT|SIGNATURE|ISSUER/) as string,
    });
    await expect.poll(() => lines.some(({ text }) => text === 'tls handshakes failed'), { timeout: 5000 }).toBe(true);
  });

  test('wants TLS first, and lets nobody sit in the handshake', async () => {
    const authority = new Authority('ours');
    const { broker } = await start(authority.issue('server', '/CN=localhost'), { handshakeTimeoutMs: 50 });
    for (const bytes of [Buffer.from('AMQP\0\0\x09\x01', 'latin1'), Buffer.alloc(0)]) {
      const socket = net.connect(broker.ports.amqpTls!, '127.0.0.1');
      socket.on('error', () => {});
      socket.resume();
      if (bytes.length > 0) socket.write(bytes);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await connect(broker, { ca: authority.certificate.cert });
  });

  test('counts handshakes as connections, and gives their places back', async () => {
    const authority = new Authority('ours');
    const { broker } = await start(authority.issue('server', '/CN=localhost'), { connectionsMax: 2 });
    const idle = Array.from({ length: 2 }, () => net.connect(broker.ports.amqpTls!, '127.0.0.1'));
    await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    await expect(connect(broker, { ca: authority.certificate.cert })).rejects.toThrow();
    for (const socket of idle) socket.destroy();
    await expect
      .poll(
        () =>
          connect(broker, { ca: authority.certificate.cert }).then(
            () => 'connected',
            () => 'refused',
          ),
        { timeout: 5000 },
      )
      .toBe('connected');
  });
});

describe('a certificate of a client', () => {
  async function startWithUsers(options: Partial<BrokerOptions>) {
    const authority = new Authority('ours');
    const server = authority.issue('server', '/CN=localhost');
    const bed = await start(server, { tlsCa: authority.certificate.certFile, ...options });
    const { users } = bed.broker;
    await users.add({ name: 'admin', password: 'secret', tags: ['administrator'] });
    for (const name of ['device-7', 'CN=device-7,O=acme\\, inc.']) {
      await users.add({ name });
      await users.setPermissions(name, '/', EVERYTHING);
    }
    const ca = authority.certificate.cert;
    const asClient = (certificate: Certificate) =>
      amqplib.connect(`amqps://127.0.0.1:${bed.broker.ports.amqpTls}`, {
        ...{ ca, cert: certificate.cert, key: certificate.key },
        credentials: amqplib.credentials.external(),
      });
    const use = async (certificate: Certificate): Promise<string> => {
      const connection = await asClient(certificate);
      onTestFinished(() => connection.close());
      const channel = await connection.createChannel();
      return (await channel.assertQueue('', { exclusive: true })).queue;
    };
    return { ...bed, authority, ca, asClient, use };
  }

  test('is a login, by its common name (EXTERNAL)', async () => {
    const { authority, use, asClient, lines } = await startWithUsers({});
    expect(await use(authority.issue('device', '/O=acme/CN=device-7'))).toMatch(/^amq\.gen-/);
    expect(lines.find(({ text }) => text === 'amqp connection open')!.fields['user']).toBe('device-7');
    await expect(asClient(authority.issue('other', '/CN=device-8'))).rejects.toThrow(/ACCESS_REFUSED/);
    // Who has no name, or more than one, is nobody.
    await expect(asClient(authority.issue('two', '/CN=device-7/CN=admin'))).rejects.toThrow(/EXTERNAL|mechanism/);
    await expect(asClient(authority.issue('none', '/O=acme'))).rejects.toThrow(/EXTERNAL|mechanism/);
  });

  test('is a login by its distinguished name, if wanted', async () => {
    const { authority, use } = await startWithUsers({ tlsCertLoginFrom: 'distinguished-name' });
    expect(await use(authority.issue('device', '/O=acme, inc./CN=device-7'))).toMatch(/^amq\.gen-/);
  });

  test('of another authority proves nothing; a password still does', async () => {
    const { asClient, broker, ca } = await startWithUsers({});
    const forged = new Authority('theirs').issue('device', '/CN=device-7');
    await expect(asClient(forged)).rejects.toThrow(/EXTERNAL|mechanism/);
    await broker.users.setPermissions('admin', '/', EVERYTHING);
    await connect(broker, { ca, cert: forged.cert, key: forged.key }, 'admin:secret@');
  });

  test('can be required', async () => {
    const { authority, broker, ca, use } = await startWithUsers({ tlsRequireClientCert: true });
    await broker.users.setPermissions('admin', '/', EVERYTHING);
    await expect(connect(broker, { ca }, 'admin:secret@')).rejects.toThrow();
    const forged = new Authority('theirs').issue('device', '/CN=device-7');
    await expect(connect(broker, { ca, cert: forged.cert, key: forged.key }, 'admin:secret@')).rejects.toThrow();
    await use(authority.issue('device', '/CN=device-7'));
  });
});

describe('the files of a certificate', () => {
  test('that cannot be used refuse the start, and show nothing of the key', async () => {
    const authority = new Authority('ours');
    const server = authority.issue('server', '/CN=localhost');
    const other = authority.issue('other', '/CN=localhost');
    for (const wrong of [{ tlsCert: '/nonexistent.pem' }, { tlsKey: server.certFile }, { tlsKey: other.keyFile }]) {
      const failure = start(server, wrong);
      await expect(failure).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
      await expect(failure).rejects.not.toThrow(/PRIVATE|BEGIN/);
    }
  });

  test('are read again when they change, for new connections only, and kept while they are wrong', async () => {
    const authority = new Authority('ours');
    const server = authority.issue('server', '/CN=localhost');
    const clock = new ManualClock();
    const lines: LogLine[] = [];
    const files = { cert: server.certFile, key: server.keyFile, ca: undefined };
    const certificates = await TlsCertificates.open(files, clock, recordingLogger(lines));
    onTestFinished(() => certificates.close());
    const port = await serve(certificates, clock);
    const first = await serialShown(port, authority);
    const next = authority.issue('next', '/CN=localhost');
    // In the midst of a renewal: the certificate is new, and the key is not.
    fs.copyFileSync(next.certFile, server.certFile);
    clock.advance(10_000);
    await expect.poll(() => lines.length).toBe(1);
    expect(lines[0]!.text).toMatch(/cannot be used; the old one stays/);
    expect((await serialShown(port, authority)).serial).toBe(first.serial);
    fs.copyFileSync(next.keyFile, server.keyFile);
    await expect
      .poll(() => {
        clock.advance(10_000);
        return lines.at(-1)!.text;
      })
      .toBe('tls certificate read again');
    expect((await serialShown(port, authority)).serial).not.toBe(first.serial);
    first.socket.write('still here');
    expect(await new Promise((resolve) => first.socket.once('data', (bytes) => resolve(String(bytes))))).toBe(
      'still here',
    );
  });
});

/** Gives back what it gets. */
async function serve(certificates: TlsCertificates, clock: ManualClock): Promise<number> {
  const acceptor = new TlsAcceptor({
    certificates,
    clientCertificates: 'none',
    handshakeTimeoutMs: 1000,
    onSecure: (socket) => socket.pipe(socket).on('error', () => {}),
    onFailed: () => {},
  });
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    acceptor.accept(socket, clock.monotonic());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    acceptor.close();
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as net.AddressInfo).port;
}

async function serialShown(port: number, { certificate }: Authority) {
  const socket = tls.connect({ port, host: '127.0.0.1', ca: certificate.cert });
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return { socket, serial: socket.getPeerCertificate().serialNumber };
}

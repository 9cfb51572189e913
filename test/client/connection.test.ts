import { expect, onTestFinished, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { systemClientClock } from '../../client/clock.ts';
import { Connection, type ConnectionOptions } from '../../client/connection.ts';
import { openSocket } from '../../client/socket.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { type FakeNativeRequest, FakeNativeServer } from '../support/fake-native-server.ts';

async function errorOf(promise: Promise<unknown>): Promise<BurrowError> {
  const thrown = await promise.then(
    () => undefined,
    (error) => error,
  );
  expect(thrown).toBeInstanceOf(BurrowError);
  return thrown as BurrowError;
}

function connectionTo(addresses: string | string[], options: Partial<ConnectionOptions> = {}): Connection {
  const connection = new Connection(typeof addresses === 'string' ? [addresses] : addresses, {
    clientId: 'test',
    backoff: { initialMs: 5, maxMs: 20 },
    connectTimeoutMs: 2000,
    frameBytesMax: 1024 * 1024,
    clock: systemClientClock,
    openSocket,
    ...options,
  });
  onTestFinished(() => connection.close());
  return connection;
}

/** Any request with a text in it will do. */
async function ask(connection: Connection, text: string, timeoutMs = 5000): Promise<string> {
  const { topics } = await connection.request('deleteTopics', { names: [text] }, timeoutMs);
  return topics[0]!.name;
}

function textOf(request: FakeNativeRequest): string {
  return request.as('deleteTopics').names[0]!;
}

function answer(request: FakeNativeRequest, text = textOf(request)): void {
  request.answer('deleteTopics', { topics: [{ name: text, errorNumber: 0, message: null }] });
}

async function echoServer(): Promise<FakeNativeServer> {
  const server = await FakeNativeServer.start();
  server.onRequest = (request) => answer(request);
  return server;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test('requests are pipelined, and each gets its own answer whatever their order', async () => {
  const server = await FakeNativeServer.start();
  const connection = connectionTo(server.url);
  const requests = ['a', 'b', 'c'].map((body) => ask(connection, body));
  await until(() => server.requests.length === 3);
  expect(server.requests.map(textOf)).toEqual(['a', 'b', 'c']);
  for (const request of [...server.requests].reverse()) answer(request, `${textOf(request)}!`);
  expect(await Promise.all(requests)).toEqual(['a!', 'b!', 'c!']);
});

test('an error answer rejects with the broker’s code', async () => {
  const server = await FakeNativeServer.start();
  server.onRequest = (request) => request.fail('NOT_LEADER', 'Ask node 3.');
  const error = await errorOf(ask(connectionTo(server.url), 'a'));
  expect([error.code, error.message, error.retriable]).toEqual(['NOT_LEADER', 'Ask node 3.', true]);
});

test('nobody at the address: CONNECTION_FAILED names it and says what to check', async () => {
  const server = await FakeNativeServer.start();
  const { url } = server;
  await server.close();
  const error = await errorOf(connectionTo(url).ready(0));
  expect(error.code).toBe('CONNECTION_FAILED');
  expect(error.message).toContain(url);
  expect(error.message).toContain('ECONNREFUSED');
  expect(error.message).toContain('that the broker runs');
});

test('a server that is no broker, one that stays silent, and one that talks nonsense are told apart', async () => {
  const http = await import('node:http');
  const web = http.createServer((_, response) => response.end('hello'));
  web.on('upgrade', (_, socket) => socket.end('HTTP/1.1 404 Not Found\r\n\r\n'));
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void web.close());
  const webUrl = `ws://127.0.0.1:${(web.address() as { port: number }).port}`;
  expect((await errorOf(connectionTo(webUrl).ready(0))).message).toContain('HTTP 404');

  const silent = await FakeNativeServer.start();
  silent.onHello = () => {};
  const error = await errorOf(connectionTo(silent.url, { connectTimeoutMs: 50 }).ready(0));
  expect(error.message).toContain('no answer within 50 ms');

  const babbling = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  onTestFinished(() => void babbling.close());
  babbling.on('connection', (socket) => socket.send(Buffer.from([0xc1, 1, 2])));
  await new Promise((resolve) => babbling.on('listening', resolve));
  const babblingUrl = `ws://127.0.0.1:${(babbling.address() as { port: number }).port}`;
  expect((await errorOf(connectionTo(babblingUrl).ready(0))).code).toBe('CONNECTION_FAILED');
});

test('of several addresses the first that answers is used', async () => {
  const gone = await FakeNativeServer.start();
  await gone.close();
  const server = await echoServer();
  const connection = connectionTo([gone.url, server.url]);
  expect(await ask(connection, 'a')).toBe('a');
});

test('a refused handshake is reported as the broker said it, at once', async () => {
  const server = await FakeNativeServer.start();
  server.onHello = (request) => request.fail('UNSUPPORTED_VERSION', 'Only version 9 here.');
  const connection = connectionTo(server.url);
  const ready = errorOf(connection.ready(60_000));
  const request = errorOf(ask(connection, 'a', 60_000));
  expect((await ready).code).toBe('UNSUPPORTED_VERSION');
  expect((await request).code).toBe('UNSUPPORTED_VERSION');
});

test('a broken connection fails what is in flight with CONNECTION_LOST, keeps what was not written, and comes back', async () => {
  const server = await FakeNativeServer.start({ inFlightRequestsMax: 2 });
  const connection = connectionTo(server.url);
  const lost = [errorOf(ask(connection, 'a')), errorOf(ask(connection, 'b'))];
  const kept = ask(connection, 'c');
  await until(() => server.requests.length === 2);
  server.onRequest = (request) => answer(request);
  server.dropConnections();
  for (const error of lost) expect((await error).code).toBe('CONNECTION_LOST');
  expect(await kept).toBe('c');
  expect(server.helloCount).toBe(2);
});

test('no more requests are in flight than the broker allows', async () => {
  const server = await FakeNativeServer.start({ inFlightRequestsMax: 3 });
  const connection = connectionTo(server.url);
  const requests = Array.from({ length: 10 }, (_, index) => ask(connection, `${index}`));
  for (let answered = 0; answered < 10; answered += 1) {
    await until(() => server.requests.length > answered);
    await new Promise((resolve) => setTimeout(resolve, 2));
    expect(server.requests.length).toBeLessThanOrEqual(answered + 3);
    answer(server.requests[answered]!);
  }
  expect(await Promise.all(requests)).toEqual([...'0123456789']);
});

test('a request that is not answered in time fails, and the connection is opened anew', async () => {
  const server = await FakeNativeServer.start();
  const connection = connectionTo(server.url);
  await connection.ready(0);
  const slow = errorOf(ask(connection, 'slow', 30));
  const behind = errorOf(ask(connection, 'behind'));
  expect((await slow).code).toBe('REQUEST_TIMED_OUT');
  expect((await behind).code).toBe('CONNECTION_LOST');
  server.onRequest = (request) => answer(request);
  expect(await ask(connection, 'again')).toBe('again');
});

test('a request that cannot be written in time fails with CONNECTION_FAILED: it was never sent', async () => {
  const server = await FakeNativeServer.start();
  const { url } = server;
  await server.close();
  const error = await errorOf(ask(connectionTo(url), 'a', 50));
  expect(error.code).toBe('CONNECTION_FAILED');
  expect(error.message).toContain(url);
});

test('a request larger than the broker accepts is refused alone', async () => {
  const server = await FakeNativeServer.start({ frameBytesMax: 100 });
  server.onRequest = (request) => answer(request);
  const connection = connectionTo(server.url);
  expect((await errorOf(ask(connection, 'x'.repeat(200)))).code).toBe('FRAME_TOO_LARGE');
  expect(await ask(connection, 'a')).toBe('a');
});

test('a message larger than the client accepts ends the connection, not the process', async () => {
  const server = await FakeNativeServer.start();
  server.onRequest = () => server.sendRaw(new Uint8Array(3_000_000));
  expect((await errorOf(ask(connectionTo(server.url), 'a'))).code).toBe('CONNECTION_LOST');
});

test('after the broker said that it goes away, answers still come, and new requests go to the next connection', async () => {
  const server = await FakeNativeServer.start();
  const connection = connectionTo(server.url);
  const first = ask(connection, 'first');
  await until(() => server.requests.length === 1);
  server.sayGoingAway();
  await new Promise((resolve) => setTimeout(resolve, 10));
  const second = ask(connection, 'second');
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(server.requests).toHaveLength(1);
  answer(server.requests[0]!, 'done');
  expect(await first).toBe('done');
  await until(() => server.requests.length === 2);
  answer(server.requests[1]!, 'done, too');
  expect(await second).toBe('done, too');
  expect(server.helloCount).toBe(2);
});

test('close fails everything under way with CLIENT_CLOSED, at any moment, and twice is as good as once', async () => {
  const server = await FakeNativeServer.start({ inFlightRequestsMax: 1 });
  const opening = connectionTo(server.url);
  const early = [errorOf(opening.ready(5000)), errorOf(ask(opening, 'a'))];
  opening.close();
  const open = connectionTo(server.url);
  await open.ready(0);
  const late = [errorOf(ask(open, 'a')), errorOf(ask(open, 'b'))];
  await until(() => server.requests.length === 1);
  open.close();
  open.close();
  for (const error of [...early, ...late]) expect((await error).code).toBe('CLIENT_CLOSED');
  expect((await errorOf(ask(open, 'c'))).code).toBe('CLIENT_CLOSED');
  expect((await errorOf(open.ready(0))).code).toBe('CLIENT_CLOSED');
  await until(() => server.connectionCount === 0);
});

test('garbage in the midst of a session ends the connection with typed errors', async () => {
  const server = await FakeNativeServer.start();
  const connection = connectionTo(server.url);
  for (const garbage of [[0xc1], [], [0x92, 0x00], [0xdd, 0xff, 0xff, 0xff, 0xff], [0x94, 0, 0xc0, 0xc0, 0xc0]]) {
    const lost = errorOf(ask(connection, 'a'));
    const before = server.requests.length;
    await until(() => server.requests.length > before);
    server.sendRaw(Uint8Array.from(garbage));
    expect((await lost).code).toBe('CONNECTION_LOST');
  }
});

import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { normalizeRules, refuseUpgrade } from '../../../broker/listeners/native/upgrade-check.ts';
import { eventually, RawClient, startTarget, TestClient, upgradeRequest } from './native-client.ts';

const rules = normalizeRules({
  allowedOrigins: ['https://App.Example/', 'http://localhost:3000', 'https://shop.example:443', 'null'],
  allowedHosts: ['Broker.Example', 'queue.internal:7420'],
  boundHost: 'Node-1',
});

function verdict(host: string | undefined, origin?: string): 'taken' | 'refused' {
  return refuseUpgrade({ host, origin }, rules) === undefined ? 'taken' : 'refused';
}

describe('Host', () => {
  test.each([
    '127.0.0.1',
    '127.0.0.1:7420',
    '10.1.2.3:7420',
    '[::1]',
    '[::1]:7420',
    '[FE80::1]:7420',
    '[::ffff:127.0.0.1]:1',
    'localhost',
    'LOCALHOST:7420',
    'broker.example',
    'BROKER.example:80',
    'queue.internal:1',
    'node-1:7420',
    'NODE-1',
  ])('%s is known', (host) => {
    expect(verdict(host)).toBe('taken');
  });

  test.each([
    undefined,
    '',
    ' ',
    'evil.example',
    'evil.example:7420',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    'localhost.',
    'xlocalhost',
    'localhost@evil.example',
    'evil.example@localhost',
    'user:pass@127.0.0.1',
    'user:pass@localhost:7420',
    '127.0.0.1:7420:80',
    '127.0.0.1:',
    '127.0.0.1:port',
    '127.0.0.1:999999',
    'localhost/evil',
    'evil.example/127.0.0.1',
    'localhost localhost',
    'localhost, evil.example',
    '127.1',
    '2130706433',
    '0x7f.0.0.1',
    '[::1',
    '::1',
    '[::1]evil',
    '[evil.example]',
    '[fe80::1%25eth0]',
    '__proto__',
    'constructor',
  ])('%s is not known', (host) => {
    expect(verdict(host)).toBe('refused');
  });
});

describe('Origin', () => {
  test.each([
    ['127.0.0.1:7420', undefined],
    ['127.0.0.1:7420', 'http://127.0.0.1:7420'],
    ['127.0.0.1:7420', 'https://127.0.0.1:7420'],
    ['[::1]:7420', 'http://[::1]:7420'],
    ['127.0.0.1:7420', 'https://app.example'],
    ['127.0.0.1:7420', 'https://shop.example'],
    ['127.0.0.1:7420', 'http://localhost:3000'],
    ['127.0.0.1:7420', 'null'],
  ])('to %s from %s is allowed', (host, origin) => {
    expect(verdict(host, origin)).toBe('taken');
  });

  test.each([
    '',
    'https://evil.example',
    'http://app.example',
    'https://app.example:8443',
    'https://app.example.evil.example',
    'https://sub.app.example',
    'https://app.example@evil.example',
    'https://evil.example/https://app.example',
    'http://localhost',
    'http://127.0.0.1',
    'http://127.0.0.1:3000',
    'http://user@127.0.0.1:7420',
    'file://',
    'http://127.0.0.1:7420, https://evil.example',
  ])('from %s is not allowed', (origin) => {
    expect(verdict('127.0.0.1:7420', origin)).toBe('refused');
  });

  test('null, which sandboxed pages send, needs to be on the list', () => {
    const strict = normalizeRules({ allowedOrigins: [], allowedHosts: [], boundHost: '127.0.0.1' });
    expect(refuseUpgrade({ host: 'localhost', origin: 'null' }, strict)).toContain('Origin "null" is not allowed');
  });
});

async function answerTo(port: number, request: string): Promise<string> {
  const client = new RawClient(port);
  client.write(request);
  await client.closed;
  return client.text;
}

describe('over a socket', () => {
  test('a page of another origin is refused by name, and the log tells', async () => {
    const { port, logLines } = await startTarget();
    const text = await answerTo(port, upgradeRequest(port, { origin: 'https://evil.example' }));
    expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(text).toContain('ORIGIN_NOT_ALLOWED: Origin "https://evil.example" is not allowed.');
    expect(logLines).toMatchObject([{ code: 'ORIGIN_NOT_ALLOWED', text: 'connection refused' }]);
  });

  test.each([
    ['a name that was bound to this address', { host: 'rebound.evil.example' }, 403, 'ORIGIN_NOT_ALLOWED: Host'],
    ['no Host', { host: undefined }, 403, 'ORIGIN_NOT_ALLOWED: The request has no Host header.'],
    ['no subprotocol', { 'sec-websocket-protocol': undefined }, 400, 'Ask for the WebSocket subprotocol burrow.v1.'],
    ['another subprotocol', { 'sec-websocket-protocol': 'burrow.v2, mqtt' }, 400, 'UNSUPPORTED_VERSION: Ask for'],
    ['a broken list of subprotocols', { 'sec-websocket-protocol': 'burrow.v1,,' }, 400, ''],
    ['no key', { 'sec-websocket-key': undefined }, 400, ''],
    ['an unknown version', { 'sec-websocket-version': '99' }, 400, ''],
    ['another upgrade', { upgrade: 'h2c' }, 400, ''],
  ])('%s is refused', async (_, headers, status, text) => {
    const { port } = await startTarget();
    const answer = await answerTo(port, upgradeRequest(port, headers));
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toContain(text);
  });

  test('a request without Host in HTTP/1.0 is refused', async () => {
    const { port } = await startTarget();
    const request = upgradeRequest(port, { host: undefined }).replace('HTTP/1.1', 'HTTP/1.0');
    expect(await answerTo(port, request)).not.toContain('101');
  });

  test('the subprotocol may be one of several, and only it is accepted', async () => {
    const { port } = await startTarget();
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}`, ['other', 'burrow.v1']);
    await new Promise((resolve) => webSocket.once('open', resolve));
    expect(webSocket.protocol).toBe('burrow.v1');
    webSocket.terminate();
  });

  test('plain HTTP is told what the port is for', async () => {
    const { port } = await startTarget();
    const response = await fetch(`http://127.0.0.1:${port}/`);
    expect([response.status, response.headers.get('upgrade')]).toEqual([426, 'websocket']);
    expect(await response.text()).toContain('subprotocol burrow.v1');
  });

  test('garbage in the place of HTTP is answered 400', async () => {
    const { port } = await startTarget();
    expect(await answerTo(port, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n')).toContain('HTTP/1.1 400');
  });
});

describe('sockets that never become connections', () => {
  test('one that says nothing is closed after the handshake time', async () => {
    const { port } = await startTarget({ limits: { handshakeTimeoutMs: 100 } });
    const startMs = performance.now();
    const client = new RawClient(port);
    await client.closed;
    expect(performance.now() - startMs).toBeGreaterThan(90);
    expect(client.text).toMatch(/^(HTTP\/1\.1 408|$)/);
  });

  test('one that sends its headers byte by byte is closed after the handshake time', async () => {
    const { port } = await startTarget({ limits: { handshakeTimeoutMs: 150 } });
    const client = new RawClient(port);
    const timer = setInterval(() => client.write('x'), 10);
    client.write('GET / HTTP/1.1\r\nx: ');
    await client.closed;
    clearInterval(timer);
    expect(client.text).toMatch(/^(HTTP\/1\.1 408|$)/);
  });

  test('one that was refused and keeps its half open is not kept', async () => {
    const { port, listener } = await startTarget();
    const client = new RawClient(port, { allowHalfOpen: true });
    client.write(upgradeRequest(port, { origin: 'https://evil.example' }));
    await eventually(() => client.text.includes('403'));
    const startMs = performance.now();
    await listener.close(3000);
    expect(performance.now() - startMs).toBeLessThan(1000);
  });

  test('count against the limit of their address, so that they cannot be gathered', async () => {
    const { port, logLines } = await startTarget({ limits: { connectionsPerIpMax: 10, handshakeTimeoutMs: 1000 } });
    const clients = Array.from({ length: 120 }, () => new RawClient(port));
    await eventually(() => clients.filter(({ isClosed }) => isClosed).length >= 120 - 10 - 64);
    expect(clients.filter(({ isClosed }) => !isClosed).length).toBe(74);
    await eventually(() => logLines.some(({ text }) => text === 'connections turned away'));
    await Promise.all(clients.map(({ closed }) => closed));
    const late = await TestClient.open(port);
    expect(late.webSocket.readyState).toBe(WebSocket.OPEN);
  });
});

describe('connections beyond a limit', () => {
  test.each([
    ['of one address', { connectionsPerIpMax: 3 }],
    ['of all', { connectionsMax: 3 }],
  ])('%s are refused by name until one has gone', async (_, limits) => {
    const { port, listener } = await startTarget({ limits });
    const clients = await Promise.all([1, 2, 3].map(() => TestClient.open(port)));
    const text = await answerTo(port, upgradeRequest(port));
    expect(text).toMatch(/^HTTP\/1\.1 503 /);
    expect(text).toContain('CONNECTION_LIMIT: The listener has as many connections as it may.');
    clients[0]!.webSocket.close();
    await eventually(() => listener.connectionCount === 2);
    await TestClient.open(port);
    expect(listener.connectionCount).toBe(3);
  });

  test('are refused however many ask at the same moment', async () => {
    const { port, listener } = await startTarget({ limits: { connectionsPerIpMax: 5 } });
    const clients = Array.from({ length: 60 }, () => {
      const client = new RawClient(port);
      client.write(upgradeRequest(port));
      return client;
    });
    await eventually(() => clients.every(({ text }) => text.includes('\r\n\r\n')));
    expect(clients.filter(({ text }) => text.includes(' 101 ')).length).toBeLessThanOrEqual(5);
    expect(listener.connectionCount).toBeLessThanOrEqual(5);
  });
});

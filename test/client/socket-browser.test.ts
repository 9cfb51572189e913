import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { systemClientClock } from '../../client/clock.ts';
import { Connection } from '../../client/connection.ts';
import { openSocket } from '../../client/socket.browser.ts';
import { FakeNativeServer } from '../support/fake-native-server.ts';

// The same interface as a browser's, with this machine's sockets behind it.
function usePlatformWebSocket(): void {
  const scope = globalThis as { WebSocket?: unknown };
  const before = scope.WebSocket;
  scope.WebSocket = WebSocket;
  onTestFinished(() => {
    scope.WebSocket = before;
  });
}

function connectionTo(url: string): Connection {
  const connection = new Connection([url], {
    clientId: 'browser',
    backoff: { initialMs: 5, maxMs: 20 },
    connectTimeoutMs: 2000,
    frameBytesMax: 100_000,
    clock: systemClientClock,
    openSocket,
  });
  onTestFinished(() => connection.close());
  return connection;
}

test('requests, notices and large answers go over the platform’s WebSocket as over that of Node', async () => {
  usePlatformWebSocket();
  const server = await FakeNativeServer.start();
  server.onRequest = (request) => {
    if (request.name !== 'deleteTopics') return;
    const name = request.as('deleteTopics').names[0]!;
    if (name === 'large') server.sendRaw(new Uint8Array(200_000));
    else request.answer('deleteTopics', { topics: [{ name, errorNumber: 0, message: null }] });
  };
  const connection = connectionTo(server.url);
  const ask = (name: string) => connection.request('deleteTopics', { names: [name] }, 5000);
  expect((await ask('a')).topics[0]?.name).toBe('a');
  await connection.notify('produce', { acks: 0, timeoutMs: 0, partitions: [] }, 5000);
  await expect(ask('large')).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
  expect((await ask('b')).topics[0]?.name).toBe('b');
  server.dropConnections();
  expect((await ask('c').catch(() => ask('c'))).topics[0]?.name).toBe('c');
});

test('nobody at the address is a typed error there, too', async () => {
  usePlatformWebSocket();
  const server = await FakeNativeServer.start();
  await server.close();
  await expect(connectionTo(server.url).ready(0)).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
});

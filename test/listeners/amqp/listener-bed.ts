/** A listener with a fake backend, closed with the test that began it. */
import { onTestFinished } from 'vitest';
import {
  type AmqpListener,
  type AmqpListenerOptions,
  startAmqpListener,
} from '../../../broker/listeners/amqp/amqp-listener.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { type LogLine, recordingLogger } from '../../support/recording-logger.ts';
import { FakeBackend, type FakeChannel, guestAuthenticator } from './fake-backend.ts';
import { RawClient } from './raw-client.ts';

export interface ListenerBed {
  readonly listener: AmqpListener;
  readonly backend: FakeBackend;
  readonly clock: ManualClock;
  readonly lines: LogLine[];
  /** Connected and nothing sent. */
  connect(options?: { cut: boolean }): Promise<RawClient>;
  /** Logged in, connection open. */
  open(options?: Parameters<typeof RawClient.open>[1]): Promise<RawClient>;
}

export async function startBed(options: Partial<AmqpListenerOptions<FakeChannel>> = {}): Promise<ListenerBed> {
  const backend = new FakeBackend();
  const clock = new ManualClock();
  const lines: LogLine[] = [];
  const listener = await startAmqpListener({
    backend,
    host: '127.0.0.1',
    port: 0,
    logger: recordingLogger(lines),
    clock,
    software: 'burrowmq/1.2.3',
    clusterId: 'cluster',
    authenticator: guestAuthenticator,
    ...options,
  });
  const clients: RawClient[] = [];
  onTestFinished(async () => {
    for (const client of clients) client.socket.destroy();
    await listener.close();
  });
  const kept = async (connecting: Promise<RawClient>): Promise<RawClient> => {
    const client = await connecting;
    clients.push(client);
    return client;
  };
  return {
    listener,
    backend,
    clock,
    lines,
    connect: (connectOptions) => kept(RawClient.connect(listener.port, connectOptions)),
    open: (openOptions) => kept(RawClient.open(listener.port, openOptions)),
  };
}

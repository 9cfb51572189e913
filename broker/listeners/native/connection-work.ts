/** What a connection works with, once it is known who its client is: the services as that one may use them. */
import type { Clock } from '../../ports/clock.ts';
import type { HandlerContext, Peer } from './handler.ts';
import type { NativeServices } from './native-access.ts';
import type { NativeLimits } from './native-limits.ts';
import { PushStreams } from './push-streams.ts';
import { QueueChannels } from './queue-channels.ts';
import { QueueSessions } from './queue-sessions.ts';

export interface ConnectionWork {
  readonly context: HandlerContext;
  readonly streams: PushStreams;
  readonly queueSessions: QueueSessions;
  readonly queueChannels: QueueChannels;
}

/** What it needs of its connection. */
export interface WorkHost {
  readonly services: NativeServices;
  readonly clock: Clock;
  readonly limits: NativeLimits;
  readonly peer: Peer;
  send(parts: readonly Uint8Array[], onTaken: () => void): void;
  onTaken(): void;
  owesTooMuch(): boolean;
  isOpen(): boolean;
  onUnexpected(text: string, error: unknown): void;
}

export function openWork(host: WorkHost): ConnectionWork {
  const { clock, limits, peer } = host;
  const { queueService, ...services } = host.services;
  const streams = new PushStreams({
    service: services.service,
    limits,
    send: (parts, onTaken) => host.send(parts, onTaken),
    owesTooMuch: () => host.owesTooMuch(),
    onTaken: () => host.onTaken(),
    onUnexpected: (error) => host.onUnexpected('pushing failed', error),
  });
  const queueSessions = new QueueSessions({
    service: queueService,
    onEnded: (virtualHost, error) => queueChannels.endAll(virtualHost, error),
    onUnexpected: (error) => host.onUnexpected('closing a session failed', error),
  });
  const queueChannels = new QueueChannels({
    sessions: queueSessions,
    limits,
    send: (parts) => host.send(parts, () => host.onTaken()),
    // Who is told to leave settles nothing any more.
    owesTooMuch: () => !host.isOpen() || host.owesTooMuch(),
    onUnexpected: (error) => host.onUnexpected('publishing failed', error),
  });
  return {
    context: { ...services, queues: queueSessions, clock, limits, peer },
    streams,
    queueSessions,
    queueChannels,
  };
}

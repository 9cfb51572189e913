/** Starts the listeners that are on, and tells each its limits. Their code is loaded here, so that what is off costs nothing. */

import type { BurrowError } from '../src/errors/burrow-error.ts';
import type { Broker, Parts } from './broker.ts';
import type { GroupService } from './groups/group-service.ts';
import type { BrokerSettings } from './options.ts';
import type { DiskSpace } from './partitions/disk-space.ts';
import type { NodeService } from './partitions/node-service.ts';
import type { Logger } from './ports/logger.ts';
import { softwareName } from './ports/software-name.ts';
import { systemClock } from './ports/system-clock.ts';
import { systemRandom } from './ports/system-random.ts';
import type { QueueService } from './queues/queue-service.ts';

export interface Services {
  readonly service: NodeService;
  readonly groups: GroupService;
  readonly queues: QueueService;
  readonly clusterId: string;
  readonly diskSpace: DiskSpace;
}

export async function startListeners(
  settings: BrokerSettings,
  { service, groups, queues, clusterId, diskSpace }: Services,
  logger: Logger,
  parts: Parts,
): Promise<Pick<Broker, 'ports' | 'addresses'>> {
  const { host, advertisedHost } = settings;
  const ports: { native?: number; kafka?: number; amqp?: number } = {};
  const addresses: { native?: string; kafka?: string; amqp?: string } = {};
  // Both stop together: neither should go on while the other waits for its clients.
  const closers: Array<() => Promise<void>> = [];
  parts.add('listeners', async () => {
    await Promise.all(closers.map((close) => close()));
  });
  if (settings.port !== 'off') {
    const { startNativeListener } = await import('./listeners/native/listener.ts');
    const listener = await startNativeListener({
      service,
      groups,
      queues,
      host,
      port: settings.port,
      clock: systemClock,
      logger,
      software: softwareName(),
      batchBytesMax: settings.maxMessageBytes,
      allowedOrigins: settings.allowedOrigins,
      allowedHosts: advertisedHost === undefined ? settings.allowedHosts : [...settings.allowedHosts, advertisedHost],
      limits: {
        frameBytesMax: settings.frameBytesMax,
        connectionsMax: settings.connectionsMax,
        connectionsPerIpMax: settings.connectionsPerIpMax,
        handshakeTimeoutMs: settings.handshakeTimeoutMs,
        // The listener pings at half of it.
        idleTimeoutMs: settings.pingIntervalMs * 2,
        inFlightRequestsMax: settings.inFlightRequestsMax,
        inFlightBytesMax: settings.inFlightBytesMax,
        writeBufferedBytesMax: settings.writeBufferedBytesMax,
        writeStallTimeoutMs: settings.writeStallTimeoutMs,
      },
    });
    closers.push(() => listener.close(settings.closeTimeoutMs));
    ports.native = listener.port;
    addresses.native = `ws://${urlHost(host)}:${listener.port}`;
    service.setAddress('native', advertisedHost ?? host, listener.port);
  }
  if (settings.kafkaPort !== 'off') {
    const { startKafkaListener } = await import('./listeners/kafka/kafka-listener.ts');
    const listener = await startKafkaListener({
      service,
      groups,
      host,
      port: settings.kafkaPort,
      ...(advertisedHost === undefined ? {} : { advertisedHost }),
      clock: systemClock,
      logger,
      limits: {
        requestBytesMax: settings.kafkaRequestBytesMax,
        inFlightRequestsMax: settings.inFlightRequestsMax,
        inFlightBytesMax: settings.inFlightBytesMax,
        outgoingBytesMax: settings.writeBufferedBytesMax,
        fetchBytesMax: settings.fetchBytesMax,
        connectionsMax: settings.connectionsMax,
        connectionsPerAddressMax: settings.connectionsPerIpMax,
        bufferedBytesTotalMax: settings.bufferedBytesMax,
        firstRequestTimeoutMs: settings.handshakeTimeoutMs,
        idleTimeoutMs: settings.idleTimeoutMs,
        writeStallTimeoutMs: settings.writeStallTimeoutMs,
        closeTimeoutMs: settings.closeTimeoutMs,
      },
    });
    closers.push(() => listener.close());
    ports.kafka = listener.port;
    addresses.kafka = `${urlHost(host)}:${listener.port}`;
    service.setAddress('kafka', advertisedHost ?? host, listener.port);
  }
  if (settings.amqpPort !== 'off') {
    const { startAmqpListener } = await import('./listeners/amqp/amqp-listener.ts');
    const { QueueBackend } = await import('./listeners/amqp/queue-backend.ts');
    const listener = await startAmqpListener({
      backend: new QueueBackend({
        queues,
        random: systemRandom,
        transactionBytesMax: settings.amqpTransactionBytesMax,
      }),
      host,
      port: settings.amqpPort,
      clock: systemClock,
      logger,
      software: softwareName(),
      clusterId,
      limits: {
        frameBytesMax: settings.amqpFrameMax,
        handshakeFrameBytesMax: settings.amqpInitialFrameMax,
        channelsMax: settings.amqpChannelMax,
        heartbeatSeconds: settings.amqpHeartbeat,
        messageBytesMax: settings.queueMessageBytesMax,
        unassembledBytesMax: settings.amqpUnassembledBytesMax,
        contentArrivalTimeoutMs: settings.amqpContentTimeoutMs,
        waitingMethodsMax: settings.amqpWaitingMethodsMax,
        waitingBytesMax: settings.amqpWaitingBytesMax,
        outgoingBytesMax: settings.writeBufferedBytesMax,
        bufferedBytesTotalMax: settings.bufferedBytesMax,
        connectionsMax: settings.connectionsMax,
        connectionsPerAddressMax: settings.connectionsPerIpMax,
        handshakeTimeoutMs: settings.handshakeTimeoutMs,
        writeStallTimeoutMs: settings.writeStallTimeoutMs,
        closeTimeoutMs: settings.closeTimeoutMs,
      },
    });
    closers.push(() => listener.close());
    // Publishers are told to wait (connection.blocked) rather than refused one by one.
    const onDiskSpace = (full: BurrowError | undefined): void => listener.setBlocked(full && 'low on disk');
    onDiskSpace(diskSpace.full);
    diskSpace.onChanged = onDiskSpace;
    ports.amqp = listener.port;
    addresses.amqp = `${urlHost(host)}:${listener.port}`;
  }
  return { ports, addresses };
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

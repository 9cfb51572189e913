/** Starts the listeners that are on, and tells each its limits. Their code is loaded here, so that what is off costs nothing. */

import type { BurrowError } from '../src/errors/burrow-error.ts';
import type { Broker, Parts } from './broker.ts';
import type { GroupService } from './groups/group-service.ts';
import type { AmqpLimits } from './listeners/amqp/limits.ts';
import type { NativeAccess } from './listeners/native/native-access.ts';
import type { NativeLimits } from './listeners/native/native-limits.ts';
import { SocketBudget } from './listeners/socket-budget.ts';
import type { TlsSettings } from './listeners/tls-acceptor.ts';
import type { BrokerSettings } from './options.ts';
import type { DiskSpace } from './partitions/disk-space.ts';
import type { NodeService } from './partitions/node-service.ts';
import type { Logger } from './ports/logger.ts';
import { openFilesMax } from './ports/open-files.ts';
import { softwareName } from './ports/software-name.ts';
import { systemClock } from './ports/system-clock.ts';
import { systemRandom } from './ports/system-random.ts';
import { AuthorizedQueues } from './queues/authorized-queues.ts';
import type { QueueService } from './queues/queue-service.ts';
import type { AccessControl } from './security/access-control.ts';
import { AuthorizedUsers } from './security/authorized-users.ts';
import type { UserService } from './security/user-service.ts';

export interface Services {
  readonly service: NodeService;
  readonly groups: GroupService;
  readonly queues: QueueService;
  readonly users: UserService;
  readonly access: AccessControl;
  readonly clusterId: string;
  readonly diskSpace: DiskSpace;
}

export async function startListeners(
  settings: BrokerSettings,
  { service, groups, queues, users, access, clusterId, diskSpace }: Services,
  logger: Logger,
  parts: Parts,
): Promise<Pick<Broker, 'ports' | 'addresses'>> {
  const { host, advertisedHost } = settings;
  const ports: { -readonly [Name in keyof Broker['ports']]: Broker['ports'][Name] } = {};
  const addresses: { -readonly [Name in keyof Broker['addresses']]: Broker['addresses'][Name] } = {};
  const sockets = SocketBudget.of(settings.socketsMax, openFilesMax());
  const tls = await openTls(settings, logger, parts);
  const nativeAccess: NativeAccess = {
    withoutLogin: (isLoopback) => access.withoutLogin(isLoopback),
    withPassword: (user, password, isLoopback) => access.withPassword(user, password, isLoopback),
    watch: (identity, onRevoked) => access.watch(identity, onRevoked),
    servicesFor: (identity) => ({
      service,
      groups,
      queueService: new AuthorizedQueues(queues, access, identity),
      users: new AuthorizedUsers(users, access, identity),
    }),
  };
  const onDiskSpace: Array<(full: BurrowError | undefined) => void> = [];
  // Both stop together: neither should go on while the other waits for its clients.
  const closers: Array<() => Promise<void>> = [];
  parts.add('listeners', async () => {
    await Promise.all(closers.map((close) => close()));
  });
  if (settings.port !== 'off' || settings.tlsPort !== 'off') {
    const { startNativeListener } = await import('./listeners/native/listener.ts');
    const startOne = async (port: number, portTls: TlsSettings | undefined): Promise<number> => {
      const listener = await startNativeListener({
        access: nativeAccess,
        nodeId: service.nodeId,
        clusterId,
        host,
        port,
        tls: portTls,
        sockets,
        clock: systemClock,
        logger,
        software: softwareName(),
        batchBytesMax: settings.maxMessageBytes,
        allowedOrigins: settings.allowedOrigins,
        allowedHosts: advertisedHost === undefined ? settings.allowedHosts : [...settings.allowedHosts, advertisedHost],
        limits: nativeLimits(settings),
      });
      closers.push(() => listener.close(settings.closeTimeoutMs));
      return listener.port;
    };
    if (settings.port !== 'off') {
      ports.native = await startOne(settings.port, undefined);
      addresses.native = `ws://${urlHost(host)}:${ports.native}`;
    }
    if (settings.tlsPort !== 'off') {
      ports.nativeTls = await startOne(settings.tlsPort, tls);
      addresses.nativeTls = `wss://${urlHost(host)}:${ports.nativeTls}`;
    }
    service.setAddress('native', advertisedHost ?? host, (ports.native ?? ports.nativeTls)!);
  }
  if (settings.kafkaPort !== 'off') {
    const { startKafkaListener } = await import('./listeners/kafka/kafka-listener.ts');
    const listener = await startKafkaListener({
      service,
      groups,
      host,
      port: settings.kafkaPort,
      ...(advertisedHost === undefined ? {} : { advertisedHost }),
      sockets,
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
  if (settings.amqpPort !== 'off' || settings.amqpTlsPort !== 'off') {
    const { startAmqpListener } = await import('./listeners/amqp/amqp-listener.ts');
    const { QueueBackend } = await import('./listeners/amqp/queue-backend.ts');
    const backend = new QueueBackend({
      queuesFor: (identity) => new AuthorizedQueues(queues, access, identity),
      random: systemRandom,
      transactionBytesMax: settings.amqpTransactionBytesMax,
    });
    const startOne = async (port: number, tls: TlsSettings | undefined): Promise<number> => {
      const listener = await startAmqpListener({
        backend,
        authenticator: access,
        host,
        port,
        tls: tls && { ...tls, loginFrom: settings.tlsCertLoginFrom },
        sockets,
        clock: systemClock,
        logger,
        software: softwareName(),
        clusterId,
        limits: amqpLimits(settings),
      });
      closers.push(() => listener.close());
      // Publishers are told to wait (connection.blocked) rather than refused one by one.
      onDiskSpace.push((full) => listener.setBlocked(full && 'low on disk'));
      return listener.port;
    };
    if (settings.amqpPort !== 'off') {
      ports.amqp = await startOne(settings.amqpPort, undefined);
      addresses.amqp = `${urlHost(host)}:${ports.amqp}`;
    }
    if (settings.amqpTlsPort !== 'off') {
      ports.amqpTls = await startOne(settings.amqpTlsPort, tls);
      addresses.amqpTls = `${urlHost(host)}:${ports.amqpTls}`;
    }
    const tellDiskSpace = (full: BurrowError | undefined): void => {
      for (const tell of onDiskSpace) tell(full);
    };
    tellDiskSpace(diskSpace.full);
    diskSpace.onChanged = tellDiskSpace;
  }
  return { ports, addresses };
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function nativeLimits(settings: BrokerSettings): Partial<NativeLimits> {
  return {
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
  };
}

function amqpLimits(settings: BrokerSettings): AmqpLimits {
  return {
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
  };
}

/** The certificates of the listeners with TLS, which are read again when they change. */
async function openTls(settings: BrokerSettings, logger: Logger, parts: Parts): Promise<TlsSettings | undefined> {
  const { tlsCert: cert, tlsKey: key, tlsCa: ca, tlsRequireClientCert } = settings;
  if (cert === undefined || key === undefined) return undefined;
  const { TlsCertificates } = await import('./listeners/tls-certificates.ts');
  const certificates = await TlsCertificates.open({ cert, key, ca }, systemClock, logger);
  parts.add('tls certificates', () => certificates.close());
  if (ca === undefined) return { certificates, clientCertificates: 'none' };
  return { certificates, clientCertificates: tlsRequireClientCert ? 'required' : 'optional' };
}

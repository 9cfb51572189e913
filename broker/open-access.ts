/** Opens the users of a broker, creates the first one if it is told to, and says who is let in. */
import { BurrowError } from '../src/errors/burrow-error.ts';
import type { Coordinator } from './coordinator/coordinator.ts';
import type { BrokerSettings } from './options.ts';
import type { Clock } from './ports/clock.ts';
import type { Logger } from './ports/logger.ts';
import { systemPasswordHasher } from './ports/password-hasher.ts';
import type { Random } from './ports/random.ts';
import { readSecretFile } from './ports/secret-file.ts';
import type { QueueService } from './queues/queue-service.ts';
import { isLoopback } from './resolve-options.ts';
import { AccessControl } from './security/access-control.ts';
import { ADMINISTRATOR, Users } from './security/users.ts';

export interface OpenAccessOptions {
  readonly settings: BrokerSettings;
  readonly coordinator: Coordinator;
  readonly queues: QueueService;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const DEFAULT_VIRTUAL_HOST = '/';
const EVERYTHING = { configure: '.*', write: '.*', read: '.*' };

/** @throws BurrowError INVALID_CONFIG: everybody on the network would be let in */
export async function openAccess(options: OpenAccessOptions): Promise<{ users: Users; access: AccessControl }> {
  const { settings, coordinator, queues, clock, random, logger } = options;
  const users = await Users.open({
    coordinator,
    hasher: systemPasswordHasher,
    random,
    clock,
    logger,
    usersMax: settings.usersMax,
    loginsWaitingMax: settings.loginsWaitingMax,
    virtualHostId: (name) => queues.virtualHostId(name),
  });
  try {
    await createDefaultUser(users, settings, logger);
    checkReach(users, settings, logger);
  } catch (error) {
    users.close();
    throw error;
  }
  return { users, access: new AccessControl({ users, allowInsecure: settings.allowInsecure }) };
}

async function createDefaultUser(users: Users, settings: BrokerSettings, logger: Logger): Promise<void> {
  const { defaultUser: name, defaultPasswordFile } = settings;
  if (name === undefined || defaultPasswordFile === undefined || !users.isEmpty) return;
  const password = await readSecretFile(defaultPasswordFile);
  await users.add({ name, password, tags: [ADMINISTRATOR] });
  await users.setPermissions(name, DEFAULT_VIRTUAL_HOST, EVERYTHING);
  logger.info({ user: name }, 'default user created');
}

function checkReach(users: Users, settings: BrokerSettings, logger: Logger): void {
  const { host, allowInsecure, port, amqpPort, kafkaPort } = settings;
  if (!users.isEmpty && kafkaPort !== 'off') {
    logger.warn({}, 'the Kafka listener does not authenticate: who reaches it can read and write all topics');
  }
  if (isLoopback(host)) return;
  if (users.isEmpty && !allowInsecure) {
    throw new BurrowError(
      'INVALID_CONFIG',
      `Option "host" is "${host}", but this broker has no users: everyone who reaches that address could read and delete all data. Start it on 127.0.0.1 and create an administrator (burrow user add NAME --tags administrator), or name one with --default-user and --default-password-file, or add --allow-insecure if a firewall or private network guards it.`,
      { fields: { option: 'host' } },
    );
  }
  if (port !== 'off' || amqpPort !== 'off') {
    logger.warn({ host }, 'passwords and data travel in clear text; use tls-port and amqp-tls-port');
  }
}

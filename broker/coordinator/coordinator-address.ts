/**
 * The coordinator that an address names, for the brokers of one cluster:
 *
 *     file:FOLDER          for brokers of one machine (file.ts)
 *     etcd://HOST:PORT/…   for brokers of several machines (etcd.ts; etcd-url.ts says what may follow)
 */
import { isAbsolute } from 'node:path';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Clock } from '../ports/clock.ts';
import { type Disk, diskErrorCode } from '../ports/disk.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import type { Coordinator } from './coordinator.ts';
import { parseEtcdUrl } from './etcd-url.ts';
import { FileCoordinator } from './file.ts';

export interface CoordinatorAddressOptions {
  /** The machine's. */
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** @throws BurrowError INVALID_CONFIG, or as the coordinator's `open` */
export async function openCoordinatorAt(address: string, options: CoordinatorAddressOptions): Promise<Coordinator> {
  if (address.startsWith('file:')) {
    const folder = address.slice('file:'.length);
    if (!isAbsolute(folder)) {
      throw new BurrowError(
        'INVALID_CONFIG',
        'The folder of the coordinator must be absolute, as in file:/var/lib/burrow.',
      );
    }
    return FileCoordinator.open({ ...options, folder, shared: true });
  }
  if (!address.startsWith('etcd:')) {
    throw new BurrowError('INVALID_CONFIG', 'The address of the coordinator must begin with file: or etcd://.');
  }
  const { members, prefix, timeoutMs, tls, user, ...rest } = parseEtcdUrl(address);
  const { disk, clock, logger } = options;
  const password = await readOptional(disk, rest.passwordFile);
  const credentials = {
    tls,
    user,
    password: rest.password ?? password?.toString('utf8').replace(/\r?\n$/, ''),
    ca: await readOptional(disk, rest.caFile),
    cert: await readOptional(disk, rest.certFile),
    key: await readOptional(disk, rest.keyFile),
  };
  // Loaded only where it is used: it takes longer than all the rest of a start.
  const { EtcdCoordinator } = await import('./etcd.ts');
  const limits = timeoutMs === undefined ? {} : { timeoutMs };
  return EtcdCoordinator.open({ members, prefix, credentials, clock, logger, ...limits });
}

async function readOptional(disk: Disk, path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    const file = await disk.open(path, { readOnly: true });
    try {
      return await file.read(0, await file.size());
    } finally {
      await file.close();
    }
  } catch (cause) {
    const code = diskErrorCode(cause) ?? 'unexpected failure';
    throw new BurrowError('INVALID_CONFIG', `${path}, which the address of etcd names, cannot be read: ${code}.`, {
      cause,
    });
  }
}

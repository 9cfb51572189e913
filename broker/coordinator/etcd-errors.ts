/** What the errors of etcd mean to us. Anything unknown is a failure to reach it: the outcome is open, try again. */
import { EtcdAuthenticationFailedError, EtcdLeaseInvalidError, EtcdPermissionDeniedError } from 'etcd3';
import { BurrowError, isBurrowError } from '../../src/errors/burrow-error.ts';

export function fromEtcd(error: unknown): BurrowError {
  if (isBurrowError(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  const options = { cause: error };
  if (isMissingLease(error)) return new BurrowError('LEASE_EXPIRED', 'A lease has ended or never was.', options);
  if (/database space exceeded|\bNOSPACE\b/.test(text)) {
    return new BurrowError('STORAGE_FULL', 'The database of etcd is full; nothing was changed.', options);
  }
  if (/request is too large|too many operations in txn|larger than max/.test(text)) {
    return new BurrowError('INVALID_ARGUMENT', `etcd refuses the request: ${text}.`, options);
  }
  if (isRefusal(error)) return new BurrowError('INVALID_CONFIG', `etcd refuses us: ${text}.`, options);
  return new BurrowError('COORDINATION_UNAVAILABLE', `etcd cannot be reached: ${text}.`, options);
}

/** User, password, certificate or rights are wrong: another member would say the same. */
function isRefusal(error: unknown): boolean {
  if (error instanceof EtcdAuthenticationFailedError || error instanceof EtcdPermissionDeniedError) return true;
  return error instanceof Error && /permission denied|authentication failed|user name is empty/.test(error.message);
}

function isMissingLease(error: unknown): boolean {
  if (error instanceof EtcdLeaseInvalidError) return true;
  return error instanceof Error && /requested lease not found/.test(error.message);
}

export function isCompacted(error: unknown): boolean {
  return error instanceof Error && /required revision has been compacted/.test(error.message);
}

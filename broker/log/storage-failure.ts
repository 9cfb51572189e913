/** How a failed write or sync of a log is told: it is sticky, and the user must act. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { diskErrorCode } from '../ports/disk.ts';

/** The typed form of a failed write or sync. */
export function storageFailure(what: string, verb: 'written' | 'synced', error: unknown): BurrowError {
  if (error instanceof BurrowError) return error;
  const code = diskErrorCode(error);
  const text = error instanceof Error ? error.message : String(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new BurrowError(
    full ? 'STORAGE_FULL' : 'STORAGE_ERROR',
    `${what} could not be ${verb} (${text}). It accepts no more writes; ` +
      `${full ? 'free disk space' : 'check the disk'} and restart the broker. Nothing acknowledged is lost.`,
    { cause: error, fields: { what } },
  );
}

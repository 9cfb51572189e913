/** Failures of the disk as errors that users understand. */
import { BurrowError, isBurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { diskErrorCode } from './disk.ts';

/**
 * A failed disk call as STORAGE_FULL or STORAGE_ERROR; what is typed already stays, anything else becomes INTERNAL_ERROR.
 * @param what - could not be done, such as "The topic orders could not be created"
 */
export function storageError(what: string, error: unknown): BurrowError {
  if (isBurrowError(error)) return error;
  const code = diskErrorCode(error);
  if (code === undefined) return toBurrowError(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  const text = error instanceof Error ? error.message : String(error);
  return new BurrowError(full ? 'STORAGE_FULL' : 'STORAGE_ERROR', `${what}: ${text}`, {
    cause: error,
    fields: { systemCode: code },
  });
}

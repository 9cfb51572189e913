/** What JoinGroup and SyncGroup have in common: they wait for other members, and the listener may close meanwhile. */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import type { RequestContext } from '../api.ts';

/** As `waiting`; rejects if the request is cancelled before, so that the client looks for another coordinator. */
export function unlessCancelled<T>(waiting: Promise<T>, { onCancel }: RequestContext): Promise<T> {
  return new Promise((resolve, reject) => {
    onCancel(() => reject(new BurrowError('COORDINATOR_NOT_AVAILABLE')));
    waiting.then(resolve, reject);
  });
}

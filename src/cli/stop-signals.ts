/** SIGINT, SIGTERM and SIGHUP as a request to stop; a second one as an order. */
import { EXIT_FAILED } from './exit-codes.ts';

/**
 * A terminal sends Ctrl-C to npm, to the shell under it and to this process, and npm passes its own copy on: what
 * comes this soon after the first is the same key press.
 */
const SAME_SIGNAL_MS = 500;

/** Resolves at the first signal. One that follows later ends the process at once. */
export function onStopSignal(): Promise<NodeJS.Signals> {
  let first: number | undefined;
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => {
        const now = performance.now();
        if (first === undefined) {
          first = now;
          resolve(name);
        } else if (now - first > SAME_SIGNAL_MS) {
          process.stderr.write(`burrow: second ${name}, stopping at once\n`);
          process.exit(EXIT_FAILED);
        }
      });
    }
  });
}

/** What the process's exit code says; documented in docs/errors.md. */
import type { BurrowError } from '../errors/burrow-error.ts';

export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_UNREACHABLE = 3;
export const EXIT_NOT_FOUND = 4;
/** 128 + SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130;

export function exitCodeOf(error: BurrowError): number {
  switch (error.code) {
    case 'CONNECTION_FAILED':
    case 'CONNECTION_LOST':
      return EXIT_UNREACHABLE;
    case 'UNKNOWN_TOPIC_OR_PARTITION':
    case 'UNKNOWN_TOPIC_ID':
    case 'EXCHANGE_NOT_FOUND':
    case 'QUEUE_NOT_FOUND':
    case 'VHOST_NOT_FOUND':
      return EXIT_NOT_FOUND;
    case 'INVALID_ARGUMENT':
    case 'INVALID_CONFIG':
    case 'INVALID_NAME':
    case 'INVALID_PARTITIONS':
    case 'INVALID_REPLICATION_FACTOR':
      return EXIT_USAGE;
    default:
      return EXIT_FAILED;
  }
}

/** One line: what went wrong, with the name of the error for whoever searches for it. */
export function errorLine(error: BurrowError): string {
  return `burrow: ${error.message.replace(/\s*\n\s*/g, ' ').trim()} [${error.code}]\n`;
}

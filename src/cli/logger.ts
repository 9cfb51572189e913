/** The process's log: on standard error, pretty for people and one JSON object a line for machines. */
import { type Logger, pino } from 'pino';
import { PinoPretty } from 'pino-pretty';
import type { Settings } from '../../broker/options.ts';

const STANDARD_ERROR = 2;

export function createLogger({ logLevel, logFormat }: Pick<Settings, 'logLevel' | 'logFormat'>): Logger {
  const terminal = process.stderr.isTTY === true;
  const pretty = logFormat === 'pretty' || (logFormat === 'auto' && terminal);
  // Synchronous, so that the last lines before a crash are there; a broker logs events, not records.
  const destination = pretty
    ? PinoPretty({
        destination: STANDARD_ERROR,
        sync: true,
        colorize: terminal && process.env['NO_COLOR'] === undefined,
        ignore: 'pid,hostname',
        translateTime: 'SYS:HH:MM:ss.l',
      })
    : pino.destination({ dest: STANDARD_ERROR, sync: true });
  return pino({ level: logLevel, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

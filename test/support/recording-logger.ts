/** A logger that keeps its lines, for tests of what is logged. */
import type { Logger } from '../../broker/ports/logger.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export function recordingLogger(lines: LogLine[], bound: object = {}): Logger {
  const add = (level: LogLine['level']) => (fields: object, text: string) => {
    lines.push({ level, text, fields: { ...bound, ...fields } });
  };
  return {
    debug: add('debug'),
    info: add('info'),
    warn: add('warn'),
    error: add('error'),
    child: (fields) => recordingLogger(lines, { ...bound, ...fields }),
  };
}

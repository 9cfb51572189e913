/**
 * Durations and sizes as people write them: `500ms`, `7d`, `64KiB`, `1GiB`.
 * A bare number is milliseconds or bytes. Only whole results are accepted, so nothing is rounded silently.
 */
import { BurrowError } from './errors/burrow-error.ts';

const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** KB and MB are powers of ten, KiB and MiB powers of two (IEC 80000-13). */
const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['b', 1],
  ['kb', 1e3],
  ['mb', 1e6],
  ['gb', 1e9],
  ['tb', 1e12],
  ['kib', 1024],
  ['mib', 1024 ** 2],
  ['gib', 1024 ** 3],
  ['tib', 1024 ** 4],
]);

/** Milliseconds of a text such as `500`, `500ms`, `1.5s`, `7d`. */
export function parseDuration(text: string): number {
  return parseQuantity(text, DURATION_UNITS, 'a duration such as 500ms, 30s, 15m, 12h or 7d');
}

/** Bytes of a text such as `1048576`, `64KiB`, `1GiB`, `10MB`. */
export function parseSize(text: string): number {
  return parseQuantity(text, SIZE_UNITS, 'a size such as 4096, 64KiB, 16MiB or 1GiB');
}

function parseQuantity(text: string, units: ReadonlyMap<string, number>, expected: string): number {
  const match = /^(\d{1,16}(?:\.\d{1,6})?)\s*([a-zA-Z]*)$/.exec(text.trim());
  const factor = match?.[2] === '' ? 1 : units.get((match?.[2] ?? '').toLowerCase());
  const value = factor === undefined ? Number.NaN : Number(match?.[1]) * factor;
  if (!Number.isSafeInteger(value)) throw new BurrowError('INVALID_ARGUMENT', `"${text}" is not ${expected}.`);
  return value;
}

/** The shortest exact form: `7d`, `1500ms`. */
export function formatDuration(milliseconds: number): string {
  return formatQuantity(milliseconds, DURATION_UNITS);
}

const IEC_UNITS: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
  ['TiB', 1024 ** 4],
]);

/** The shortest exact form: `64KiB`, `1048588B`. */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, IEC_UNITS);
}

function formatQuantity(value: number, units: ReadonlyMap<string, number>): string {
  let best = '';
  for (const [unit, factor] of units) {
    if (best === '' || (value !== 0 && value % factor === 0)) best = `${value / factor}${unit}`;
  }
  return best;
}

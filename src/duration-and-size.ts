/** Durations and byte counts as people write them in options: "7d", "1h30m", "500ms", "1GiB", "100MB", or a plain number. */
import { BurrowError } from './errors/burrow-error.ts';

/** Largest first, which is also the order in a combined duration. */
const DURATION_UNITS: ReadonlyArray<readonly [unit: string, ms: number]> = [
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];

const SIZE_UNITS: ReadonlyArray<readonly [unit: string, bytes: number]> = [
  ['TiB', 2 ** 40],
  ['TB', 1e12],
  ['GiB', 2 ** 30],
  ['GB', 1e9],
  ['MiB', 2 ** 20],
  ['MB', 1e6],
  ['KiB', 2 ** 10],
  ['KB', 1e3],
  ['B', 1],
];

/** No sensible value is longer; keeps the patterns below from being fed a novel. */
const TEXT_CHARACTERS_MAX = 64;
const NUMBER = /^\d+$/;
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|[wdhms]))+$/i;
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|[wdhms])/gi;
const SIZE = /^(\d+(?:\.\d+)?) ?([kmgt]?i?b)$/i;

/**
 * Milliseconds of "500ms", "30s", "1h30m", "7d", "2w", or of a plain number of milliseconds.
 * @param option - the name of the option, for the error
 * @throws BurrowError INVALID_CONFIG
 */
export function parseDurationMs(text: string, option: string): number {
  const trimmed = text.trim();
  if (trimmed.length <= TEXT_CHARACTERS_MAX) {
    if (NUMBER.test(trimmed)) return checkWhole(Number(trimmed), text, option, 'milliseconds');
    if (DURATION.test(trimmed)) {
      let totalMs = 0;
      let previousUnitMs = Number.POSITIVE_INFINITY;
      for (const [, amount, unit] of trimmed.matchAll(DURATION_PART)) {
        const unitMs = unitValue(DURATION_UNITS, unit!);
        if (unitMs >= previousUnitMs) {
          throw invalid(text, option, 'is not a duration: each unit may stand once, the largest first, as in 1h30m');
        }
        previousUnitMs = unitMs;
        totalMs += multiply(amount!, unitMs);
      }
      return checkWhole(totalMs, text, option, 'milliseconds');
    }
  }
  throw invalid(text, option, 'is not a duration: write for example 500ms, 30s, 1h30m or 7d');
}

/**
 * Bytes of "64KiB", "1GiB" (powers of 1024), "100MB" (powers of 1000), "512B", or of a plain number of bytes.
 * @param option - the name of the option, for the error
 * @throws BurrowError INVALID_CONFIG
 */
export function parseBytes(text: string, option: string): number {
  const trimmed = text.trim();
  if (trimmed.length <= TEXT_CHARACTERS_MAX) {
    if (NUMBER.test(trimmed)) return checkWhole(Number(trimmed), text, option, 'bytes');
    const match = SIZE.exec(trimmed);
    const bytesPerUnit = match === null ? undefined : unitValue(SIZE_UNITS, match[2]!);
    // "iB" alone passes the pattern and is no unit.
    if (match !== null && bytesPerUnit !== undefined && !Number.isNaN(bytesPerUnit)) {
      return checkWhole(multiply(match[1]!, bytesPerUnit), text, option, 'bytes');
    }
  }
  throw invalid(text, option, 'is not a size: write for example 64KiB, 1GiB or 100MB, or a number of bytes');
}

/** The shortest exact form that {@link parseDurationMs} reads back: 5400000 is "1h30m". */
export function formatDuration(ms: number): string {
  assertWhole(ms);
  let rest = ms;
  let text = '';
  for (const [unit, unitMs] of DURATION_UNITS) {
    // A week is only understood when read: "14d" says as much as "2w" to everybody.
    if (unit === 'w') continue;
    const count = Math.floor(rest / unitMs);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * unitMs;
  }
  return text === '' ? '0ms' : text;
}

/** An exact form that {@link parseBytes} reads back, in the unit that gives the smallest number: 65536 is "64KiB". */
export function formatBytes(bytes: number): string {
  assertWhole(bytes);
  for (const [unit, unitBytes] of SIZE_UNITS) {
    if (bytes >= unitBytes && bytes % unitBytes === 0) return `${bytes / unitBytes}${unit}`;
  }
  return '0B';
}

/** NaN for a unit that does not exist. */
function unitValue(units: ReadonlyArray<readonly [unit: string, value: number]>, unit: string): number {
  const lower = unit.toLowerCase();
  return units.find(([name]) => name.toLowerCase() === lower)?.[1] ?? Number.NaN;
}

/** In whole thousandths and so on, since 0.1 × 1000 style products must not miss a whole number by a rounding error. */
function multiply(amount: string, unit: number): number {
  const [whole, fraction = ''] = amount.split('.');
  return Number(whole) * unit + (Number(fraction === '' ? 0 : fraction) * unit) / 10 ** fraction.length;
}

function checkWhole(value: number, text: string, option: string, what: string): number {
  if (!Number.isSafeInteger(value)) {
    throw invalid(text, option, Number.isInteger(value) ? 'is too large' : `is not a whole number of ${what}`);
  }
  return value;
}

function assertWhole(value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a whole, non-negative number: ${value}`);
}

function invalid(text: string, option: string, problem: string): BurrowError {
  const shown = JSON.stringify(text.length > TEXT_CHARACTERS_MAX ? `${text.slice(0, TEXT_CHARACTERS_MAX)}…` : text);
  return new BurrowError('INVALID_CONFIG', `${option}: ${shown} ${problem}.`, { fields: { option } });
}

/** What `--from`, or another flag, says about a place in a log. */
import { didYouMean } from '../closest-name.ts';
import { BurrowError } from '../errors/burrow-error.ts';

export type StartPosition = 'earliest' | 'latest' | { readonly offset: number } | { readonly timestamp: number };

/** `earliest`, `latest`, an offset, `timestamp:MILLISECONDS`, or a date such as `2026-11-23` or `2026-11-23T10:00:00Z`. */
export function parseStartPosition(text: string, flag = '--from'): StartPosition {
  if (text === 'earliest' || text === 'latest') return text;
  const [, prefix, digits] = /^(timestamp:)?(\d+)$/.exec(text) ?? [];
  if (digits !== undefined && Number.isSafeInteger(Number(digits))) {
    return prefix === undefined ? { offset: Number(digits) } : { timestamp: Number(digits) };
  }
  // Date.parse takes almost anything ("1", "may"), so the shape is checked first.
  const isDate = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/.test(text);
  const milliseconds = isDate ? Date.parse(text) : Number.NaN;
  if (milliseconds >= 0) return { timestamp: milliseconds };
  throw new BurrowError(
    'INVALID_ARGUMENT',
    `${flag} is "${text}"; allowed: earliest, latest, an offset, timestamp:MILLISECONDS, or a date such as 2026-11-23T10:00:00Z.${didYouMean(text, ['earliest', 'latest'])}`,
  );
}

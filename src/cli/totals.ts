/** How much went by, how fast, in words. */

/** `20,000 records, 2.3 MB in 0.41 s: 48,780 records/s, 5.6 MB/s`. */
export function describeTotals(totals: { records: number; bytes: number; seconds: number }): string {
  const { records, bytes } = totals;
  // A run below the clock's resolution has no meaningful rate.
  const seconds = Math.max(totals.seconds, 0.001);
  return `${count(records, 'record')}, ${megabytes(bytes)} in ${seconds.toFixed(2)} s: ${Math.round(records / seconds).toLocaleString('en')} records/s, ${megabytes(bytes / seconds)}/s`;
}

/** `1 record`, `20,000 records`. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? noun : plural}`;
}

function megabytes(bytes: number): string {
  if (bytes < 1e4) return `${Math.round(bytes)} B`;
  return bytes < 1e7 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Figures as reports show them. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The median, with the lowest and the highest in brackets. */
export function spread(values: readonly number[]): string {
  if (values.length === 1) return thousands(values[0]!);
  return `${thousands(median(values))} (${thousands(Math.min(...values))} – ${thousands(Math.max(...values))})`;
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

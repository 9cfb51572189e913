/** What one transcript has and the other has not. */

/** Lines as in a diff: `- ` what only `expected` has, `+ ` what only `actual` has, in order; none if they are the same. */
export function transcriptDiff(expected: readonly string[], actual: readonly string[]): string[] {
  // Lengths of the longest common subsequences of what is left from each pair of places on.
  const width = actual.length + 1;
  const lengths = new Uint16Array((expected.length + 1) * width);
  for (let row = expected.length - 1; row >= 0; row--) {
    for (let column = actual.length - 1; column >= 0; column--) {
      lengths[row * width + column] =
        expected[row] === actual[column]
          ? lengths[(row + 1) * width + column + 1]! + 1
          : Math.max(lengths[(row + 1) * width + column]!, lengths[row * width + column + 1]!);
    }
  }
  const diff: string[] = [];
  let row = 0;
  let column = 0;
  while (row < expected.length || column < actual.length) {
    if (row < expected.length && expected[row] === actual[column]) {
      row++;
      column++;
    } else if (
      column === actual.length ||
      (row < expected.length && lengths[(row + 1) * width + column]! >= lengths[row * width + column + 1]!)
    ) {
      diff.push(`- ${expected[row++]}`);
    } else diff.push(`+ ${actual[column++]}`);
  }
  return diff;
}

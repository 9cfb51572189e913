/** Text in columns, for people. */

/** Columns are as wide as their widest cell; numbers stand to the right. */
export function formatTable(head: readonly string[], rows: ReadonlyArray<ReadonlyArray<string | number>>): string {
  const widths = head.map((title, column) =>
    rows.reduce((width, row) => Math.max(width, String(row[column] ?? '').length), title.length),
  );
  const line = (cells: ReadonlyArray<string | number>): string =>
    cells
      .map((cell, column) =>
        typeof cell === 'number' ? String(cell).padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  return [head, ...rows].map(line).join('\n');
}

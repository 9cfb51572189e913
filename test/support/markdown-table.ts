/** Rows of the tables on a page of docs/, for tests that compare a page with the code. */
import { readFileSync } from 'node:fs';

/** Cells of every row whose first cell is code (`| \`name\` | …`), without padding. */
export function readTableRows(page: string): string[][] {
  return readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

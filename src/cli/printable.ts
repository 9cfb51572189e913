/** Text of strangers for a terminal: on one line, cut, and without what moves the cursor or turns the direction of writing. */

/** Controls, lone surrogates, line separators and marks without a width. */
const NOT_PRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

export function printable(text: string, charactersMax = Number.POSITIVE_INFINITY): string {
  const line = text.replace(/\s+/g, ' ').replace(NOT_PRINTABLE, escapeOf);
  const characters = [...line];
  return characters.length <= charactersMax ? line : `${characters.slice(0, charactersMax - 1).join('')}…`;
}

/** The same for text of several lines. */
export function printableLines(text: string): string[] {
  return text.split('\n').map((line) => line.trimEnd().replace(/\t/g, '  ').replace(NOT_PRINTABLE, escapeOf));
}

function escapeOf(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

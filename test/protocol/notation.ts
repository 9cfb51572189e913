/** Reads the notation of the schemas, so that generators and the documentation's test follow the table by themselves. */
import fc from 'fast-check';

export type WireType =
  | { readonly kind: 'scalar'; readonly name: string; readonly max: number }
  | { readonly kind: 'nullable'; readonly of: WireType }
  | { readonly kind: 'list'; readonly of: WireType }
  | { readonly kind: 'struct'; readonly fields: ReadonlyArray<readonly [name: string, type: WireType]> };

export function parseNotation(notation: string): WireType {
  const [type, end] = parseAt(notation, 0);
  if (end !== notation.length) throw new Error(`cannot read ${notation} from ${end}`);
  return type;
}

function parseAt(text: string, start: number): [WireType, number] {
  let [type, at] = text[start] === '[' ? parseBrackets(text, start) : parseScalar(text, start);
  while (text.startsWith(' | nil', at)) {
    type = { kind: 'nullable', of: type };
    at += ' | nil'.length;
  }
  return [type, at];
}

function parseScalar(text: string, start: number): [WireType, number] {
  const match = /^(\w+)(?: ≤ (\d+))?/.exec(text.slice(start));
  if (match === null) throw new Error(`no type at ${start} of ${text}`);
  return [{ kind: 'scalar', name: match[1]!, max: Number(match[2] ?? 0) }, start + match[0].length];
}

function parseBrackets(text: string, start: number): [WireType, number] {
  let at = start + 1;
  const fields: Array<[string, WireType]> = [];
  while (text[at] !== ']') {
    const name = /^(\w+): /.exec(text.slice(at));
    const [type, end] = parseAt(text, at + (name?.[0].length ?? 0));
    at = end;
    if (name === null) {
      if (!text.startsWith(', …]', at)) throw new Error(`no list at ${start} of ${text}`);
      return [{ kind: 'list', of: type }, at + ', …]'.length];
    }
    fields.push([name[1]!, type]);
    if (text.startsWith(', ', at)) at += 2;
  }
  return [{ kind: 'struct', fields }, at + 1];
}

/** Names that break what keeps them as keys of an object, beside ordinary ones. */
export const OBJECT_PROTOTYPE_NAMES: readonly string[] = Object.getOwnPropertyNames(Object.prototype);

// msgpackr drops a byte order mark at the start of long strings (https://encoding.spec.whatwg.org/#utf-8-decode does).
const text = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom(...OBJECT_PROTOTYPE_NAMES) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 60, maxLength: 255 }) },
);

const RANGES: ReadonlyMap<string, readonly [min: number, max: number]> = new Map([
  ['int8', [-128, 127]],
  ['int16', [-0x8000, 0x7fff]],
  ['int32', [-0x8000_0000, 0x7fff_ffff]],
  ['uint32', [0, 0xffff_ffff]],
  ['int53', [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]],
]);

function scalarArbitrary(name: string, max: number, inPieces: boolean): fc.Arbitrary<unknown> {
  const range = RANGES.get(name);
  if (range !== undefined) return fc.maxSafeInteger().map((value) => within(value, range));
  if (name === 'bool') return fc.boolean();
  if (name === 'string') {
    return text
      .map((value) => Buffer.from(value.slice(0, max)).toString())
      .filter((value) => !value.startsWith('\uFEFF'));
  }
  const bytes = fc.uint8Array({ maxLength: Math.min(max, 400) });
  return inPieces ? fc.array(bytes, { maxLength: 3 }) : bytes;
}

function within(value: number, [min, max]: readonly [number, number]): number {
  // The ends come up as often as the middle.
  if (value % 11 === 0) return min;
  if (value % 7 === 0) return max;
  const span = max - min + 1;
  return Number.isSafeInteger(span) ? min + (Math.abs(value) % span) : value;
}

/** Values of the type, as the schemas' `encode` takes them. */
export function arbitraryOf(type: WireType): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case 'scalar':
      // Records are handed over in pieces; other binaries whole.
      return scalarArbitrary(type.name, type.max, type.max === 0x7fff_ffff);
    case 'nullable':
      return fc.option(arbitraryOf(type.of), { nil: null });
    case 'list':
      return fc.array(arbitraryOf(type.of), { maxLength: 4 });
    case 'struct':
      return fc.record(Object.fromEntries(type.fields.map(([name, field]) => [name, arbitraryOf(field)])));
  }
}

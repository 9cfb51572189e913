/**
 * The regular expressions of policies. RabbitMQ's policies have them, so they must be understood; but JavaScript's own
 * engine can be made to run for years by one of them (`(a+)+$`), and it would be the broker's only thread. So this
 * takes the part of the language that policies use, and answers in time that is bounded by the product of the lengths
 * of pattern and name: no state of the automaton is tried twice at one position.
 *
 *     a  .  [a-z]  [^a-z]  \d \w \s \D \W \S  \.     one character
 *     ^  $  \b  \B                                    a position
 *     (…)  (?:…)  |                                   groups and choices
 *     *  +  ?  {2}  {2,}  {2,5}                       repetition, lazy or not
 *     (?=…)  (?!…)                                    looking ahead
 *
 * Names are searched, as by RabbitMQ: a pattern without ^ may match anywhere. Characters are UTF-16 units. Not taken:
 * references back, looking behind, and flags.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';

const PATTERN_CHARACTERS_MAX = 255;
const PROGRAM_INSTRUCTIONS_MAX = 2000;
const DEPTH_MAX = 50;

type CharacterTest = (unit: number) => boolean;

type Instruction =
  | { readonly kind: 'character'; readonly test: CharacterTest }
  | { readonly kind: 'position'; readonly test: (text: string, at: number) => boolean }
  /** Goes on at both. */
  | { readonly kind: 'fork'; first: number; second: number }
  | { readonly kind: 'look'; readonly wanted: boolean; readonly program: readonly Instruction[] }
  | { readonly kind: 'end' };

export interface Pattern {
  readonly matches: (text: string) => boolean;
}

/** @throws BurrowError INVALID_ARGUMENT */
export function compilePattern(source: string): Pattern {
  if (source.length > PATTERN_CHARACTERS_MAX) {
    throw invalid(source, `it has more than ${PATTERN_CHARACTERS_MAX} characters`);
  }
  const parser = new Parser(source);
  const program = parser.whole();
  return {
    matches: (text) => {
      // What failed from one start fails from the next too, so all starts share what was tried.
      const tried = new Uint8Array(program.length * (text.length + 1));
      for (let start = 0; start <= text.length; start++) if (run(program, text, start, tried)) return true;
      return false;
    },
  };
}

/** Whether the program comes to its end from `start` on. */
function run(program: readonly Instruction[], text: string, start: number, tried: Uint8Array): boolean {
  const width = text.length + 1;
  const open = [start];
  while (open.length > 0) {
    const state = open.pop()!;
    if (tried[state] === 1) continue;
    tried[state] = 1;
    const next = Math.floor(state / width);
    const at = state % width;
    const instruction = program[next]!;
    const following = state + width;
    switch (instruction.kind) {
      case 'end':
        return true;
      case 'character':
        if (at < text.length && instruction.test(text.charCodeAt(at))) open.push(following + 1);
        break;
      case 'position':
        if (instruction.test(text, at)) open.push(following);
        break;
      case 'fork':
        open.push(instruction.second * width + at, instruction.first * width + at);
        break;
      case 'look': {
        const found = run(instruction.program, text, at, new Uint8Array(instruction.program.length * width));
        if (found === instruction.wanted) open.push(following);
      }
    }
  }
  return false;
}

/** Recursive descent; each method returns the program of what it has read, with targets relative to its own start. */
class Parser {
  readonly #source: string;
  #at = 0;
  #depth = 0;
  #instructions = 0;

  constructor(source: string) {
    this.#source = source;
  }

  whole(): readonly Instruction[] {
    const program = this.#choices();
    if (this.#at < this.#source.length) throw this.#problem('it closes a group that is not open');
    return [...program, { kind: 'end' }];
  }

  #choices(): Instruction[] {
    if (++this.#depth > DEPTH_MAX) throw this.#problem(`its groups are nested deeper than ${DEPTH_MAX}`);
    let program = this.#sequence();
    while (this.#take('|')) {
      const other = this.#sequence();
      // fork, the first, and over the other to the end.
      program = this.#counted([
        { kind: 'fork', first: 1, second: program.length + 2 },
        ...shifted(program, 1),
        { kind: 'fork', first: program.length + 2 + other.length, second: program.length + 2 + other.length },
        ...shifted(other, program.length + 2),
      ]);
    }
    this.#depth--;
    return program;
  }

  #sequence(): Instruction[] {
    const program: Instruction[] = [];
    while (this.#at < this.#source.length && !this.#sees('|') && !this.#sees(')')) {
      const repeated = this.#repetition(this.#atom());
      program.push(...shifted(repeated, program.length));
    }
    return this.#counted(program);
  }

  #atom(): Instruction[] {
    const character = this.#source[this.#at++]!;
    switch (character) {
      case '(':
        return this.#group();
      case '[':
        return [{ kind: 'character', test: this.#class() }];
      case '.':
        return [{ kind: 'character', test: (unit) => unit !== 0x0a }];
      case '^':
        return [{ kind: 'position', test: (_text, at) => at === 0 }];
      case '$':
        return [{ kind: 'position', test: (text, at) => at === text.length }];
      case '\\':
        return [this.#escape()];
      case '*':
      case '+':
      case '?':
        throw this.#problem(`it repeats nothing with ${character}`);
      default:
        return [literal(character)];
    }
  }

  #group(): Instruction[] {
    let look: boolean | undefined;
    if (this.#take('?=')) look = true;
    else if (this.#take('?!')) look = false;
    else if (!this.#take('?:') && this.#sees('?')) throw this.#problem('it has a kind of group that is not supported');
    const program = this.#choices();
    if (!this.#take(')')) throw this.#problem('a group is not closed');
    if (look === undefined) return program;
    return [{ kind: 'look', wanted: look, program: [...program, { kind: 'end' }] }];
  }

  #repetition(atom: Instruction[]): Instruction[] {
    let program = atom;
    for (;;) {
      const bounds = this.#bounds();
      if (bounds === undefined) return program;
      // Lazy or not makes no difference to whether there is a match.
      this.#take('?');
      program = this.#repeated(program, bounds.min, bounds.max);
    }
  }

  #bounds(): { min: number; max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#take('+')) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#take('?')) return { min: 0, max: 1 };
    const braces = /^\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}/.exec(this.#source.slice(this.#at));
    if (braces === null) return undefined;
    this.#at += braces[0].length;
    const min = Number(braces[1]);
    const max = braces[2] === undefined ? min : braces[3] === undefined ? Number.POSITIVE_INFINITY : Number(braces[3]);
    if (max < min) throw this.#problem('it repeats something from more to fewer times');
    return { min, max };
  }

  #repeated(atom: readonly Instruction[], min: number, max: number): Instruction[] {
    const copies = Number.isFinite(max) ? max : min + 1;
    if (copies * (atom.length + 2) > PROGRAM_INSTRUCTIONS_MAX) throw this.#tooLong();
    const program: Instruction[] = [];
    for (let copy = 0; copy < min; copy++) program.push(...shifted(atom, program.length));
    if (Number.isFinite(max)) {
      const optional = max - min;
      const end = program.length + optional * (atom.length + 1);
      for (let copy = 0; copy < optional; copy++) {
        program.push({ kind: 'fork', first: program.length + 1, second: end });
        program.push(...shifted(atom, program.length));
      }
    } else {
      const loop = program.length;
      program.push({ kind: 'fork', first: loop + 1, second: loop + atom.length + 2 });
      program.push(...shifted(atom, program.length));
      program.push({ kind: 'fork', first: loop, second: loop });
    }
    return this.#counted(program);
  }

  #escape(): Instruction {
    const character = this.#source[this.#at++];
    if (character === undefined) throw this.#problem('it ends with a backslash');
    if (character === 'b') return { kind: 'position', test: isWordBoundary };
    if (character === 'B') return { kind: 'position', test: (text, at) => !isWordBoundary(text, at) };
    return { kind: 'character', test: this.#escaped(character) };
  }

  #escaped(character: string): CharacterTest {
    const test = classTest(character);
    if (test !== undefined) return test;
    const control = CONTROLS.get(character);
    if (control !== undefined) return (unit) => unit === control;
    if (/[0-9A-Za-z]/.test(character)) throw this.#problem(`\\${character} is not supported`);
    const escaped = character.charCodeAt(0);
    return (unit) => unit === escaped;
  }

  /** Behind the opening bracket. */
  #class(): CharacterTest {
    const negated = this.#take('^');
    const tests: CharacterTest[] = [];
    let first = true;
    while (first || !this.#sees(']')) {
      first = false;
      const from = this.#classMember();
      if (typeof from === 'number' && this.#sees('-') && this.#source[this.#at + 1] !== ']') {
        this.#at++;
        const to = this.#classMember();
        if (typeof to !== 'number' || to < from) throw this.#problem('a range in brackets is not one');
        tests.push((unit) => unit >= from && unit <= to);
      } else tests.push(typeof from === 'number' ? (unit) => unit === from : from);
    }
    this.#at++;
    return (unit) => tests.some((test) => test(unit)) !== negated;
  }

  #classMember(): number | CharacterTest {
    const character = this.#source[this.#at++];
    if (character === undefined) throw this.#problem('brackets are not closed');
    if (character !== '\\') return character.charCodeAt(0);
    const escaped = this.#source[this.#at++];
    if (escaped === undefined) throw this.#problem('it ends with a backslash');
    return classTest(escaped) ?? CONTROLS.get(escaped) ?? escaped.charCodeAt(0);
  }

  #sees(text: string): boolean {
    return this.#source.startsWith(text, this.#at);
  }

  #take(text: string): boolean {
    if (!this.#sees(text)) return false;
    this.#at += text.length;
    return true;
  }

  #counted(program: Instruction[]): Instruction[] {
    this.#instructions = Math.max(this.#instructions, program.length);
    if (this.#instructions > PROGRAM_INSTRUCTIONS_MAX) throw this.#tooLong();
    return program;
  }

  #tooLong(): BurrowError {
    return this.#problem('it repeats too much');
  }

  #problem(problem: string): BurrowError {
    return invalid(this.#source, problem);
  }
}

const CONTROLS: ReadonlyMap<string, number> = new Map([
  ['t', 0x09],
  ['n', 0x0a],
  ['r', 0x0d],
]);

function literal(character: string): Instruction {
  const wanted = character.charCodeAt(0);
  return { kind: 'character', test: (unit) => unit === wanted };
}

/** A program with its targets moved by `by`. */
function shifted(program: readonly Instruction[], by: number): Instruction[] {
  return program.map((instruction) =>
    instruction.kind === 'fork'
      ? { kind: 'fork', first: instruction.first + by, second: instruction.second + by }
      : instruction,
  );
}

function classTest(letter: string): CharacterTest | undefined {
  switch (letter) {
    case 'd':
      return isDigit;
    case 'D':
      return (unit) => !isDigit(unit);
    case 'w':
      return isWord;
    case 'W':
      return (unit) => !isWord(unit);
    case 's':
      return isSpace;
    case 'S':
      return (unit) => !isSpace(unit);
    default:
      return undefined;
  }
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

function isWord(unit: number): boolean {
  return isDigit(unit) || unit === 0x5f || (unit >= 0x41 && unit <= 0x5a) || (unit >= 0x61 && unit <= 0x7a);
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
}

function isWordBoundary(text: string, at: number): boolean {
  const before = at > 0 && isWord(text.charCodeAt(at - 1));
  const after = at < text.length && isWord(text.charCodeAt(at));
  return before !== after;
}

function invalid(source: string, problem: string): BurrowError {
  return new BurrowError(
    'INVALID_ARGUMENT',
    `The pattern ${JSON.stringify(source.slice(0, 60))} is not valid: ${problem}.`,
  );
}

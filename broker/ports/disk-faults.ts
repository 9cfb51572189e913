/** Faults for the in-memory disk: which call fails, when, and with what. */
import type { Random } from './random.ts';
import { randomChance } from './random-choices.ts';

/** One call on a disk. Those that change something are numbered by the disk, in the order in which they take effect. */
export interface DiskOperation {
  readonly kind:
    | 'open'
    | 'create'
    | 'read'
    | 'write'
    | 'sync'
    | 'truncate'
    | 'size'
    | 'rename'
    | 'remove'
    | 'removeTree'
    | 'makeDirectory'
    | 'syncDirectory'
    | 'list'
    | 'exists'
    | 'freeBytes';
  /** As the caller wrote it. */
  readonly path: string;
  /** Of a rename. */
  readonly to?: string;
  /** Of a read or write. */
  readonly position?: number;
  /** Of a read, write or truncate. */
  readonly bytes?: number;
}

export type DiskOperationKind = DiskOperation['kind'];

const READING: ReadonlySet<DiskOperationKind> = new Set(['open', 'read', 'size', 'list', 'exists', 'freeBytes']);

/** Whether it changes what is stored or makes it durable. */
export function isChange(operation: DiskOperation): boolean {
  return !READING.has(operation.kind);
}

/** All conditions must hold. A fault with neither `nth` nor `probability` hits every operation that matches. */
export interface DiskFaultRule {
  readonly on: DiskOperationKind | readonly DiskOperationKind[];
  /** Name of the system error. Default `EIO`. */
  readonly code?: string;
  readonly when?: (operation: DiskOperation) => boolean;
  /** Only the nth operation that matches, counted from 1. */
  readonly nth?: number;
  /** From 0 to 1. */
  readonly probability?: number;
  /** How often it strikes at most. Default: without end. */
  readonly times?: number;
}

/** A rule at work. */
export class DiskFault {
  readonly #rule: DiskFaultRule;
  #matches = 0;
  #hits = 0;
  #removed: boolean = false;

  constructor(rule: DiskFaultRule) {
    this.#rule = rule;
  }

  /** How often it has struck. */
  get hits(): number {
    return this.#hits;
  }

  remove(): void {
    this.#removed = true;
  }

  /** The code of the error that `operation` fails with, or undefined if this fault does not strike. */
  strike(operation: DiskOperation, random: Random): string | undefined {
    const { on, code, when, nth, probability, times } = this.#rule;
    if (this.#removed || (times !== undefined && this.#hits >= times)) return undefined;
    if (typeof on === 'string' ? on !== operation.kind : !on.includes(operation.kind)) return undefined;
    if (when !== undefined && !when(operation)) return undefined;
    this.#matches++;
    if (nth !== undefined && this.#matches !== nth) return undefined;
    if (probability !== undefined && !randomChance(random, probability)) return undefined;
    this.#hits++;
    return code ?? 'EIO';
  }
}

const TEXTS: ReadonlyMap<string, string> = new Map([
  ['EBADF', 'bad file descriptor'],
  ['EEXIST', 'file already exists'],
  ['EFBIG', 'file too large'],
  ['EINVAL', 'invalid argument'],
  ['EIO', 'i/o error'],
  ['EISDIR', 'illegal operation on a directory'],
  ['EMFILE', 'too many open files'],
  ['ENOENT', 'no such file or directory'],
  ['ENOSPC', 'no space left on device'],
  ['ENOTDIR', 'not a directory'],
  ['ENOTEMPTY', 'directory not empty'],
  ['EHALTED', 'the disk is halted: its machine has crashed'],
]);

/** An error as node:fs makes them. */
export function diskError(code: string, operation: DiskOperation): Error {
  const target = operation.to === undefined ? '' : ` -> '${operation.to}'`;
  const text = `${code}: ${TEXTS.get(code) ?? 'injected fault'}, ${operation.kind} '${operation.path}'${target}`;
  return Object.assign(new Error(text), { code, syscall: operation.kind, path: operation.path });
}

/** What is noted of an error, in bounded texts. Handlers may throw anything: nothing here throws in turn. */
import { isBurrowError } from '../../src/errors/burrow-error.ts';

export interface ErrorDescription {
  /** The code of a BurrowError, else the error's name; `typeof` for what is no error. */
  readonly name: string;
  readonly message: string;
  /** With the stacks of its causes; empty if there is none. */
  readonly stack: string;
}

/** In bytes of UTF-8. */
export interface ErrorLimits {
  readonly messageBytesMax: number;
  readonly stackBytesMax: number;
}

export const ERROR_NAME_BYTES_MAX = 256;
/** A cause may have a cause …, and even be its own. */
const CAUSES_MAX = 5;

/** When the record has no room for more. */
export const BRIEF_ERROR_LIMITS: ErrorLimits = { messageBytesMax: 128, stackBytesMax: 0 };

export function describeError(error: unknown, limits: ErrorLimits): ErrorDescription {
  return {
    name: cutUtf8(
      textOr('Error', () => nameOf(error)),
      ERROR_NAME_BYTES_MAX,
    ),
    message: cutUtf8(
      textOr('', () => messageOf(error)),
      limits.messageBytesMax,
    ),
    stack: cutUtf8(
      textOr('', () => stackOf(error)),
      limits.stackBytesMax,
    ),
  };
}

/** The longest beginning of `text` that takes at most `bytesMax` bytes; no character is cut in two. */
export function cutUtf8(text: string, bytesMax: number): string {
  // Each unit takes at least one byte: what lies further back cannot be in. A pair of surrogates stays whole.
  const head = text.length > bytesMax ? text.slice(0, bytesMax).replace(/[\ud800-\udbff]$/, '') : text;
  const bytes = new Uint8Array(Math.min(bytesMax, head.length * 3));
  const { written } = encoder.encodeInto(head, bytes);
  return decoder.decode(bytes.subarray(0, written));
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Getters and conversions of a thrown object may throw, or give anything. */
function textOr(fallback: string, read: () => unknown): string {
  try {
    const text = read();
    return typeof text === 'string' ? text : fallback;
  } catch {
    return fallback;
  }
}

function nameOf(error: unknown): unknown {
  if (isBurrowError(error)) return error.code;
  return isObject(error) ? (error as { name?: unknown }).name : typeof error;
}

function messageOf(error: unknown): unknown {
  if (!isObject(error)) return String(error);
  const { message } = error as { message?: unknown };
  return typeof message === 'string' ? message : String(error);
}

function stackOf(error: unknown): string {
  const stacks: string[] = [];
  let each = error;
  while (isObject(each) && stacks.length <= CAUSES_MAX) {
    const { stack, cause } = each as { stack?: unknown; cause?: unknown };
    if (typeof stack === 'string') stacks.push(stack);
    else if (stacks.length > 0) stacks.push(textOr('', () => messageOf(each)));
    else break;
    each = cause;
  }
  return stacks.join('\nCaused by: ');
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

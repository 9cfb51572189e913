/** Checks of option values: what is wrong, its bounds, and the option's name. Defaults stand beside each option's use. */
import { BurrowError } from '../src/errors/burrow-error.ts';

/** `value` or the default, if it is an integer within bounds. */
export function integerOption(
  name: string,
  value: number | undefined,
  bounds: { fallback: number; min: number; max?: number },
): number {
  if (value === undefined) return bounds.fallback;
  const max = bounds.max ?? Number.MAX_SAFE_INTEGER;
  if (!Number.isSafeInteger(value) || value < bounds.min || value > max) {
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `Option ${name} must be an integer from ${bounds.min} to ${max}, not ${String(value)}.`,
      { fields: { option: name } },
    );
  }
  return value;
}

/** `value` or the default, if it is one of the choices. */
export function choiceOption<T extends string | number>(
  name: string,
  value: T | undefined,
  choices: readonly T[],
  fallback: T,
): T {
  if (value === undefined) return fallback;
  if (!choices.includes(value)) {
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `Option ${name} must be one of ${choices.join(', ')}, not ${String(value)}.`,
      { fields: { option: name } },
    );
  }
  return value;
}

/** An offset, partition or timestamp that a user passed. */
export function checkNonNegativeInteger(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new BurrowError('INVALID_ARGUMENT', `${name} must be a non-negative integer, not ${String(value)}.`);
  }
}

export function checkTopicName(topic: unknown): asserts topic is string {
  if (typeof topic !== 'string' || topic.length === 0) {
    throw new BurrowError('INVALID_ARGUMENT', `A topic must be a non-empty string, not ${String(topic)}.`);
  }
}

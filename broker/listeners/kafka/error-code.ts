/** Errors as Kafka clients see them: a number of Kafka's Errors.java and a text, looked up in the error table. */
import { type BurrowError, toBurrowError } from '../../../src/errors/burrow-error.ts';
import { errorRow } from '../../../src/errors/table.ts';
import type { Logger } from '../../ports/logger.ts';

export const NO_ERROR = 0;

export interface KafkaError {
  readonly errorCode: number;
  readonly errorMessage: string;
}

/**
 * The Kafka form of anything that was thrown. An error that has none is thrown on, which closes the connection.
 * Unexpected ones are logged here, since the client is told little of them.
 */
export function toKafkaError(thrown: unknown, logger: Logger): KafkaError {
  const error: BurrowError = toBurrowError(thrown);
  const errorCode = errorRow(error.code).kafka;
  if (errorCode === undefined) throw error;
  if (error.code === 'INTERNAL_ERROR') logger.error({ err: error }, 'kafka request failed unexpectedly');
  return { errorCode, errorMessage: error.message };
}

/** What the messages of the native protocol are made of. */
import { int16, list, nullable, type Schema, string, struct, uint32 } from './schema.ts';

/** Most topics, partitions or entries in one request. */
export const ENTRIES_MAX = 100_000;
const NAME_MAX = 255;
const TEXT_MAX = 4096;
export const name = string(NAME_MAX);
export const text = string(TEXT_MAX);
export const message = nullable(string(65_536));
export const errorNumber = int16;
export const entries = <T>(schema: Schema<T>): Schema<readonly T[]> => list(schema, ENTRIES_MAX);
export const result = { errorNumber, message };
/** Where a list is read from and how far; brokers answer with fewer if they wish, and with none at the end. */
export const page = { skip: uint32, limit: uint32 };
export const named = struct({ name, ...result });
export interface MessageDefinition<Request, Response> {
  readonly api: number;
  readonly request: Schema<Request>;
  readonly response: Schema<Response>;
}

export function define<Q, R>(api: number, request: Schema<Q>, response: Schema<R>): MessageDefinition<Q, R> {
  return { api, request, response };
}

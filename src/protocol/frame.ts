/**
 * Frames of the native protocol: one WebSocket message, one MessagePack array.
 *
 *     request   client → broker   [api, correlationId, body]
 *     response  broker → client   [0, correlationId, errorNumber, body]; after an error, body is [text, [[field, value], …]]
 *     push      broker → client   [type ≥ 1, streamId, body]
 */
import { Unpackr } from 'msgpackr/unpack';
import { BurrowError } from '../errors/burrow-error.ts';
import { errorNameByNumber } from '../errors/table.ts';
import { encodeValue, encodeValueParts } from './encode-value.ts';
import {
  DELIVERIES_PUSH_BODY,
  type DeliveriesPush,
  ENDED_PUSH_BODY,
  MESSAGES,
  type MessageName,
  RECORDS_PUSH_BODY,
  type RecordsPush,
  type RequestOf,
  type ResponseOf,
} from './messages.ts';
import { REQUEST_SCAN_LIMITS, SCAN_LIMITS, type ScanLimits, scanValue } from './scan-value.ts';
import type { Schema } from './schema.ts';
import {
  type CHANNEL_CLOSED_PUSH,
  type CONSUMER_ENDED_PUSH,
  DELIVERIES_PUSH,
  GOING_AWAY_PUSH,
  RECORDS_PUSH,
  RESPONSE_FRAME,
} from './version.ts';

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: false, int64AsType: 'number' });

export interface RequestFrame {
  readonly api: number;
  readonly correlationId: number;
  /** Not checked yet: {@link decodeRequest} does that. */
  readonly body: unknown;
}

export type ServerFrame =
  | {
      readonly kind: 'response';
      readonly correlationId: number;
      readonly error: BurrowError | undefined;
      readonly body: unknown;
    }
  | { readonly kind: 'push'; readonly type: number; readonly streamId: number; readonly body: unknown };

export function encodeRequest<N extends MessageName>(
  name: N,
  correlationId: number,
  request: RequestOf<N>,
): Uint8Array {
  const { api, request: schema } = MESSAGES[name];
  return encodeValue([api, correlationId, (schema as Schema<unknown>).encode(request)]);
}

export function encodeResponse<N extends MessageName>(
  name: N,
  correlationId: number,
  response: ResponseOf<N>,
): Uint8Array {
  return encodeValue([RESPONSE_FRAME, correlationId, 0, (MESSAGES[name].response as Schema<unknown>).encode(response)]);
}

/** As `encodeResponse`, in parts: large records are those of `response` themselves, which must not change any more. */
export function encodeResponseParts<N extends MessageName>(
  name: N,
  correlationId: number,
  response: ResponseOf<N>,
): Uint8Array[] {
  const body = (MESSAGES[name].response as Schema<unknown>).encode(response);
  return encodeValueParts([RESPONSE_FRAME, correlationId, 0, body]);
}

export function encodeErrorResponse(correlationId: number, error: BurrowError): Uint8Array {
  return encodeValue([RESPONSE_FRAME, correlationId, error.number, [error.message, Object.entries(error.fields)]]);
}

export function encodeGoingAway(): Uint8Array {
  return encodeValue([GOING_AWAY_PUSH, 0, []]);
}

/** In parts: large records are those of `push` themselves, which must not change any more. */
export function encodeRecordsPushParts(streamId: number, push: RecordsPush): Uint8Array[] {
  return encodeValueParts([RECORDS_PUSH, streamId, RECORDS_PUSH_BODY.encode(push)]);
}

/** Checks the body of a push of records. */
export function decodeRecordsPush(body: unknown): RecordsPush {
  return RECORDS_PUSH_BODY.decode(body, 'records');
}

/** In parts, likewise. */
export function encodeDeliveriesPushParts(channelId: number, push: DeliveriesPush): Uint8Array[] {
  return encodeValueParts([DELIVERIES_PUSH, channelId, DELIVERIES_PUSH_BODY.encode(push)]);
}

export function decodeDeliveriesPush(body: unknown): DeliveriesPush {
  return DELIVERIES_PUSH_BODY.decode(body, 'deliveries');
}

export function encodeEndedPush(
  type: typeof CONSUMER_ENDED_PUSH | typeof CHANNEL_CLOSED_PUSH,
  channelId: number,
  error: BurrowError,
): Uint8Array {
  return encodeValue([type, channelId, [error.number, error.message]]);
}

/** Why a consumer or a channel has ended. */
export function decodeEndedPush(body: unknown): BurrowError {
  return entryError(ENDED_PUSH_BODY.decode(body, 'ended')) ?? new BurrowError('INTERNAL_ERROR');
}

/** Throws MALFORMED_FRAME. Binaries in the body are slices of `bytes`. */
export function decodeRequestFrame(bytes: Uint8Array, limits: ScanLimits = REQUEST_SCAN_LIMITS): RequestFrame {
  const value = unpack(bytes, limits);
  const [api, correlationId, body] = value;
  if (value.length < 3 || !isUint32(api) || !isUint32(correlationId)) {
    throw new BurrowError('MALFORMED_FRAME', 'A request must be [api, correlationId, body].');
  }
  return { api, correlationId, body };
}

/** Checks the body of a request. Throws INVALID_ARGUMENT naming the field. */
export function decodeRequest<N extends MessageName>(name: N, body: unknown): RequestOf<N> {
  return (MESSAGES[name].request as Schema<unknown>).decode(body, name) as RequestOf<N>;
}

/** Checks the body of a successful response. */
export function decodeResponse<N extends MessageName>(name: N, body: unknown): ResponseOf<N> {
  return (MESSAGES[name].response as Schema<unknown>).decode(body, name) as ResponseOf<N>;
}

/** Throws MALFORMED_FRAME. */
export function decodeServerFrame(bytes: Uint8Array): ServerFrame {
  const value = unpack(bytes, SCAN_LIMITS);
  const [type, id, third, fourth] = value;
  if (!isUint32(type) || !isUint32(id))
    throw new BurrowError('MALFORMED_FRAME', 'A frame must begin with two numbers.');
  if (type !== RESPONSE_FRAME) return { kind: 'push', type, streamId: id, body: third };
  if (!isUint32(third)) throw new BurrowError('MALFORMED_FRAME', 'A response must carry an error number.');
  const error = third === 0 ? undefined : decodeError(third, fourth);
  return { kind: 'response', correlationId: id, error, body: fourth };
}

function decodeError(number: number, body: unknown): BurrowError {
  const [text, entries] = Array.isArray(body) ? (body as unknown[]) : [];
  const fields: Record<string, string | number | boolean> = Object.create(null);
  if (Array.isArray(entries)) {
    for (const entry of entries as unknown[]) {
      if (!Array.isArray(entry) || typeof entry[0] !== 'string') continue;
      const value: unknown = entry[1];
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
        fields[entry[0]] = value;
    }
  }
  return new BurrowError(errorNameByNumber(number), typeof text === 'string' ? text : undefined, { fields });
}

/** The error that a per-entry error number and message stand for; undefined for 0. */
export function entryError(entry: {
  readonly errorNumber: number;
  readonly message: string | null;
}): BurrowError | undefined {
  if (entry.errorNumber === 0) return undefined;
  return new BurrowError(errorNameByNumber(entry.errorNumber), entry.message ?? undefined);
}

function unpack(bytes: Uint8Array, limits: ScanLimits): unknown[] {
  scanValue(bytes, limits);
  let value: unknown;
  try {
    value = unpackr.unpack(bytes);
  } catch (error) {
    throw new BurrowError('MALFORMED_FRAME', 'The message is not valid MessagePack.', { cause: error });
  }
  if (!Array.isArray(value)) throw new BurrowError('MALFORMED_FRAME', 'A message must be an array.');
  return value as unknown[];
}

function isUint32(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

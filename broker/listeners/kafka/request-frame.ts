/**
 * From a frame to a request, and from a response to a frame.
 *
 *     request frame   = apiKey int16 · apiVersion int16 · correlationId int32 · clientId · [tagged fields] · body
 *     response frame  = length int32 · correlationId int32 · [tagged fields] · body
 *
 * Tagged fields stand in the headers of flexible versions only, and never in the response header of ApiVersions.
 */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { Api } from './api.ts';
import { apiByKey } from './api-registry.ts';
import { API_VERSIONS_KEY, unsupportedApiVersions } from './apis/18-api-versions.ts';
import { compileMessage } from './codec.ts';
import { MessageReader } from './message-reader.ts';
import { MessageWriter } from './message-writer.ts';
import { requestHeader, responseHeader } from './schema/headers.ts';

const requestHeaderCodec = compileMessage(requestHeader);
const responseHeaderCodec = compileMessage(responseHeader);

const LENGTH_BYTES = 4;

export interface KafkaRequest {
  readonly api: Api;
  readonly version: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  readonly message: unknown;
}

/**
 * Decodes a frame that has room for key, version and correlation id. Throws UNSUPPORTED_VERSION, since the form of an answer
 * is not known for an API or version that we do not have, or MALFORMED_FRAME.
 */
export function decodeRequest(frame: Buffer, elementsMax: number): KafkaRequest {
  const apiKey = frame.readInt16BE(0);
  const version = frame.readInt16BE(2);
  const correlationId = frame.readInt32BE(4);
  const api = apiByKey(apiKey);
  if (api === undefined || version < api.versions.min || version > api.versions.max) {
    if (apiKey === API_VERSIONS_KEY) {
      return { api: unsupportedApiVersions, version: 0, correlationId, clientId: null, message: undefined };
    }
    throw new BurrowError('UNSUPPORTED_VERSION', `API ${api?.name ?? apiKey} is not served in version ${version}.`, {
      fields: { apiKey, version },
    });
  }
  const reader = new MessageReader(frame, 0, elementsMax);
  const { clientId } = requestHeaderCodec.decode(reader, version >= api.flexibleSince ? 2 : 1);
  const message = reader.ok ? api.decode(reader, version) : undefined;
  if (!reader.ok) {
    throw new BurrowError('MALFORMED_FRAME', `The ${api.name} request of version ${version} cannot be decoded.`, {
      fields: { apiKey, version, bytes: frame.length },
    });
  }
  return { api, version, correlationId, clientId, message };
}

/** The frame of a response. Records in it are not copied. */
export function encodeResponse({ api, version, correlationId }: KafkaRequest, response: unknown): Buffer[] {
  const writer = new MessageWriter();
  writer.reserve(LENGTH_BYTES);
  const flexible = version >= api.flexibleSince && api.key !== API_VERSIONS_KEY;
  responseHeaderCodec.encode(writer, flexible ? 1 : 0, { correlationId });
  api.encode(writer, version, response);
  return writer.finishFrame();
}

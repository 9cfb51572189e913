/**
 * ApiVersions, versions 0–4: which APIs and versions this listener has. The first request of nearly every client.
 *
 * - v3 is flexible and brings the client's software name (KIP-511); features stay empty, since transaction.version would
 *   promise transactions of the second kind (KIP-890).
 * - v4 allows features whose lowest version is 0.
 * - A version that we do not know is answered in the form of version 0 with UNSUPPORTED_VERSION and our own range, from
 *   which the client picks one (KIP-511).
 * - The response header is always version 0, since a client cannot know yet what we speak.
 */
import { errorRow } from '../../../../src/errors/table.ts';
import { type AnnouncedApi, type Api, defineApi } from '../api.ts';
import { NO_ERROR } from '../error-code.ts';
import { apiVersionsRequest, apiVersionsResponse } from '../schema/18-api-versions.ts';

export const API_VERSIONS_KEY = 18;

export const apiVersions = defineApi({
  key: API_VERSIONS_KEY,
  name: 'ApiVersions',
  request: apiVersionsRequest,
  response: apiVersionsResponse,
  handle: (_request, { announcedApis }) => ({ errorCode: NO_ERROR, apiKeys: announcedApis.map(announced) }),
});

/** Takes the place of ApiVersions for a request of a version that we do not know; answers in the form of version 0. */
export const unsupportedApiVersions: Api = {
  ...apiVersions,
  handle: () => ({ errorCode: errorRow('UNSUPPORTED_VERSION').kafka, apiKeys: [announced(apiVersions)] }),
};

function announced({ key, versions }: AnnouncedApi) {
  return { apiKey: key, minVersion: versions.min, maxVersion: versions.max };
}

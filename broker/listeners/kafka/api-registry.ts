/** The APIs that the listener has. What is not here is not announced, and who sends it is disconnected. */
import type { Api } from './api.ts';
import { produce } from './apis/00-produce.ts';
import { fetch } from './apis/01-fetch.ts';
import { listOffsets } from './apis/02-list-offsets.ts';
import { metadata } from './apis/03-metadata.ts';
import { findCoordinator } from './apis/10-find-coordinator.ts';
import { apiVersions } from './apis/18-api-versions.ts';
import { initProducerId } from './apis/22-init-producer-id.ts';

export const APIS: readonly Api[] = [
  produce,
  fetch,
  listOffsets,
  metadata,
  findCoordinator,
  apiVersions,
  initProducerId,
];

const API_BY_KEY: ReadonlyMap<number, Api> = new Map(APIS.map((api) => [api.key, api]));

export function apiByKey(key: number): Api | undefined {
  return API_BY_KEY.get(key);
}

/**
 * AlterConfigs, versions 0–2: replaces all settings of a topic; those not named go back to their defaults. v2 is flexible.
 * Kafka took it away in 4.0 in favour of IncrementalAlterConfigs; kafkajs and older tools have nothing else.
 */
import { defineApi, type RequestContext } from '../api.ts';
import { alterConfigs as alter, type ConfigChanges } from '../configs.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { alterConfigsRequest, alterConfigsResponse } from '../schema/33-alter-configs.ts';
import type { Decoded } from '../schema/field.ts';

export const alterConfigs = defineApi({
  key: 33,
  name: 'AlterConfigs',
  request: alterConfigsRequest,
  response: alterConfigsResponse,
  async handle({ resources, validateOnly }, context) {
    return { responses: await Promise.all(resources.map((resource) => replace(resource, validateOnly, context))) };
  },
});

type Resource = Decoded<typeof alterConfigsRequest.fields>['resources'][number];

async function replace(resource: Resource, validateOnly: boolean, { service, logger }: RequestContext) {
  const { resourceType, resourceName, configs } = resource;
  try {
    await alter(service, { resourceType, resourceName, validateOnly }, (current): ConfigChanges => {
      const changes = new Map<string, string | undefined>();
      for (const { key, isDefault } of current) if (!isDefault) changes.set(key, undefined);
      for (const { name, value } of configs) changes.set(name, value ?? undefined);
      return changes;
    });
    return { errorCode: NO_ERROR, errorMessage: null, resourceType, resourceName };
  } catch (error) {
    return { ...toKafkaError(error, logger), resourceType, resourceName };
  }
}

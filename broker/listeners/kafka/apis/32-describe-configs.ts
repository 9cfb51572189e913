/**
 * DescribeConfigs, versions 0–4: the settings of topics and of this broker.
 *
 * - v1 tells where a value comes from, with synonyms (KIP-226: we give the value's own source only); v3 adds types and
 *   documentation (KIP-569); v4 is flexible.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import type { TopicConfigEntry } from '../../../partitions/broker-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { BROKER_RESOURCE, CONFIG_TYPES, configSource, TOPIC_RESOURCE } from '../configs.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import { describeConfigsRequest, describeConfigsResponse } from '../schema/32-describe-configs.ts';
import type { Decoded } from '../schema/field.ts';

/** ConfigSource of Kafka: a setting of the broker that was given at its start. */
const STATIC_BROKER_CONFIG = 4;

export const describeConfigs = defineApi({
  key: 32,
  name: 'DescribeConfigs',
  request: describeConfigsRequest,
  response: describeConfigsResponse,
  handle: (request, context) => ({
    results: request.resources.map((resource) => describeResource(resource, request, context)),
  }),
});

type DescribeConfigsRequest = Decoded<typeof describeConfigsRequest.fields>;
type Resource = DescribeConfigsRequest['resources'][number];

function describeResource(resource: Resource, request: DescribeConfigsRequest, context: RequestContext) {
  const { resourceType, resourceName, configurationKeys } = resource;
  try {
    // Kafka documents null as "all", and takes an empty list for it too.
    const keys = configurationKeys === null || configurationKeys.length === 0 ? undefined : new Set(configurationKeys);
    const entries = entriesOf(resource, context).filter(({ key }) => keys === undefined || keys.has(key));
    const configs = entries.map((entry) => describeEntry(entry, resourceType, request));
    return { errorCode: NO_ERROR, errorMessage: null, resourceType, resourceName, configs };
  } catch (error) {
    return { ...toKafkaError(error, context.logger), resourceType, resourceName, configs: [] };
  }
}

function entriesOf({ resourceType, resourceName }: Resource, { service }: RequestContext) {
  if (resourceType === TOPIC_RESOURCE) return service.describeTopicConfigs(resourceName);
  if (resourceType === BROKER_RESOURCE) {
    // The empty name stands for defaults of all brokers.
    if (resourceName !== '' && resourceName !== String(service.nodeId)) {
      throw new BurrowError('INVALID_ARGUMENT', `This is broker ${service.nodeId}, not ${resourceName}: ask that one.`);
    }
    return service.describeBrokerConfigs();
  }
  throw new BurrowError('INVALID_ARGUMENT', `A resource of type ${resourceType} has no settings here.`);
}

function describeEntry(entry: TopicConfigEntry, resourceType: number, request: DescribeConfigsRequest) {
  const { key: name, value, isDefault } = entry;
  const isBroker = resourceType === BROKER_RESOURCE;
  const source = isBroker && !isDefault ? STATIC_BROKER_CONFIG : configSource(entry);
  return {
    name,
    value,
    readOnly: isBroker,
    isDefault,
    configSource: source,
    isSensitive: false,
    synonyms: request.includeSynonyms ? [{ name, value, source }] : [],
    configType: CONFIG_TYPES[entry.type],
    documentation: request.includeDocumentation ? entry.documentation : null,
  };
}

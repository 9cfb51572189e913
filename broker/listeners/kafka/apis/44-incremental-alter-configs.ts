/**
 * IncrementalAlterConfigs, versions 0–1 (KIP-339): sets, resets, extends or shortens single settings. v1 is flexible.
 */
import { BurrowError } from '../../../../src/errors/burrow-error.ts';
import type { TopicConfigEntry } from '../../../partitions/broker-service.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { alterConfigs, type ConfigChanges } from '../configs.ts';
import { NO_ERROR, toKafkaError } from '../error-code.ts';
import {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '../schema/44-incremental-alter-configs.ts';
import type { Decoded } from '../schema/field.ts';

/** AlterConfigOp.OpType of Kafka. */
const SET = 0;
const DELETE = 1;
const APPEND = 2;
const SUBTRACT = 3;

export const incrementalAlterConfigs = defineApi({
  key: 44,
  name: 'IncrementalAlterConfigs',
  request: incrementalAlterConfigsRequest,
  response: incrementalAlterConfigsResponse,
  async handle({ resources, validateOnly }, context) {
    return { responses: await Promise.all(resources.map((resource) => change(resource, validateOnly, context))) };
  },
});

type Resource = Decoded<typeof incrementalAlterConfigsRequest.fields>['resources'][number];
type AlterableConfig = Resource['configs'][number];

async function change(resource: Resource, validateOnly: boolean, { service, logger }: RequestContext) {
  const { resourceType, resourceName, configs } = resource;
  try {
    await alterConfigs(service, { resourceType, resourceName, validateOnly }, (current) => toChanges(configs, current));
    return { errorCode: NO_ERROR, errorMessage: null, resourceType, resourceName };
  } catch (error) {
    return { ...toKafkaError(error, logger), resourceType, resourceName };
  }
}

function toChanges(configs: readonly AlterableConfig[], current: readonly TopicConfigEntry[]): ConfigChanges {
  const changes = new Map<string, string | undefined>();
  for (const { name, configOperation, value } of configs) {
    if (changes.has(name)) throw new BurrowError('INVALID_ARGUMENT', `The request changes ${name} more than once.`);
    if (configOperation === DELETE) {
      changes.set(name, undefined);
      continue;
    }
    if (value === null) throw new BurrowError('INVALID_CONFIG', `The setting ${name} has no value.`);
    changes.set(name, configOperation === SET ? value : changeList(name, configOperation, value, current));
  }
  return changes;
}

function changeList(name: string, operation: number, value: string, current: readonly TopicConfigEntry[]): string {
  const entry = current.find(({ key }) => key === name);
  if (entry?.type !== 'list') throw new BurrowError('INVALID_CONFIG', `The setting ${name} is not a list.`);
  const present = elements(entry.value);
  const named = elements(value);
  if (operation === APPEND) return [...present, ...named.filter((element) => !present.includes(element))].join(',');
  if (operation === SUBTRACT) return present.filter((element) => !named.includes(element)).join(',');
  throw new BurrowError('INVALID_ARGUMENT', `There is no operation ${operation} on settings.`);
}

function elements(list: string): string[] {
  return list
    .split(',')
    .map((element) => element.trim())
    .filter((element) => element !== '');
}

/** Settings as Kafka's config APIs see them: which resources have them, where values come from, and how to change them. */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { BrokerService, TopicConfigEntry } from '../../partitions/broker-service.ts';

/** ConfigResource.Type of Kafka. */
export const TOPIC_RESOURCE = 2;
export const BROKER_RESOURCE = 4;

/** ConfigSource of DescribeConfigs. */
const DYNAMIC_TOPIC_CONFIG = 1;
const DEFAULT_CONFIG = 5;

export function configSource(entry: TopicConfigEntry): number {
  return entry.isDefault ? DEFAULT_CONFIG : DYNAMIC_TOPIC_CONFIG;
}

/** ConfigType of DescribeConfigs (KIP-569). */
export const CONFIG_TYPES: Readonly<Record<TopicConfigEntry['type'], number>> = {
  boolean: 1,
  string: 2,
  int: 3,
  long: 5,
  double: 6,
  list: 7,
};

export type ConfigChanges = ReadonlyMap<string, string | undefined>;

/** Changes the settings of a topic: the only resource whose settings can be changed while the broker runs. */
export async function alterConfigs(
  service: BrokerService,
  resource: { resourceType: number; resourceName: string; validateOnly: boolean },
  changesOf: (current: readonly TopicConfigEntry[]) => ConfigChanges,
): Promise<void> {
  const { resourceType, resourceName, validateOnly } = resource;
  if (resourceType !== TOPIC_RESOURCE) {
    throw new BurrowError(
      'INVALID_ARGUMENT',
      `Settings of a resource of type ${resourceType} cannot be altered; those of topics can.`,
    );
  }
  const changes = changesOf(service.describeTopicConfigs(resourceName));
  await service.alterTopicConfigs(resourceName, changes, { validateOnly });
}

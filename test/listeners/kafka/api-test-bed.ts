/** What the tests of single APIs start from: a listener in front of the model, a client, and requests that recur. */
import { onTestFinished } from 'vitest';
import type { Fields, VersionRange } from '../../../broker/listeners/kafka/schema/field.ts';
import { type FakeTargetOptions, startFakeTarget } from '../../support/kafka-target.ts';
import { type ApiTables, KafkaTestClient } from '../../support/kafka-test-client.ts';

export const NO_ID = Buffer.alloc(16);
export const UNKNOWN_ID = Buffer.alloc(16, 7);

export async function start(options: FakeTargetOptions = {}) {
  const target = await startFakeTarget({ batchBytesMax: 100_000, ...options });
  onTestFinished(() => target.close());
  const client = await KafkaTestClient.connect(target.port);
  onTestFinished(() => client.close());
  const { service } = target;
  const createTopic = (name: string, partitions = 1, configs: ReadonlyMap<string, string> = new Map()) =>
    service.createTopic({ name, partitions, replicationFactor: -1, configs }, { validateOnly: false });
  return { ...target, client, createTopic };
}

const range = ({ min, max }: VersionRange, from = min) =>
  Array.from({ length: max - from + 1 }, (_, index) => from + index);
export const versions = <Q extends Fields, R extends Fields>(api: ApiTables<Q, R>, from?: number) =>
  range(api.request.versions, from);

export const produceRequest = (
  name: string,
  records: Buffer | null,
  options: { index?: number; acks?: number; transactionalId?: string } = {},
) => ({
  acks: options.acks ?? -1,
  timeoutMs: 1000,
  transactionalId: options.transactionalId ?? null,
  topicData: [{ name, partitionData: [{ index: options.index ?? 0, records }] }],
});

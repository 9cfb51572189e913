/**
 * Translates native requests into calls on the broker's services and their outcomes into responses. One entry per
 * message; what fails, fails per entry. Produce and fetch are per batch, nothing here is per record.
 */
import { asBuffer } from '../../../src/bytes/as-buffer.ts';
import { BurrowError, toBurrowError } from '../../../src/errors/burrow-error.ts';
import { errorRow } from '../../../src/errors/table.ts';
import type { RequestOf, ResponseOf } from '../../../src/protocol/messages.ts';
import type { BrokerService, FetchRequest, PendingFetch } from '../../partitions/broker-service.ts';
import type { Clock, Timer } from '../../ports/clock.ts';
import { groupHandlers } from './group-handlers.ts';
import { entry, failure, type Handler, type HandlerContext, type SimpleMessage, SUCCESS, unique } from './handler.ts';
import { queueHandlers } from './queue-handlers.ts';
import { userHandlers } from './user-handlers.ts';

const handlers: { readonly [N in SimpleMessage]: Handler<N> } = {
  ...groupHandlers,
  ...queueHandlers,
  ...userHandlers,

  async metadata({ service }, { topics, autoCreate }) {
    const described: Array<ResponseOf<'metadata'>['topics'][number]> = [];
    for (const name of topics === null ? service.topicNames() : new Set(topics))
      described.push(await describeTopic(service, name, autoCreate));
    return {
      clusterId: service.clusterId,
      controllerId: service.controllerId,
      brokers: service
        .brokers('native')
        .map(({ nodeId, host, port, rack }) => ({ nodeId, host, port, rack: rack ?? null })),
      topics: described,
    };
  },

  async produce({ service, clock }, { acks, timeoutMs, partitions }) {
    if (acks !== 0 && acks !== 1 && acks !== -1) {
      throw invalid(`acks must be -1 (all), 0 or 1, not ${acks}.`);
    }
    const answers: Array<ProducedPartition | undefined> = new Array(partitions.length).fill(undefined);
    // All are appended in this turn, in the order of the request; only the waiting is asynchronous.
    const stored = Promise.all(
      partitions.map(async ({ topic, partition, records }, index) => {
        try {
          const outcome = await service.produce({ topic, partition, acks, records: asBuffer(records[0]!) });
          answers[index] = { topic, partition, ...SUCCESS, ...outcome };
        } catch (error) {
          answers[index] = { topic, partition, ...failure(error), ...NOT_PRODUCED };
        }
      }),
    );
    await withinTime(clock, timeoutMs, stored);
    return {
      partitions: answers.map((answer, index) => answer ?? timedOut(partitions[index]!, timeoutMs)),
    };
  },

  async listOffsets({ service }, { isolation: isolationNumber, partitions }) {
    const isolation = isolationOf(isolationNumber);
    const pending = partitions.map((asked) => {
      const { topic, partition } = asked;
      return entry(
        async () => {
          const found = await service.listOffset({ ...asked, isolation });
          return { topic, partition, ...SUCCESS, ...found };
        },
        { topic, partition, timestampMs: -1, offset: -1, leaderEpoch: -1 },
      );
    });
    return { partitions: await Promise.all(pending) };
  },

  async initProducerId({ service }, { transactionalId }) {
    if (transactionalId !== null)
      throw notImplemented('Transactions are not available yet; leave transactionalId nil.');
    return { producerId: await service.allocateProducerId(), producerEpoch: 0 };
  },

  async createTopics({ service }, { topics, validateOnly }) {
    const pending = topics.map(({ name, partitions, replicationFactor, configs }) =>
      entry<ResponseOf<'createTopics'>['topics'][number]>(
        async () => {
          const specification = { name, partitions, replicationFactor, configs: uniqueMap(configs) };
          const created = await service.createTopic(specification, { validateOnly });
          return { name, ...SUCCESS, topicId: created.topicId, partitions: created.partitions.length };
        },
        { name, topicId: null, partitions: -1 },
      ),
    );
    return { topics: await Promise.all(pending) };
  },

  async deleteTopics({ service }, { names }) {
    return { topics: await Promise.all(names.map((name) => nameEntry(name, () => service.deleteTopic(name)))) };
  },

  async describeConfigs({ service }, { names }) {
    const pending = unique(names).map((name) =>
      entry(
        () => {
          // The empty name stands for the broker itself.
          const configs = name === '' ? service.describeBrokerConfigs() : service.describeTopicConfigs(name);
          return { name, ...SUCCESS, configs };
        },
        { name, configs: [] },
      ),
    );
    return { topics: await Promise.all(pending) };
  },

  async alterConfigs({ service }, { topics, validateOnly }) {
    const pending = topics.map(({ name, changes }) =>
      nameEntry(name, () => {
        const map = uniqueMap(changes.map(({ key, value }) => ({ key, value: value ?? undefined })));
        return service.alterTopicConfigs(name, map, { validateOnly });
      }),
    );
    return { topics: await Promise.all(pending) };
  },

  async createPartitions({ service }, { topics, validateOnly }) {
    const pending = topics.map(({ name, total }) =>
      nameEntry(name, () => service.createPartitions(name, total, { validateOnly })),
    );
    return { topics: await Promise.all(pending) };
  },

  async deleteRecords({ service }, { partitions }) {
    const pending = partitions.map((asked) => {
      const { topic, partition } = asked;
      return entry(async () => ({ topic, partition, ...SUCCESS, logStartOffset: await service.deleteRecords(asked) }), {
        topic,
        partition,
        logStartOffset: -1,
      });
    });
    return { partitions: await Promise.all(pending) };
  },

  async partitionStatus({ service }, { names }) {
    const pending = unique(names).map((name) =>
      entry(
        () => {
          const partitions = service.partitionStatus(name).map(({ failure: failed, ...status }) => ({
            ...status,
            failureErrorNumber: failed?.number ?? 0,
            failureMessage: failed?.message ?? null,
          }));
          return { name, ...SUCCESS, partitions };
        },
        { name, partitions: [] },
      ),
    );
    return { topics: await Promise.all(pending) };
  },
};

/** Answers a request. Throws where the request as a whole is wrong. */
export async function handle<N extends SimpleMessage>(
  name: N,
  context: HandlerContext,
  request: RequestOf<N>,
): Promise<ResponseOf<N>> {
  const handler = handlers[name] as Handler<N>;
  return handler(context, request);
}

/** Begins a fetch of at most `bytesMax`, whatever the request says; it may wait for data. */
export function beginFetch(
  { service, limits }: Pick<HandlerContext, 'service' | 'limits'>,
  request: RequestOf<'fetch'>,
  bytesMax: number,
): PendingFetch {
  checkFetchedPartitions(request.partitions);
  return service.fetch({
    partitions: request.partitions,
    bytesMin: request.bytesMin,
    bytesMax,
    waitMs: Math.max(0, Math.min(request.waitMs, limits.fetchWaitMsMax)),
    isolation: isolationOf(request.isolation),
  });
}

/** A partition named a thousand times would be looked at a thousand times by each produce that wakes the fetch. */
function checkFetchedPartitions(partitions: RequestOf<'fetch'>['partitions']): void {
  const seen = new Set<string>();
  for (const { topic, partition, bytesMax } of partitions) {
    if (bytesMax < 0) throw invalid(`bytesMax of ${topic}-${partition} must not be negative.`);
    seen.add(`${partition} ${topic}`);
  }
  if (seen.size < partitions.length) throw invalid('A fetch may name each partition once.');
}

export function fetchResponse(fetched: Awaited<PendingFetch['done']>): ResponseOf<'fetch'> {
  return {
    partitions: fetched.map(({ error, ...partition }) => ({
      ...partition,
      errorNumber: error?.number ?? 0,
      message: error?.message ?? null,
    })),
  };
}

type ProducedPartition = ResponseOf<'produce'>['partitions'][number];

const NOT_PRODUCED = { baseOffset: -1, logAppendTimeMs: -1, logStartOffset: -1 } as const;

function timedOut(
  { topic, partition }: RequestOf<'produce'>['partitions'][number],
  timeoutMs: number,
): ProducedPartition {
  const text = `The records were not stored within ${timeoutMs} ms; whether they will be is unknown.`;
  return { topic, partition, ...failure(new BurrowError('REQUEST_TIMED_OUT', text)), ...NOT_PRODUCED };
}

/** Resolves with `work`, or after `timeoutMs` if that comes first. Without limit for 0 and less. */
async function withinTime(clock: Clock, timeoutMs: number, work: Promise<unknown>): Promise<void> {
  if (timeoutMs <= 0) {
    await work;
    return;
  }
  let timer: Timer | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = clock.schedule(timeoutMs, resolve);
  });
  await Promise.race([work, timeout]);
  timer?.cancel();
}

async function describeTopic(
  service: BrokerService,
  name: string,
  autoCreate: boolean,
): Promise<ResponseOf<'metadata'>['topics'][number]> {
  const unknown = (error: BurrowError | undefined) => ({
    errorNumber: error?.number ?? errorRow('UNKNOWN_TOPIC_OR_PARTITION').number,
    name,
    topicId: null,
    internal: false,
    partitions: [],
  });
  let topic = service.describeTopic(name);
  if (topic === undefined) {
    if (!autoCreate || !service.autoCreateTopics) return unknown(undefined);
    try {
      topic = await service.createTopic(
        { name, partitions: -1, replicationFactor: -1, configs: new Map() },
        { validateOnly: false },
      );
    } catch (error) {
      // Somebody else may have created it meanwhile.
      topic = service.describeTopic(name);
      if (topic === undefined) return unknown(toBurrowError(error));
    }
  }
  return { errorNumber: 0, name, topicId: topic.topicId, internal: topic.internal, partitions: topic.partitions };
}

function nameEntry(name: string, work: () => Promise<void>) {
  return entry<{ name: string; errorNumber: number; message: string | null }>(
    async () => {
      await work();
      return { name, ...SUCCESS };
    },
    { name },
  );
}

function uniqueMap<V>(pairs: ReadonlyArray<{ readonly key: string; readonly value: V }>): ReadonlyMap<string, V> {
  const map = new Map<string, V>();
  for (const { key, value } of pairs) {
    if (map.has(key)) throw invalid(`The key ${JSON.stringify(key)} is given twice.`);
    map.set(key, value);
  }
  return map;
}

export function isolationOf(value: number): FetchRequest['isolation'] {
  if (value === 0) return 'read_uncommitted';
  if (value === 1) return 'read_committed';
  throw invalid(`isolation must be 0 or 1, not ${value}.`);
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}

function notImplemented(text: string): BurrowError {
  return new BurrowError('NOT_IMPLEMENTED', text);
}

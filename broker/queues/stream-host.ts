/** The streams of one virtual host: opens them on their topics, and makes, changes and removes the topics that are their own. */
import { toBurrowError } from '../../src/errors/burrow-error.ts';
import type { QueueSettings } from '../definitions/queue-settings.ts';
import type { BrokerService } from '../partitions/broker-service.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { HostedQueue } from './hosted-queue.ts';
import { StreamQueue, type StreamService } from './stream-queue.ts';
import { deleteStreamTopic, ensureStreamTopic, reconfigureStreamTopic, streamTopic } from './stream-topic.ts';
import type { TopicTargets } from './topic-targets.ts';

export type StreamTopicService = StreamService &
  Pick<BrokerService, 'createTopic' | 'alterTopicConfigs' | 'deleteTopic'>;

export interface StreamHostOptions {
  readonly service: StreamTopicService;
  readonly topics: TopicTargets;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What a compressed batch may become. */
  readonly decompressedBytesMax: number;
}

export class StreamHost {
  readonly #options: StreamHostOptions;

  constructor(options: StreamHostOptions) {
    this.#options = options;
  }

  /** For a queue that is being declared: nothing if it is no stream. @throws BurrowError as {@link ensureStreamTopic} */
  async createTopic(name: string, settings: QueueSettings): Promise<void> {
    if (settings.queueType === 'stream') await ensureStreamTopic(this.#options.service, name, settings);
  }

  /**
   * For one that is declared again. A crash may have come between its declaration and its topic, or between the end of its topic and
   * its own; nothing else takes it apart from its topic.
   */
  async restoreTopic(queue: HostedQueue): Promise<void> {
    if (!(queue instanceof StreamQueue)) return;
    const { service } = this.#options;
    if (service.describeTopic(queue.topic) === undefined) await ensureStreamTopic(service, queue.name, queue.settings);
  }

  /** Also without a topic, which may be one that could not be opened: then publishers and consumers are refused. */
  open(name: string, settings: QueueSettings) {
    const { service, topics, clock, logger, decompressedBytesMax } = this.#options;
    const topic = streamTopic(name, settings);
    if (service.describeTopic(topic) === undefined) logger.warn({ queue: name, topic }, 'a stream has no topic');
    const queue = new StreamQueue({
      name,
      settings,
      topic,
      service,
      target: topics.forStream(topic),
      clock,
      logger,
      decompressedBytesMax,
      onReconfigured: (before) => this.#onReconfigured(queue, before),
    });
    return { queue, deduplicated: undefined, removeMessages: () => deleteStreamTopic(service, name, settings) };
  }

  isOn(topic: string, queue: HostedQueue): boolean {
    return queue instanceof StreamQueue && queue.topic === topic;
  }

  #onReconfigured(stream: StreamQueue, before: QueueSettings): void {
    const { service, logger } = this.#options;
    reconfigureStreamTopic(service, stream.name, before, stream.settings).catch((error: unknown) => {
      const { message } = toBurrowError(error);
      logger.warn({ queue: stream.name, error: message }, 'a policy was not applied to a stream');
    });
  }
}

/** The topics that exchanges and streams of one virtual host write to, each opened when something is first published there. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Topology } from '../exchanges/topology.ts';
import type { BrokerService } from '../partitions/broker-service.ts';
import type { Clock } from '../ports/clock.ts';
import { recordKeyOf, TopicTarget, type TopicTargetOptions } from './topic-target.ts';

/** What writing to topics needs. */
export interface TopicWriteService extends Pick<BrokerService, 'describeTopic' | 'produce'> {
  /** The largest batch that a topic takes. */
  batchBytesMaxOf(topic: string): number;
}

export interface TopicTargetsOptions {
  readonly virtualHost: string;
  readonly topology: Topology;
  readonly service: TopicWriteService;
  readonly clock: Clock;
}

export class TopicTargets {
  readonly #options: TopicTargetsOptions;
  /** Those that exchanges are bound to. */
  readonly #bound = new Map<string, TopicTarget>();

  constructor(options: TopicTargetsOptions) {
    this.#options = options;
  }

  /** One for a stream, whose publishers are told when there is no topic. */
  forStream(topic: string): TopicTarget {
    const refusal = new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic ${topic}.`, { fields: { topic } });
    return new TopicTarget({ ...this.#writesTo(topic), refusal });
  }

  /** The one that exchanges publish to, whose bindings say what the keys are. */
  bound(topic: string): TopicTarget {
    let target = this.#bound.get(topic);
    if (target === undefined) {
      target = new TopicTarget({ ...this.#writesTo(topic), key: recordKeyOf(this.#bindingsTo(topic)) });
      this.#bound.set(topic, target);
    }
    return target;
  }

  /** What binds exchanges to a topic has changed, or the topic is gone. */
  onBindingsChanged(topic: string): void {
    const target = this.#bound.get(topic);
    if (target === undefined) return;
    const bindings = this.#bindingsTo(topic);
    if (bindings.length === 0) this.#bound.delete(topic);
    else target.key = recordKeyOf(bindings);
  }

  /** Resolves when the outcome of everything that exchanges published before the call is known. */
  async settled(): Promise<void> {
    await Promise.all(Array.from(this.#bound.values(), (target) => target.settled()));
  }

  #writesTo(
    topic: string,
  ): Pick<TopicTargetOptions, 'topic' | 'partitionCount' | 'produce' | 'batchBytesMax' | 'clock'> {
    const { service, clock } = this.#options;
    return {
      topic,
      partitionCount: () => service.describeTopic(topic)?.partitions.length ?? 0,
      produce: (request) => service.produce(request),
      batchBytesMax: () => service.batchBytesMaxOf(topic),
      clock,
    };
  }

  #bindingsTo(topic: string) {
    const { topology, virtualHost } = this.#options;
    return topology.router(virtualHost).bindingsTo('topic', topic);
  }
}

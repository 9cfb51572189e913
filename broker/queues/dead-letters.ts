/**
 * Dead letters of the queues of one virtual host: what a queue will not deliver any more is published to its dead-letter exchange,
 * with headers that tell what happened (`dead-letter-headers.ts`). The queue keeps it until every target has stored it, so that
 * no crash loses it; a crash in between may leave it in both.
 *
 * Where there is nowhere to go (no such exchange, nothing bound), or a target is full, the message is dropped as in RabbitMQ; with
 * the strategy `at-least-once` it stays in its queue, which tries again. What would go round for ever is always dropped.
 */
import { RoutableProperties } from '../../src/messages/routable-properties.ts';
import type { RouteTarget } from '../exchanges/destination.ts';
import type { Router } from '../exchanges/router.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { deadLetterProperties, isDeathCycle } from './dead-letter-headers.ts';
import type { MessageView, PublishedMessage } from './message-batch.ts';
import type { ForwardOrigin, MessageForwarder } from './message-forwarder.ts';
import type { DeadLetterReason, Queue } from './queue.ts';

export interface DeadLettersOptions {
  readonly router: Pick<Router, 'route'>;
  readonly forwarder: MessageForwarder;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What of a queue decides where its dead letters go. */
export type DeadLetterSource = Pick<Queue, 'name' | 'settings'>;

/** Cycles are logged once each, up to so many. */
const LOGGED_CYCLES_MAX = 1_000;

export class DeadLetters {
  readonly #options: DeadLettersOptions;
  readonly #routable = new RoutableProperties();
  readonly #loggedCycles = new Set<string>();

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  /**
   * A message of `queue` is dead. `view` is good during the call only. `onDone` is told whether the queue may let go of it, maybe
   * before this returns; if not, the queue calls again later.
   */
  bury(queue: DeadLetterSource, view: MessageView, reason: DeadLetterReason, onDone: (done: boolean) => void): void {
    const { exchange, routingKey, properties, isDeadLetter } = view;
    const message = { exchange, routingKey, properties, body: [view.body], isDeadLetter };
    this.#send(queue, message, reason, { place: queue, offset: view.offset }, onDone);
  }

  /** A queue that is full has refused a message that was published (overflow `reject-publish-dlx`). */
  buryRefused(queue: DeadLetterSource, message: PublishedMessage): void {
    this.#send(queue, message, 'maxlen', undefined, () => {});
  }

  #send(
    queue: DeadLetterSource,
    dead: PublishedMessage,
    reason: DeadLetterReason,
    origin: ForwardOrigin | undefined,
    onDone: (done: boolean) => void,
  ): void {
    const { deadLetterExchange, deadLetterRoutingKey, deadLetterStrategy } = queue.settings;
    if (deadLetterExchange === undefined) {
      onDone(true);
      return;
    }
    const { router, forwarder, clock } = this.#options;
    const routingKey = deadLetterRoutingKey ?? dead.routingKey;
    const { properties, headers } = deadLetterProperties(dead.properties, {
      queue: queue.name,
      reason,
      timeSeconds: Math.floor(clock.now() / 1000),
      exchange: dead.exchange,
      routingKey: dead.routingKey,
      isDeadLetter: dead.isDeadLetter === true,
      isRenamed: deadLetterRoutingKey !== undefined,
    });
    const message = { exchange: deadLetterExchange, routingKey, properties, body: dead.body, isDeadLetter: true };
    const all = router.route(deadLetterExchange, this.#routable.set(routingKey, properties));
    // A rejection is somebody's decision: it may lead back.
    const targets =
      reason === 'rejected' ? all : all.filter(({ kind, name }) => kind !== 'queue' || !isDeathCycle(headers, name));
    if (targets.length < all.length) this.#logCycle(queue, all, targets);
    const mayDrop = deadLetterStrategy === 'at-most-once';
    if (targets.length === 0) {
      const isCycle = all.length > 0;
      // Somebody has it from an earlier try, when routes were others.
      const isPartlyStored = origin !== undefined && forwarder.isPartlyStored(origin);
      onDone(mayDrop || isCycle || isPartlyStored);
      return;
    }
    forwarder.forward(message, targets, origin, (outcome) => {
      onDone(outcome === 'stored' || (outcome === 'full' && mayDrop));
    });
  }

  #logCycle(queue: DeadLetterSource, all: readonly RouteTarget[], targets: readonly RouteTarget[]): void {
    for (const { name } of all.filter((target) => !targets.includes(target))) {
      const cycle = JSON.stringify([queue.name, name]);
      if (this.#loggedCycles.has(cycle) || this.#loggedCycles.size >= LOGGED_CYCLES_MAX) continue;
      this.#loggedCycles.add(cycle);
      this.#options.logger.warn(
        { queue: queue.name, target: name },
        'dead letters are dropped: they would come back to a queue where they died, and nobody has rejected them',
      );
    }
  }
}

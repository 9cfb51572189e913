/** Queues behind a router, with dead letters that travel: as a virtual host has them, without declarations. */
import { type ExchangeKind, PREDECLARED_EXCHANGES } from '../../broker/definitions/exchange-definition.ts';
import type { QueueSettings } from '../../broker/definitions/queue-settings.ts';
import type { RouteTarget } from '../../broker/exchanges/destination.ts';
import { Router } from '../../broker/exchanges/router.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { DeadLetters } from '../../broker/queues/dead-letters.ts';
import type { PublishedMessage } from '../../broker/queues/message-batch.ts';
import { MessageForwarder, type PublishTo } from '../../broker/queues/message-forwarder.ts';
import type { StoredTarget } from '../../broker/queues/message-log.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import { RoutableProperties } from '../../src/messages/routable-properties.ts';
import type { TestNode } from './node-environment.ts';
import { openQueue, type QueueBed } from './queue-bed.ts';

export interface ExchangeBed {
  readonly clock: ManualClock;
  readonly router: Router;
  readonly forwarder: MessageForwarder;
  readonly deadLetters: DeadLetters;
  readonly queues: ReadonlyMap<string, QueueBed>;
  /** Targets that are no queues. */
  readonly others: Map<string, PublishTo>;
  /** Names of queues that take nothing at the moment. */
  readonly full: Set<string>;
  queue(name: string, settings?: Partial<QueueSettings>): Promise<QueueBed>;
  exchange(name: string, kind?: ExchangeKind, args?: FieldTable): void;
  bind(exchange: string, queue: string, bindingKey?: string): void;
  /** Resolves when all queues have the message. */
  publish(body: string, message?: Partial<PublishedMessage>): Promise<void>;
}

export function openExchanges({ node, clock }: { node?: TestNode; clock?: ManualClock } = {}): ExchangeBed {
  const theClock = clock ?? node?.clock ?? new ManualClock();
  const router = new Router({ virtualHost: '/' });
  for (const definition of PREDECLARED_EXCHANGES) router.addExchange(definition);
  const queues = new Map<string, QueueBed>();
  const others = new Map<string, PublishTo>();
  const full = new Set<string>();
  const publishTo = (target: RouteTarget, message: PublishedMessage, stored: StoredTarget, number: number): boolean => {
    if (full.has(target.name)) return false;
    if (target.kind !== 'queue') return others.get(target.name)!(target, message, stored, number);
    return queues.get(target.name)!.queue.publish(message, stored, number);
  };
  const forwarder = new MessageForwarder(publishTo);
  const deadLetters = new DeadLetters({ router, forwarder, clock: theClock, logger: silentLogger });
  return {
    clock: theClock,
    router,
    forwarder,
    deadLetters,
    queues,
    others,
    full,
    async queue(name, settings = {}) {
      const bed = await openQueue({
        name,
        settings,
        clock: theClock,
        ...(node === undefined ? {} : { node }),
        deadLetter: (queue, view, reason, onDone) => deadLetters.bury(queue, view, reason, onDone),
      });
      queues.set(name, bed);
      router.addQueue(name);
      return bed;
    },
    exchange(name, kind = 'fanout', args = new Map()) {
      router.addExchange({ name, kind, durable: true, autoDelete: false, internal: false, arguments: args });
    },
    bind(source, destination, bindingKey = '') {
      router.bind({ source, destinationKind: 'queue', destination, bindingKey, arguments: new Map() });
    },
    publish(body, { exchange = '', routingKey = '', properties = new Uint8Array(0) } = {}) {
      const message = { exchange, routingKey, properties, body: [Buffer.from(body)] };
      const targets = router.routePublished(exchange, new RoutableProperties().set(routingKey, properties));
      return new Promise((resolve, reject) => {
        forwarder.forward(message, targets, undefined, (outcome) => {
          if (outcome === 'stored') resolve();
          else reject(new Error(outcome));
        });
      });
    },
  };
}

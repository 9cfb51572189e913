/**
 * Routing: what one message costs, with few and with many bindings.
 *
 * "remembered": routes that were taken before, as most are. In all others nothing is remembered, so that bindings are
 * matched for each message.
 */
import { PREDECLARED_EXCHANGES } from '../../broker/definitions/exchange-definition.ts';
import type { RoutableMessage } from '../../broker/exchanges/binding-matcher.ts';
import { Router } from '../../broker/exchanges/router.ts';
import type { FieldValue } from '../../src/messages/field-value.ts';
import type { MicroTask } from './micro-task.ts';

const MESSAGES = 1000;
const NO_ARGUMENTS = new Map<string, FieldValue>();

interface Case {
  readonly exchange: string;
  readonly bindings: (index: number) => readonly [bindingKey: string, args: ReadonlyMap<string, FieldValue>];
  /** The message of a running number. */
  readonly message: (index: number, bindings: number) => RoutableMessage;
}

function keyed(routingKey: string, headers?: ReadonlyMap<string, FieldValue>): RoutableMessage {
  return { routingKey, headers, messageId: undefined, correlationId: undefined, timestampSeconds: undefined };
}

const CASES: Readonly<Record<string, Case>> = {
  direct: {
    exchange: 'amq.direct',
    bindings: (index) => [`device.${index}`, NO_ARGUMENTS],
    message: (index, bindings) => keyed(`device.${index % bindings}`),
  },
  'topic, literal words and *': {
    exchange: 'amq.topic',
    bindings: (index) => [`tenant.${index}.*`, NO_ARGUMENTS],
    message: (index, bindings) => keyed(`tenant.${index % bindings}.created`),
  },
  'topic, # on both sides': {
    exchange: 'amq.topic',
    bindings: (index) => [`#.device${index}.#`, NO_ARGUMENTS],
    message: (index, bindings) => keyed(`eu.berlin.device${index % bindings}.temperature`),
  },
  'headers, all of two': {
    exchange: 'amq.headers',
    bindings: (index) => [
      '',
      new Map<string, FieldValue>([
        ['format', 'pdf'],
        ['customer', index],
      ]),
    ],
    message: (index, bindings) =>
      keyed(
        '',
        new Map<string, FieldValue>([
          ['format', 'pdf'],
          ['customer', index % bindings],
          ['trace', 'x'],
        ]),
      ),
  },
};

function routerWith({ exchange, bindings }: Case, count: number): Router {
  const router = new Router({ virtualHost: '/', rememberedRoutesMax: 0 });
  for (const definition of PREDECLARED_EXCHANGES) router.addExchange(definition);
  for (let queue = 0; queue < 1000; queue++) router.addQueue(`q${queue}`);
  for (let index = 0; index < count; index++) {
    const [bindingKey, args] = bindings(index);
    router.bind({
      source: exchange,
      destinationKind: 'queue',
      destination: `q${index % 1000}`,
      bindingKey,
      arguments: args,
    });
  }
  return router;
}

function routing(name: string, router: Router, exchange: string, messages: readonly RoutableMessage[]): MicroTask {
  const run = (): number => {
    let destinations = 0;
    for (let index = 0; index < messages.length; index++) {
      destinations += router.routePublished(exchange, messages[index]!).length;
    }
    return destinations;
  };
  return { name, unit: 'message', units: messages.length, run };
}

export function routingTasks(): MicroTask[] {
  const tasks: MicroTask[] = [];
  for (const [name, each] of Object.entries(CASES)) {
    for (const count of [100, 100_000]) {
      const router = routerWith(each, count);
      const hot = Array.from({ length: MESSAGES }, (_, index) => each.message(index, 100));
      tasks.push(routing(`${name}, ${count} bindings, to 100 of them`, router, each.exchange, hot));
      if (count === 100) continue;
      // What the processor's caches do not hold costs more, whatever the algorithm.
      const spread = Array.from({ length: MESSAGES }, (_, index) => each.message(index * 7919, count));
      tasks.push(routing(`${name}, ${count} bindings, to any of them`, router, each.exchange, spread));
    }
  }
  const remembering = new Router({ virtualHost: '/' });
  for (const definition of PREDECLARED_EXCHANGES) remembering.addExchange(definition);
  remembering.addQueue('q');
  remembering.bind({
    source: 'amq.topic',
    destinationKind: 'queue',
    destination: 'q',
    bindingKey: 'tenant.#',
    arguments: NO_ARGUMENTS,
  });
  const remembered = Array.from({ length: MESSAGES }, (_, index) => keyed(`tenant.${index % 50}.created`));
  tasks.push(routing('topic, remembered', remembering, 'amq.topic', remembered));
  const toQueue = Array.from({ length: MESSAGES }, () => keyed('q'));
  tasks.push(routing('default exchange', remembering, '', toQueue));
  return tasks;
}

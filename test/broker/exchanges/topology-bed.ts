/** A topology over a coordinator, with its events as lines, and short forms of what is declared. */
import { onTestFinished } from 'vitest';
import type { Coordinator } from '../../../broker/coordinator/coordinator.ts';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import type { BindingDefinition, DestinationKind } from '../../../broker/definitions/binding-definition.ts';
import type { QueueDefinition } from '../../../broker/definitions/queue-definition.ts';
import { type ExchangeDeclaration, Topology, type TopologyOptions } from '../../../broker/exchanges/topology.ts';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { FieldValue } from '../../../src/messages/field-value.ts';
import { message, table } from './bindings-bed.ts';

type Fields = Readonly<Record<string, FieldValue>>;

interface Opened {
  readonly topology: Topology;
  readonly events: string[];
  readonly topics: Map<string, string>;
}

export async function open(coordinator: Coordinator, options: Partial<TopologyOptions> = {}): Promise<Opened> {
  const events: string[] = [];
  const topics = new Map([['events', 'ab'.repeat(16)]]);
  const topology = await Topology.open({
    coordinator,
    clock: new ManualClock(1000),
    topicId: (name) => topics.get(name),
    onEvent: (event) => {
      let what = event.virtualHost;
      if ('exchange' in event) what = event.exchange.name;
      if ('queue' in event) what = event.queue.name;
      if ('binding' in event) what = `${event.binding.source}>${event.binding.destination}`;
      events.push(`${event.kind} ${what}`);
    },
    onFailure: (error) => events.push(`failed ${error.code}`),
    ...options,
  });
  onTestFinished(() => topology.close());
  return { topology, events, topics };
}

/** A coordinator whose transactions that write bindings wait until they are let go. */
export function heldBindings(): { coordinator: Coordinator; held: () => number; release: () => void } {
  const coordinator = new MemoryCoordinator();
  const waiting: Array<() => void> = [];
  const transaction = coordinator.transaction.bind(coordinator);
  coordinator.transaction = async (change) => {
    if (change.set?.some(({ key }) => key.startsWith('amqp/bindings/')) === true) {
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    return transaction(change);
  };
  return {
    coordinator,
    held: () => waiting.length,
    release: () => {
      for (const go of waiting.splice(0)) go();
    },
  };
}

export function exchange(name: string, more: Partial<ExchangeDeclaration> = {}): ExchangeDeclaration {
  return { name, kind: 'fanout', durable: true, autoDelete: false, internal: false, arguments: table(), ...more };
}

export function queue(name: string, more: Partial<QueueDefinition> = {}): QueueDefinition {
  return { name, durable: true, exclusive: false, autoDelete: false, arguments: table(), ...more };
}

export function link(text: string, bindingKey = '', args: Fields = {}): BindingDefinition {
  const [source, to] = text.split(' -> ') as [string, string];
  const [destinationKind, destination] = to.split(':') as [DestinationKind, string];
  return { source, destinationKind, destination, bindingKey, arguments: table(args) };
}

export async function refusal(call: () => Promise<unknown> | unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return error instanceof BurrowError ? `${error.code}: ${error.message}` : String(error);
  }
  return 'none';
}

export function route(topology: Topology, name: string, key: string): string[] {
  return topology
    .router('/')
    .routePublished(name, message(key))
    .map((target) => target.name)
    .sort();
}

export const names = (list: ReadonlyArray<{ readonly name: string }>): string[] => list.map(({ name }) => name).sort();
export const PREDECLARED = ['', 'amq.direct', 'amq.fanout', 'amq.headers', 'amq.match', 'amq.topic'];

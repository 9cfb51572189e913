/**
 * Random lives of a topology, with restarts, against a model that keeps plain lists and does what RabbitMQ's
 * documentation says: the same refusals, the same things left, the same routes.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryCoordinator } from '../../../broker/coordinator/memory.ts';
import type { ExchangeKind } from '../../../broker/definitions/exchange-definition.ts';
import type { Topology } from '../../../broker/exchanges/topology.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { message, table } from './bindings-bed.ts';
import { open } from './topology-bed.ts';

interface ModelExchange {
  readonly name: string;
  readonly kind: ExchangeKind;
  readonly durable: boolean;
  readonly autoDelete: boolean;
}

interface ModelQueue {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusive: boolean;
}

interface ModelBinding {
  readonly source: string;
  readonly destinationKind: 'queue' | 'exchange';
  readonly destination: string;
  readonly bindingKey: string;
}

type Step =
  | { readonly kind: 'declare'; readonly exchange: ModelExchange }
  | { readonly kind: 'delete'; readonly name: string; readonly ifUnused: boolean }
  | { readonly kind: 'queue'; readonly queue: ModelQueue }
  | { readonly kind: 'queue-gone'; readonly name: string }
  | { readonly kind: 'bind' | 'unbind'; readonly binding: ModelBinding }
  | { readonly kind: 'restart' };

class Model {
  exchanges: ModelExchange[] = [{ name: 'amq.fanout', kind: 'fanout', durable: true, autoDelete: false }];
  queues: ModelQueue[] = [];
  bindings: ModelBinding[] = [];

  /** The code of the refusal, or "done". */
  apply(step: Step): string {
    switch (step.kind) {
      case 'declare': {
        const current = this.exchanges.find(({ name }) => name === step.exchange.name);
        if (current === undefined) this.exchanges.push(step.exchange);
        else if (JSON.stringify(current) !== JSON.stringify(step.exchange)) return 'DECLARED_DIFFERENTLY';
        return 'done';
      }
      case 'delete':
        if (step.ifUnused && this.bindings.some(({ source }) => source === step.name)) return 'IN_USE';
        this.#deleteExchange(step.name);
        return 'done';
      case 'queue':
        if (!this.queues.some(({ name }) => name === step.queue.name)) this.queues.push(step.queue);
        return 'done';
      case 'queue-gone':
        this.queues = this.queues.filter(({ name }) => name !== step.name);
        this.#drop((binding) => binding.destinationKind === 'queue' && binding.destination === step.name);
        return 'done';
      case 'bind': {
        const { binding } = step;
        if (!this.exchanges.some(({ name }) => name === binding.source)) return 'EXCHANGE_NOT_FOUND';
        const candidates: ReadonlyArray<{ readonly name: string }> =
          binding.destinationKind === 'queue' ? this.queues : this.exchanges;
        if (!candidates.some(({ name }) => name === binding.destination)) {
          return binding.destinationKind === 'queue' ? 'QUEUE_NOT_FOUND' : 'EXCHANGE_NOT_FOUND';
        }
        if (!this.bindings.some((other) => same(other, binding))) this.bindings.push(binding);
        return 'done';
      }
      case 'unbind':
        this.#drop((other) => same(other, step.binding));
        return 'done';
      case 'restart': {
        this.exchanges = this.exchanges.filter(({ durable }) => durable);
        this.queues = this.queues.filter(({ durable, exclusive }) => durable && !exclusive);
        const left = (list: ReadonlyArray<{ readonly name: string }>, wanted: string): boolean =>
          list.some(({ name }) => name === wanted);
        this.bindings = this.bindings.filter(
          ({ source, destinationKind, destination }) =>
            left(this.exchanges, source) &&
            left(destinationKind === 'queue' ? this.queues : this.exchanges, destination),
        );
        return 'done';
      }
    }
  }

  route(exchange: string, key: string, seen = new Set<string>()): Set<string> {
    const found = new Set<string>();
    const { kind } = this.exchanges.find(({ name }) => name === exchange)!;
    seen.add(exchange);
    for (const { source, destinationKind, destination, bindingKey } of this.bindings) {
      if (source !== exchange || !(kind === 'fanout' || matches(kind, bindingKey, key))) continue;
      if (destinationKind === 'queue') found.add(destination);
      else if (!seen.has(destination)) for (const queue of this.route(destination, key, seen)) found.add(queue);
    }
    return found;
  }

  #deleteExchange(name: string): void {
    this.exchanges = this.exchanges.filter((exchange) => exchange.name !== name);
    this.bindings = this.bindings.filter(({ source }) => source !== name);
    this.#drop(({ destinationKind, destination }) => destinationKind === 'exchange' && destination === name);
  }

  #drop(which: (binding: ModelBinding) => boolean): void {
    const gone = this.bindings.filter(which);
    this.bindings = this.bindings.filter((binding) => !which(binding));
    for (const { source } of gone) {
      const exchange = this.exchanges.find(({ name }) => name === source);
      const used = this.bindings.some((binding) => binding.source === source);
      if (exchange?.autoDelete === true && !used) this.#deleteExchange(source);
    }
  }
}

function same(first: ModelBinding, second: ModelBinding): boolean {
  return textOf(first) === textOf(second);
}

function textOf({ source, destinationKind, destination, bindingKey }: ModelBinding): string {
  return JSON.stringify([source, destinationKind, destination, bindingKey]);
}

/** Keys of one word. */
function matches(kind: ExchangeKind, pattern: string, key: string): boolean {
  return pattern === key || (kind === 'topic' && (pattern === '*' || pattern === '#'));
}

async function perform(topology: Topology, step: Exclude<Step, { kind: 'restart' }>): Promise<void> {
  switch (step.kind) {
    case 'declare':
      return topology.declareExchange('/', { ...step.exchange, internal: false, arguments: table() });
    case 'delete':
      return topology.deleteExchange('/', step.name, { ifUnused: step.ifUnused });
    case 'queue':
      await topology.createQueue('/', { ...step.queue, autoDelete: false, arguments: table() });
      return;
    case 'queue-gone':
      return topology.queueGone('/', step.name);
    case 'bind':
      return topology.bind('/', { ...step.binding, arguments: table() });
    case 'unbind':
      return topology.unbind('/', { ...step.binding, arguments: table() });
  }
}

const NAMES = ['a', 'b', 'c'];
const QUEUES = ['q', 'r'];
const exchangeName = fc.constantFrom(...NAMES);
const source = fc.constantFrom(...NAMES, 'amq.fanout');
const binding: fc.Arbitrary<ModelBinding> = fc
  .tuple(source, fc.constantFrom(...QUEUES, ...NAMES), fc.constantFrom('x', 'y', '*', '#'))
  .map(([from, destination, bindingKey]) => ({
    source: from,
    destinationKind: QUEUES.includes(destination) ? 'queue' : 'exchange',
    destination,
    bindingKey,
  }));
const kind = fc.constantFrom<ExchangeKind>('fanout', 'direct', 'topic');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('declare' as const),
      exchange: fc.record({ name: exchangeName, kind, durable: fc.boolean(), autoDelete: fc.boolean() }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), name: exchangeName, ifUnused: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('queue' as const),
      queue: fc.record({ name: fc.constantFrom(...QUEUES), durable: fc.boolean(), exclusive: fc.boolean() }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('queue-gone' as const), name: fc.constantFrom(...QUEUES) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('bind' as const), binding }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('unbind' as const), binding }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);

test('a topology does what the model does, through restarts', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 50, size: 'max' }), async (steps) => {
      const coordinator = new MemoryCoordinator();
      const model = new Model();
      let { topology } = await open(coordinator);
      for (const each of steps) {
        const expected = model.apply(each);
        if (each.kind === 'restart') {
          await topology.close();
          ({ topology } = await open(coordinator));
        } else {
          const outcome = await perform(topology, each).then(
            () => 'done',
            (error: unknown) => (error instanceof BurrowError ? error.code : String(error)),
          );
          expect(outcome).toBe(expected);
        }
        const declared = topology.exchanges('/').filter(({ name }) => NAMES.includes(name));
        expect(declared.map(({ name }) => name).sort()).toEqual(
          model.exchanges
            .map(({ name }) => name)
            .filter((name) => NAMES.includes(name))
            .sort(),
        );
        expect(
          topology
            .queues('/')
            .map(({ name }) => name)
            .sort(),
        ).toEqual(model.queues.map(({ name }) => name).sort());
        const bound = topology.bindings('/').map((found) => textOf(found as ModelBinding));
        expect(bound.sort()).toEqual(model.bindings.map(textOf).sort());
        for (const { name } of model.exchanges) {
          const routed = topology.router('/').route(name, message('x'));
          expect(routed.map((target) => target.name).sort()).toEqual([...model.route(name, 'x')].sort());
        }
      }
      await topology.swept();
      const { entries } = await coordinator.list('amqp/bindings/');
      const durable = new Model();
      Object.assign(durable, { exchanges: model.exchanges, queues: model.queues, bindings: model.bindings });
      durable.apply({ kind: 'restart' });
      expect(entries).toHaveLength(durable.bindings.length);
      await topology.close();
    }),
    { numRuns: 150 },
  );
}, 60_000);

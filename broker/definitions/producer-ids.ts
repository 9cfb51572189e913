/**
 * Producer ids that no producer of this cluster has had before, also after a restart or crash.
 *
 * Ids are reserved in the coordinator by the block, as Kafka's controller does (KIP-730): what is left of a block when
 * the broker stops is never used. There are enough: 2^53 ids last 285,000 years at 1,000 a second.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Coordinator } from '../coordinator/coordinator.ts';
import { corrupt, isCount, parseObject } from './topic-definition.ts';

const KEY = 'producer-ids';
const BLOCK_IDS = 1000;
/** Another broker reserved a block at the same moment, each time. */
const ATTEMPTS_MAX = 20;

export class ProducerIdAllocator {
  readonly #coordinator: Coordinator;
  #next = 0;
  /** Exclusive. */
  #end = 0;
  #reserving: Promise<void> | undefined;

  constructor(coordinator: Coordinator) {
    this.#coordinator = coordinator;
  }

  async allocate(): Promise<number> {
    while (this.#next === this.#end) {
      this.#reserving ??= this.#reserve().finally(() => {
        this.#reserving = undefined;
      });
      await this.#reserving;
    }
    return this.#next++;
  }

  async #reserve(): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { entry } = await this.#coordinator.get(KEY);
      const begin = entry === undefined ? 0 : decodeNext(entry.value);
      const end = begin + BLOCK_IDS;
      if (!Number.isSafeInteger(end)) throw new BurrowError('INTERNAL_ERROR', 'There are no producer ids left.');
      const { committed } = await this.#coordinator.transaction({
        if: [{ key: KEY, revision: entry?.modRevision ?? 0 }],
        set: [{ key: KEY, value: JSON.stringify({ next: end }) }],
      });
      if (!committed) continue;
      this.#next = begin;
      this.#end = end;
      return;
    }
    throw new BurrowError('CONFLICT', 'Other brokers reserve producer ids at the same time. Retry.');
  }
}

function decodeNext(value: string): number {
  const next = parseObject(value)?.['next'];
  if (!isCount(next)) throw corrupt(KEY, 'has no next producer id');
  return next;
}

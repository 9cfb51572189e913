/**
 * What subscribers do while anything happens to them, against what they promise: no record is left out, no commit passes a record
 * that is not finished, records of one key are handled one at a time and in their order, nothing is begun after it was revoked.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sleep } from '../../../client/clock.ts';
import type { ConsumerBatch, ConsumerRecord } from '../../../client/consumer/consumer-record.ts';
import type { OffsetToCommit } from '../../../client/groups/group-host.ts';
import { Subscriber } from '../../../client/subscriber/subscriber.ts';
import { partitionKey, type TopicPartition } from '../../../client/topic-partition.ts';
import { BatchBuilder } from '../../../src/records/batch-builder.ts';
import { FakeClientClock } from '../../support/fake-client-clock.ts';
import { FakeFetchHost } from '../../support/fake-fetch-host.ts';
import { FakeGroupCoordinator, FakeGroupHost } from '../../support/fake-group-coordinator.ts';
import { FakePushHost } from '../../support/fake-push-host.ts';
import { TestPolicy } from './subscriber-bed.ts';

const PARTITIONS = 3;

type Step =
  /** One batch with these keys, -1 for none. */
  | { readonly kind: 'append'; readonly partition: number; readonly keys: readonly number[] }
  | { readonly kind: 'finish'; readonly which: number }
  | { readonly kind: 'fail'; readonly which: number; readonly how: 'retry' | 'aside' }
  | { readonly kind: 'lose'; readonly who: number }
  | { readonly kind: 'join' }
  | { readonly kind: 'close'; readonly who: number }
  | { readonly kind: 'crash'; readonly who: number }
  | { readonly kind: 'time'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      partition: fc.nat(PARTITIONS - 1),
      keys: fc.array(fc.integer({ min: -1, max: 2 }), { minLength: 1, maxLength: 6 }),
    }),
  },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('finish' as const), which: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fail' as const),
      which: fc.nat(),
      how: fc.constantFrom('retry' as const, 'aside' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('join' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), who: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.nat(1500) }) },
);

interface Running {
  readonly partition: number;
  readonly offsets: readonly number[];
  readonly settle: (how: 'finish' | 'retry' | 'aside') => void;
}

interface Watched {
  readonly subscriber: Subscriber;
  readonly host: FakePushHost;
  readonly groups: FakeGroupHost;
}

class World {
  readonly clock = new FakeClientClock();
  readonly coordinator = new FakeGroupCoordinator(this.clock);
  readonly logs = new FakeFetchHost(this.clock).logs;
  readonly alive: Watched[] = [];
  /** Handlers that run, of all subscribers. */
  readonly running: Running[] = [];
  /** By partition: offsets that some handler has finished, or that were set aside. */
  readonly done = Array.from({ length: PARTITIONS }, () => new Set<number>());
  readonly appended = Array.from({ length: PARTITIONS }, () => 0);
  readonly problems: string[] = [];
  readonly #isBatched: boolean;
  readonly #concurrency: number;
  #joined = 0;

  constructor(options: { isBatched: boolean; concurrency: number }) {
    this.#isBatched = options.isBatched;
    this.#concurrency = options.concurrency;
    this.coordinator.topics.set('t', PARTITIONS);
    const commit = this.coordinator.commit.bind(this.coordinator);
    this.coordinator.commit = (identity, offsets) => {
      for (const offset of offsets) this.#checkCommit(offset);
      commit(identity, offsets);
    };
  }

  #checkCommit({ partition, offset }: OffsetToCommit): void {
    for (let below = 0; below < offset; below += 1) {
      if (!this.done[partition]!.has(below)) this.problems.push(`${partition}/${offset} committed, ${below} not done`);
    }
  }

  append(partition: number, keys: readonly number[]): void {
    const builder = new BatchBuilder();
    for (const key of keys) builder.append(0, key < 0 ? null : new Uint8Array([key]), new Uint8Array([1]));
    this.alive[0]!.host.log('t', partition).appendBytes(builder.finish());
    this.appended[partition]! += keys.length;
    for (const { host } of this.alive) host.wake();
  }

  join(): void {
    const groups = new FakeGroupHost(this.coordinator);
    const host = new FakePushHost(this.clock, groups);
    host.logs = this.logs;
    for (let partition = 0; partition < PARTITIONS; partition += 1) host.log('t', partition);
    // Of each partition, since it was assigned: what runs of each key, and what was begun last.
    const assigned = new Map<number, { running: Set<number>; last: Map<number, number> }>();
    const drop = (partitions: readonly TopicPartition[]) => {
      for (const { partition } of partitions) assigned.delete(partition);
    };
    const begin = (partition: number, key: number, offsets: readonly number[]): Promise<void> | undefined => {
      const mine = assigned.get(partition);
      if (mine === undefined) {
        this.problems.push(`${partition}/${offsets} begun after it was revoked`);
        return undefined;
      }
      if (key >= 0) {
        if (mine.running.has(key)) this.problems.push(`${partition}/${offsets} begun while its key is in work`);
        if ((mine.last.get(key) ?? -1) > offsets[0]!) this.problems.push(`${partition}/${offsets} begun out of order`);
        mine.running.add(key);
        mine.last.set(key, offsets[0]!);
      }
      return new Promise((resolve, reject) => {
        const settle: Running['settle'] = (how) => {
          mine.running.delete(key);
          if (how !== 'finish') {
            reject(new Error(how));
            return;
          }
          for (const offset of offsets) this.done[partition]!.add(offset);
          resolve();
        };
        this.running.push({ partition, offsets, settle });
      });
    };
    const policy = new TestPolicy((_, __, error) =>
      (error as Error).message === 'aside' ? { kind: 'setAside' } : { kind: 'retryInPlace', delayMs: 40 },
    );
    policy.onSetAside = async ({ partition, offset }) => {
      // Longer than from one commit to the next.
      await sleep(this.clock, 200);
      this.done[partition]!.add(offset);
    };
    const subscriber = new Subscriber(
      host,
      policy,
      't',
      this.#isBatched
        ? ({ partition, records }: ConsumerBatch) =>
            begin(
              partition,
              0,
              records.map(({ offset }) => offset),
            )
        : ({ partition, offset, keyBytes }: ConsumerRecord) => begin(partition, keyBytes?.[0] ?? -1, [offset]),
      {
        group: 'g',
        from: 'earliest',
        assignors: [this.#joined % 2 === 0 ? 'cooperative-sticky' : 'range', 'range'],
        heartbeatIntervalMs: 100,
        sessionTimeoutMs: 2000,
        autoCommitIntervalMs: 150,
        concurrency: this.#concurrency,
        prefetch: 5,
        revokeTimeoutMs: 400,
        batch: this.#isBatched,
        onAssigned: (partitions) => {
          for (const { partition } of partitions) assigned.set(partition, { running: new Set(), last: new Map() });
        },
        onRevoked: drop,
        onLost: drop,
        onError: (error) => this.problems.push(String(error)),
      },
      () => {},
    );
    this.#joined += 1;
    this.alive.push({ subscriber, host, groups });
  }

  settle(which: number, how: 'finish' | 'retry' | 'aside'): void {
    if (this.running.length === 0) return;
    this.running.splice(which % this.running.length, 1)[0]!.settle(how);
  }

  async take(action: Step): Promise<void> {
    const watched = 'who' in action ? this.alive[action.who % Math.max(1, this.alive.length)] : undefined;
    if (action.kind === 'append') this.append(action.partition, action.keys);
    else if (action.kind === 'finish') this.settle(action.which, 'finish');
    else if (action.kind === 'fail') this.settle(action.which, action.how);
    else if (action.kind === 'time') await this.clock.advance(action.ms);
    else if (action.kind === 'join' && this.alive.length < 3) this.join();
    else if (watched === undefined) return;
    else if (action.kind === 'lose') watched.host.loseStreams();
    else if (this.alive.length > 1) {
      this.alive.splice(this.alive.indexOf(watched), 1);
      if (action.kind === 'crash') watched.groups.cutOff = true;
      void watched.subscriber.close({ timeoutMs: 300 });
    }
  }

  /** Handlers finish, and nothing else happens, until all is done and committed. */
  async finish(): Promise<void> {
    const isCommitted = (partition: number) =>
      (this.coordinator.committed.get(partitionKey({ topic: 't', partition }))?.offset ?? 0) ===
      this.appended[partition];
    for (let round = 0; round < 400 && !this.appended.every((_, partition) => isCommitted(partition)); round += 1) {
      while (this.running.length > 0) this.settle(0, 'finish');
      await this.clock.advance(50);
    }
    this.appended.forEach((count, partition) => {
      expect(this.done[partition]!.size).toBe(count);
      expect(isCommitted(partition)).toBe(true);
    });
  }

  async end(): Promise<void> {
    for (const { subscriber } of this.alive) void subscriber.close({ timeoutMs: 0 });
    await this.clock.advance(60_000);
  }
}

test.each([
  ['one record at a time', { isBatched: false, concurrency: 1 }],
  ['three records at once', { isBatched: false, concurrency: 3 }],
  ['batches', { isBatched: true, concurrency: 2 }],
])('%s', { timeout: 60_000 }, async (_name, options) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const world = new World(options);
      world.join();
      for (const action of steps) {
        await world.take(action);
        await world.clock.advance(10);
      }
      expect(world.problems).toEqual([]);
      await world.finish();
      await world.end();
      expect(world.problems).toEqual([]);
    }),
    { numRuns: 40 },
  );
});

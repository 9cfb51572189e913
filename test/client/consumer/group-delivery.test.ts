/** What consumers of a group deliver while anything happens to them, against what each may get. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ConsumerRecord } from '../../../client/consumer/consumer-record.ts';
import type { TopicPartition } from '../../../client/topic-partition.ts';
import type { FakeGroupHost } from '../../support/fake-group-coordinator.ts';
import { setUp, type TextConsumer } from './group-bed.ts';

type Step =
  | { readonly kind: 'append'; readonly partition: number; readonly count: number }
  | { readonly kind: 'poll'; readonly who: number; readonly maxRecords: number }
  | { readonly kind: 'next'; readonly who: number }
  | { readonly kind: 'join' }
  | { readonly kind: 'close'; readonly who: number }
  | { readonly kind: 'crash'; readonly who: number }
  | { readonly kind: 'fail'; readonly who: number; readonly request: string }
  | { readonly kind: 'time'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('append' as const), partition: fc.nat(3), count: fc.nat(6) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('poll' as const),
      who: fc.nat(3),
      maxRecords: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('next' as const), who: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('join' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), who: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), who: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fail' as const),
      who: fc.nat(3),
      request: fc.constantFrom('commitOffsets', 'fetchOffsets', 'heartbeat', 'sync'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.nat(1500) }) },
);

interface Watched {
  readonly consumer: TextConsumer;
  readonly groups: FakeGroupHost;
  /** By partition: what was handed out since it was assigned. */
  readonly holding: Map<number, number[]>;
  iterator: AsyncIterator<ConsumerRecord<string, string>> | undefined;
  /** A read under way. */
  reading: Promise<void> | undefined;
}

test.each(['cooperative-sticky', 'range'] as const)(
  'whatever happens, with %s: nothing is skipped, nothing comes twice within an assignment, nothing after it was revoked',
  async (assignor) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const { clock, start, append } = setUp(4);
        const alive: Watched[] = [];
        const delivered = new Map<number, Set<number>>();
        const appended = [0, 0, 0, 0];
        const problems: string[] = [];
        const join = () => {
          const holding = new Map<number, number[]>();
          const drop = (partitions: readonly TopicPartition[]) => {
            for (const { partition } of partitions) holding.delete(partition);
          };
          const started = start({
            assignors: [assignor],
            sessionTimeoutMs: 2000,
            heartbeatIntervalMs: 300,
            maxPollIntervalMs: 20_000,
            onAssigned: (partitions) => {
              for (const { partition } of partitions) holding.set(partition, []);
            },
            onRevoked: drop,
            onLost: drop,
          });
          alive.push({ ...started, holding, iterator: undefined, reading: undefined });
        };
        const take = (watched: Watched, { partition, offset }: ConsumerRecord<string, string>) => {
          const mine = watched.holding.get(partition);
          if (mine === undefined) problems.push(`${partition}/${offset} came after it was revoked`);
          else if (mine.length > 0 && offset !== mine.at(-1)! + 1)
            problems.push(`${partition}/${offset} after ${mine}`);
          mine?.push(offset);
          delivered.set(partition, (delivered.get(partition) ?? new Set()).add(offset));
        };
        const read = (watched: Watched, reading: Promise<void>) => {
          watched.reading = reading
            .catch((error) => {
              if (error.code !== 'CLIENT_CLOSED') problems.push(String(error));
            })
            .finally(() => {
              watched.reading = undefined;
            });
        };
        const poll = (watched: Watched, maxRecords: number) => {
          if (watched.reading !== undefined || watched.iterator !== undefined) return;
          const polling = watched.consumer.poll({ maxRecords, timeoutMs: 300 }).then((records) => {
            for (const record of records) take(watched, record);
          });
          read(watched, polling);
        };
        join();
        for (const each of steps) {
          const watched = 'who' in each ? alive[each.who % Math.max(1, alive.length)] : undefined;
          if (each.kind === 'append') {
            await append(each.partition, ...Array.from({ length: each.count }, () => 'x'));
            appended[each.partition]! += each.count;
          } else if (each.kind === 'time') await clock.advance(each.ms);
          else if (each.kind === 'join' && alive.length < 4) join();
          else if (watched === undefined) continue;
          else if (each.kind === 'poll') poll(watched, each.maxRecords);
          else if (each.kind === 'next' && watched.reading === undefined) {
            watched.iterator ??= watched.consumer[Symbol.asyncIterator]();
            read(
              watched,
              watched.iterator.next().then(({ value, done }) => {
                if (done !== true) take(watched, value);
              }),
            );
          } else if (each.kind === 'close' || each.kind === 'crash') {
            if (each.kind === 'crash') watched.groups.cutOff = true;
            alive.splice(alive.indexOf(watched), 1);
            void watched.consumer.close({ timeoutMs: 100 });
          } else if (each.kind === 'fail') {
            watched.groups.failNext(each.request, 'COORDINATOR_NOT_AVAILABLE');
          }
          await clock.advance(50);
        }
        // Then all close, and one reads to the end.
        for (const { consumer } of alive.splice(0)) void consumer.close();
        await clock.advance(3000);
        join();
        for (let round = 0; round < 15; round += 1) {
          poll(alive[0]!, 100);
          await clock.advance(400);
        }
        expect(problems).toEqual([]);
        appended.forEach((count, partition) => {
          const offsets = [...(delivered.get(partition) ?? [])].sort((a, b) => a - b);
          expect(offsets).toEqual(Array.from({ length: count }, (_, offset) => offset));
        });
      }),
      { numRuns: 40 },
    );
  },
);

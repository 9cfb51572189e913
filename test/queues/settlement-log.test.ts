import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryBatchLog } from '../../broker/queues/batch-log.ts';
import { QUEUE_LIMITS_DEFAULTS, type QueueLimits } from '../../broker/queues/queue-limits.ts';
import { QueueState } from '../../broker/queues/queue-state.ts';
import { loadSettlements, SettlementLog } from '../../broker/queues/settlement-log.ts';
import { BatchBuilder } from '../../src/records/batch-builder.ts';

/** A log that refuses, or takes and then cannot store, on demand. */
class FailingLog extends MemoryBatchLog {
  refuses: Error | undefined;
  loses: Error | undefined;

  constructor() {
    super({ name: 'q-1', batchBytesMax: 1024 * 1024, onBytes: () => {} });
  }

  override append(batch: Buffer): undefined {
    if (this.refuses !== undefined) throw this.refuses;
    if (this.loses !== undefined) return Promise.reject(this.loses) as never;
    return super.append(batch);
  }
}

function open(limits: Partial<QueueLimits> = {}, log = new FailingLog(), state = new QueueState(0)) {
  const clock = new ManualClock();
  const floors: number[] = [];
  const failures: unknown[] = [];
  const settlements = new SettlementLog({
    log,
    clock,
    state,
    limits: { ...QUEUE_LIMITS_DEFAULTS, ...limits },
    onFloor: (floor) => floors.push(floor),
    onFailure: (error) => failures.push(error),
  });
  onTestFinished(() => settlements.close());
  const take = (): number => {
    state.peek();
    return state.take();
  };
  const settle = (offset: number): void => {
    state.settle(offset);
    settlements.settled(offset);
  };
  return { log, clock, state, settlements, floors, failures, take, settle };
}

/** What a start would know. */
async function load(log: MemoryBatchLog) {
  const settled = new Set<number>();
  const returns = new Map<number, number>();
  await loadSettlements(log, {
    onSettled: (start, end) => {
      for (let offset = start; offset < end; offset++) settled.add(offset);
    },
    onReturns: (offset, count) => returns.set(offset, count),
  });
  for (const offset of settled) returns.delete(offset);
  return { settled: [...settled].sort((a, b) => a - b), returns: new Map([...returns].sort(([a], [b]) => a - b)) };
}

test('what was noted is what a start reads, with snapshots in between and notes of any size', async () => {
  const step = fc.record({
    kind: fc.constantFrom('settle', 'settle', 'settle', 'return', 'range', 'sync'),
    pick: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 150 }),
      fc.record({
        snapshotAfterBytes: fc.constantFrom(1, 200, 1e9),
        noteEntriesMax: fc.constantFrom(1, 3, 1000),
      }),
      async (steps, limits) => {
        const { log, state, settlements, take, settle } = open(limits);
        state.extend(200);
        const inFlight = Array.from({ length: 200 }, take);
        const settled: number[] = [];
        const returns = new Map<number, number>();
        for (const { kind, pick } of steps) {
          const [offset] = inFlight.length === 0 ? [] : inFlight.splice(pick % inFlight.length, 1);
          if (offset === undefined) break;
          if (kind === 'settle') {
            settle(offset);
            settled.push(offset);
            returns.delete(offset);
          } else if (kind === 'range') {
            state.settle(offset);
            settlements.settledRange(offset, offset + 1);
            settled.push(offset);
            returns.delete(offset);
          } else {
            inFlight.push(offset);
            if (kind === 'sync') await settlements.synced();
            else {
              const count = (returns.get(offset) ?? 0) + 1;
              returns.set(offset, count);
              state.setReturns(offset, count);
              settlements.returned(offset, count);
            }
          }
        }
        await settlements.synced();
        expect(await load(log)).toEqual({
          settled: settled.sort((a, b) => a - b),
          returns: new Map([...returns].sort(([a], [b]) => a - b)),
        });
      },
    ),
    { numRuns: 200 },
  );
});

test('settlements of one turn make one batch, and a row of them one range', async () => {
  const { log, state, settlements, take, settle, floors } = open();
  state.extend(1000);
  for (let count = 0; count < 1000; count++) settle(take());
  await settlements.synced();
  expect(log.byteCount).toBeLessThan(100);
  expect(floors).toEqual([1000]);
});

test('a snapshot takes the place of the notes before it', async () => {
  const { log, state, settlements, take, settle } = open({ snapshotAfterBytes: 2000 });
  state.extend(1000);
  for (let count = 0; count < 1000; count++) {
    settle(take());
    await settlements.synced();
  }
  expect(log.byteCount).toBeLessThan(2200);
  expect((await load(log)).settled).toHaveLength(1000);
});

test('notes of an earlier life count towards the next snapshot', async () => {
  const first = open({ snapshotAfterBytes: 2000 });
  first.state.extend(1000);
  while (first.log.byteCount < 1900) {
    first.settle(first.take());
    await first.settlements.synced();
  }
  const second = open({ snapshotAfterBytes: 2000 }, first.log, first.state);
  for (let count = 0; count < 5; count++) {
    second.settle(second.take());
    await second.settlements.synced();
  }
  expect(second.log.byteCount).toBeLessThan(1000);
});

test.each(['refuses', 'loses'] as const)('what a log %s is kept, told of, and written later', async (how) => {
  const { log, clock, state, settlements, take, settle, failures, floors } = open();
  state.extend(10);
  for (let count = 0; count < 10; count++) take();
  settlements.returned(9, 1);
  settle(0);
  const error = new Error('no');
  log[how] = error;
  settle(1);
  settlements.returned(9, 2);
  await expect(settlements.synced()).rejects.toThrow('no');
  // Not forgotten: whoever asks again must not be told that it is durable.
  await expect(settlements.synced()).rejects.toThrow('no');
  settle(5);
  clock.advance(QUEUE_LIMITS_DEFAULTS.retryMs);
  await expect(settlements.synced()).rejects.toThrow('no');
  expect(failures).toEqual([error]);
  expect(floors).toEqual([]);
  log[how] = undefined;
  clock.advance(QUEUE_LIMITS_DEFAULTS.retryMs);
  await settlements.synced();
  expect(await load(log)).toEqual({ settled: [0, 1, 5], returns: new Map([[9, 2]]) });
  expect(floors).toEqual([2]);
  log[how] = error;
  settle(6);
  await expect(settlements.synced()).rejects.toThrow('no');
  expect(failures).toEqual([error, error]);
});

test('a note that is damaged refuses the start', async () => {
  for (const note of [
    [3, 1],
    [1, 0, 0],
    [1, 2],
    [2, 0x80],
  ]) {
    const log = new FailingLog();
    const builder = new BatchBuilder();
    builder.append(1, null, Buffer.from(note));
    log.append(builder.finish() as Buffer);
    await expect(load(log), note.join()).rejects.toThrow(/A note of q-1 before offset 1 is malformed/);
  }
});

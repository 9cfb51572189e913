import fc from 'fast-check';
import { expect, test } from 'vitest';
import { resolveQueueSettings } from '../../broker/definitions/queue-settings.ts';
import { DeadlineQueue } from '../../broker/partitions/deadline-queue.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { ManualClock } from '../../broker/ports/manual-clock.ts';
import { MemoryBatchLog } from '../../broker/queues/batch-log.ts';
import type { PublishedMessage } from '../../broker/queues/message-batch.ts';
import { MessageLog, type StoredTarget } from '../../broker/queues/message-log.ts';
import { Queue } from '../../broker/queues/queue.ts';
import { getNextOffset, getRecordsCount, setBaseOffset } from '../../src/records/batch-header.ts';
import { properties } from '../support/content-properties.ts';
import { settle } from '../support/node-environment.ts';
import { TestChannel } from '../support/queue-bed.ts';

/** A log whose batches are stored, or not, when the test says so. */
class HeldLog extends MemoryBatchLog {
  refuses: Error | undefined;
  /** What each batch waits for, in order. */
  readonly waiting: Array<{ readonly batch: Buffer; resolve(): void; reject(error: Error): void }> = [];
  #endOffset = 0;

  constructor() {
    super({ name: 'q-0', batchBytesMax: 1024 * 1024, onBytes: () => {} });
  }

  override get logEndOffset(): number {
    return this.#endOffset;
  }

  override append(batch: Buffer): undefined {
    if (this.refuses !== undefined) throw this.refuses;
    setBaseOffset(batch, 0, this.#endOffset);
    this.#endOffset = getNextOffset(batch, 0);
    return new Promise<void>((resolve, reject) => {
      this.waiting.push({ batch, resolve, reject });
    }) as never;
  }

  /** The oldest batch is stored, and visible. */
  async store(): Promise<void> {
    const { batch, resolve } = this.waiting.shift()!;
    super.append(batch);
    resolve();
    await settle();
  }

  async fail(error: Error): Promise<void> {
    this.waiting.shift()!.reject(error);
    await settle();
  }
}

function message(body = 'x', priority?: number): PublishedMessage {
  const fields = priority === undefined ? {} : { priority };
  return { exchange: '', routingKey: 'k', properties: properties(fields), body: [Buffer.from(body)] };
}

interface Outcome {
  readonly numbers: readonly [number, number];
  readonly stored: boolean;
}

class TestTarget implements StoredTarget {
  readonly outcomes: Outcome[] = [];

  onStored(first: number, last: number): void {
    this.outcomes.push({ numbers: [first, last], stored: true });
  }

  onNotStored(first: number, last: number): void {
    this.outcomes.push({ numbers: [first, last], stored: false });
  }
}

function openLog(batchBytes = 1024) {
  const log = new HeldLog();
  const refused: number[] = [];
  const failed: number[] = [];
  const events = { onRefused: (count: number) => refused.push(count), onFailed: (count: number) => failed.push(count) };
  return { log, refused, failed, messages: new MessageLog(log, new ManualClock(), batchBytes, events) };
}

const counts = (log: HeldLog): number[] => log.waiting.map(({ batch }) => getRecordsCount(batch, 0));

test('what comes while a batch is on its way makes the next one', async () => {
  const { log, messages } = openLog();
  for (let number = 0; number < 3; number++) messages.add(message(), undefined, number);
  await settle();
  expect(counts(log)).toEqual([3]);
  for (let number = 3; number < 8; number++) messages.add(message(), undefined, number);
  await settle();
  expect(counts(log)).toEqual([3]);
  await log.store();
  expect(counts(log)).toEqual([5]);
});

test('a batch that is large enough does not wait, however many are on their way', () => {
  const { log, messages } = openLog(1000);
  for (let number = 0; number < 100; number++) messages.add(message('x'.repeat(480)), undefined, number);
  expect(log.waiting).toHaveLength(50);
  expect(Math.max(...log.waiting.map(({ batch }) => batch.length))).toBeLessThan(1600);
});

test('each publisher is told of its own messages, in runs', async () => {
  const { log, messages } = openLog();
  const [one, two] = [new TestTarget(), new TestTarget()];
  messages.add(message(), one, 1);
  messages.add(message(), one, 2);
  messages.add(message(), two, 7);
  messages.add(message(), one, 3);
  messages.add(message(), undefined, 0);
  messages.add(message(), one, 5);
  await settle();
  expect(one.outcomes).toEqual([]);
  await log.store();
  expect(one.outcomes.map(({ numbers }) => numbers)).toEqual([
    [1, 2],
    [3, 3],
    [5, 5],
  ]);
  expect(two.outcomes.map(({ numbers }) => numbers)).toEqual([[7, 7]]);
});

test('a batch that the log refuses is not stored, and the next one may be', async () => {
  const { log, messages, refused } = openLog();
  const target = new TestTarget();
  log.refuses = new Error('full');
  expect(messages.add(message(), target, 1)).toBe(0);
  messages.add(message(), target, 2);
  await messages.settled();
  expect(target.outcomes).toEqual([{ numbers: [1, 2], stored: false }]);
  expect(refused).toEqual([2]);
  log.refuses = undefined;
  expect(messages.add(message(), target, 3)).toBe(0);
  await settle();
  await log.store();
  expect(target.outcomes.at(-1)).toEqual({ numbers: [3, 3], stored: true });
});

test('each publisher learns of each message once, whatever fails', async () => {
  const step = fc.constantFrom('publish', 'publish', 'publish', 'store', 'fail', 'refuse', 'take', 'turn');
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { log, messages, refused, failed } = openLog(300);
      const targets = [new TestTarget(), new TestTarget()];
      let next = 0;
      for (const each of steps) {
        if (each === 'publish') messages.add(message(), targets[next % 3 === 0 ? 0 : 1], next++);
        else if (each === 'refuse') log.refuses = new Error('full');
        else if (each === 'take') log.refuses = undefined;
        else if (each === 'turn' || log.waiting.length === 0) await settle();
        else if (each === 'store') await log.store();
        else await log.fail(new Error('broken'));
      }
      log.refuses = undefined;
      do {
        void messages.settled();
        await settle();
        if (log.waiting.length > 0) await log.store();
      } while (log.waiting.length > 0);
      const told = targets.flatMap(({ outcomes }) => outcomes);
      const numbers = told.flatMap(({ numbers: [first, last] }) =>
        Array.from({ length: last - first + 1 }, (_, index) => first + index),
      );
      expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: next }, (_, index) => index));
      const notStored = told
        .filter(({ stored }) => !stored)
        .reduce((sum, { numbers: [first, last] }) => sum + last - first + 1, 0);
      expect([...refused, ...failed].reduce((sum, count) => sum + count, 0)).toBe(notStored);
    }),
    { numRuns: 100 },
  );
});

test('priorities stay with their messages when batches before or behind them fail', async () => {
  const log = new HeldLog();
  const clock = new ManualClock();
  const queue = await Queue.open({
    name: 'q',
    settings: { ...resolveQueueSettings(new Map()), maxPriority: 9 },
    messages: log,
    settlements: undefined,
    clock,
    deadlines: new DeadlineQueue(clock),
    logger: silentLogger,
    readAheadBytes: 1000,
    deadLetter: (_queue, _view, _reason, onDone) => onDone(true),
    onUnused: () => {},
  });
  const target = new TestTarget();
  queue.publish(message('a', 1), target, 1);
  queue.publish(message('b', 5), target, 2);
  await settle();
  queue.publish(message('refused', 9), target, 3);
  log.refuses = new Error('full');
  expect(queue.readyCount).toBe(3);
  await log.store();
  expect(target.outcomes.map(({ stored }) => stored)).toEqual([false, true]);
  expect(queue.readyCount).toBe(2);
  log.refuses = undefined;
  queue.publish(message('c', 3), target, 4);
  await settle();
  queue.publish(message('lost', 9), target, 5);
  await log.store();
  await log.fail(new Error('broken'));
  expect(queue.readyCount).toBe(3);
  const client = new TestChannel(clock);
  client.consume(queue);
  expect(client.bodies()).toEqual(['b', 'c', 'a']);
});

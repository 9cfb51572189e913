import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MessageBatchBuilder } from '../../broker/queues/message-batch.ts';
import { MessageReader } from '../../broker/queues/message-reader.ts';
import { getNextOffset, setBaseOffset } from '../../src/records/batch-header.ts';

/** Batches with these numbers of messages; the body is the offset. Reads come at once, or when `answer` is called. */
class TestLog {
  readonly name = 'q-0';
  readonly batches: Buffer[] = [];
  endOffset = 0;
  reads = 0;
  /** What the next read fails with. */
  failure: Error | undefined;
  waiting: Array<() => void> = [];
  readonly #isAsync: boolean;

  constructor(sizes: readonly number[], isAsync: boolean) {
    this.#isAsync = isAsync;
    for (const size of sizes) this.add(size);
  }

  add(size: number): void {
    const builder = new MessageBatchBuilder();
    for (let index = 0; index < size; index++) {
      const body = [Buffer.from(String(this.endOffset + index))];
      builder.append(1000 + this.endOffset + index, {
        exchange: '',
        routingKey: '',
        properties: Buffer.alloc(0),
        body,
      });
    }
    const batch = builder.finish();
    setBaseOffset(batch, 0, this.endOffset);
    this.batches.push(batch);
    this.endOffset += size;
  }

  read(offset: number, endOffset: number, bytesMax: number): Buffer[] | Promise<Buffer[]> {
    this.reads++;
    const { failure } = this;
    this.failure = undefined;
    let bytes = 0;
    const found = this.batches.filter((batch) => {
      if (getNextOffset(batch, 0) <= offset || getNextOffset(batch, 0) > endOffset || bytes >= bytesMax) return false;
      bytes += batch.length;
      return true;
    });
    if (!this.#isAsync) {
      if (failure !== undefined) throw failure;
      return found;
    }
    // As from a segment: all of them in one piece.
    const answer = found.length > 1 ? [Buffer.concat(found)] : found;
    return new Promise((resolve, reject) => {
      this.waiting.push(() => (failure === undefined ? resolve(answer) : reject(failure)));
    });
  }
}

function open(log: TestLog, readAheadBytes = 2000) {
  let ready = 0;
  const reader = new MessageReader({ log, readAheadBytes, onReady: () => ready++ });
  return {
    reader,
    get ready() {
      return ready;
    },
    /** Body of a message, waiting as long as it takes. */
    async body(offset: number): Promise<string> {
      for (let tries = 0; tries < 3; tries++) {
        const view = reader.at(offset, log.endOffset);
        if (view !== undefined) {
          expect([view.offset, view.timestampMs]).toEqual([offset, 1000 + offset]);
          return view.body.toString();
        }
        for (const answer of log.waiting.splice(0)) answer();
        await reader.ready();
      }
      throw new Error(`${offset} does not come`);
    },
  };
}

describe.each([
  ['in memory', false],
  ['on disk', true],
] as const)('a reader of a log %s', (_, isAsync) => {
  test('finds every message in any order, with every way to read ahead', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 25 }),
        fc.array(fc.nat(), { maxLength: 80 }),
        fc.constantFrom(1, 300, 100_000),
        async (sizes, picks, readAheadBytes) => {
          const log = new TestLog(sizes, isAsync);
          const { body } = open(log, readAheadBytes);
          for (const pick of picks) expect(await body(pick % log.endOffset)).toBe(String(pick % log.endOffset));
        },
      ),
      { numRuns: 150 },
    );
  });

  test('reads each piece of a log once when it goes straight on, also past messages that came back', async () => {
    const log = new TestLog(new Array<number>(100).fill(10), isAsync);
    const { body } = open(log, 100_000);
    for (let offset = 0; offset < 1000; offset++) {
      await body(offset);
      if (offset % 10 === 5 && offset > 50) await body(offset - 20);
    }
    expect(log.reads).toBeLessThan(5);
  });

  test('tells of a failure once, and reads again', async () => {
    const log = new TestLog([3], isAsync);
    const { body } = open(log);
    log.failure = new Error('broken');
    await expect(body(0)).rejects.toThrow('broken');
    expect(await body(0)).toBe('0');
  });

  test('tells of a message that is not where it should be', async () => {
    const log = new TestLog([3, 3], isAsync);
    log.batches.pop();
    await expect(open(log).body(4)).rejects.toThrow(/offset 4 of q-0 is not where it should be/);
  });
});

test('asks once while a read is under way, and says when it is done', async () => {
  const log = new TestLog([3, 3], true);
  const bed = open(log);
  expect(bed.reader.at(0, 6)).toBeUndefined();
  expect(bed.reader.at(4, 6)).toBeUndefined();
  expect([log.reads, bed.ready]).toEqual([1, 0]);
  log.waiting[0]!();
  await bed.reader.ready();
  expect(bed.ready).toBe(1);
  expect(bed.reader.at(4, 6)?.body.toString()).toBe('4');
});

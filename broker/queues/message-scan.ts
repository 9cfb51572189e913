/** Goes over the messages of a log once, in order, a piece of the log at a time. */

import { BurrowError } from '../../src/errors/burrow-error.ts';
import { getBaseOffset, getBaseTimestamp, getNextOffset } from '../../src/records/batch-header.ts';
import { batchPositions, recordsSection } from '../../src/records/batch-iterator.ts';
import { RecordCursor } from '../../src/records/record-cursor.ts';
import { MessageView } from './message-batch.ts';
import type { ReadableLog } from './message-reader.ts';

export class MessageScan {
  readonly #log: ReadableLog;
  readonly #bytesAtOnce: number;

  constructor(log: ReadableLog, bytesAtOnce: number) {
    this.#log = log;
    this.#bytesAtOnce = bytesAtOnce;
  }

  /** Hands on every message in [start, end), until `onMessage` returns false; the view is good during the call only. */
  async run(start: number, end: number, onMessage: (view: MessageView) => boolean): Promise<void> {
    const view = new MessageView();
    for (let offset = start; offset < end; ) {
      const before = offset;
      for (const bytes of await this.#log.read(offset, end, this.#bytesAtOnce)) {
        for (const position of batchPositions(bytes)) {
          const baseOffset = getBaseOffset(bytes, position);
          const baseTimestampMs = getBaseTimestamp(bytes, position);
          const cursor = new RecordCursor(recordsSection(bytes, position));
          while (cursor.next()) {
            const at = baseOffset + cursor.offsetDelta;
            if (at < start || at >= end) continue;
            if (!view.set(cursor, at, baseTimestampMs + cursor.timestampDelta)) throw damaged(this.#log.name, at);
            if (!onMessage(view)) return;
          }
          offset = getNextOffset(bytes, position);
        }
      }
      if (offset === before) throw damaged(this.#log.name, offset);
    }
  }
}

function damaged(log: string, offset: number): BurrowError {
  return new BurrowError('STORAGE_CORRUPT', `The message at offset ${offset} of ${log} cannot be read.`, {
    fields: { log, offset },
  });
}

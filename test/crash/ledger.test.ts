/** The judge of the kill rounds must notice each kind of broken promise: here it is told of one at a time. */
import { describe, expect, test } from 'vitest';
import { Ledger, type PartitionFacts, Reading } from './ledger.ts';

function setUp(): {
  ledger: Ledger;
  kept: PartitionFacts;
  sliding: PartitionFacts;
  send: typeof Ledger.prototype.send;
} {
  const ledger = new Ledger([
    { name: 'kept', partitions: 2 },
    { name: 'sliding', partitions: 1, retentionBytes: 1000 },
  ]);
  return {
    ledger,
    kept: ledger.facts('kept', 0),
    sliding: ledger.facts('sliding', 0),
    send: (producer, place) => ledger.send(producer, place),
  };
}

function reported(logStartOffset: number, highWatermark: number, bytes = 5000) {
  return { logStartOffset, highWatermark, bytes };
}

describe('the ledger', () => {
  test('accepts what is promised: everything acknowledged once and in order, the rest once or not at all', () => {
    const { ledger, kept, send } = setUp();
    const sent = Array.from({ length: 10 }, () => send(0, kept));
    ledger.acknowledged(sent[0]!.entry, 0);
    ledger.acknowledged(sent[3]!.entry, 2);
    kept.check(reported(0, 4), kept.known);
    const reading = new Reading(ledger, kept, 0);
    // 1 was stored unacknowledged, 2 was not stored, 9 was.
    [0, 1, 3, 9].forEach((number, offset) => {
      reading.record(offset, sent[number]!.value);
    });
    ledger.acknowledged(sent[9]!.entry, 3);
    expect([reading.nextOffset, ledger.acknowledgedCount]).toEqual([4, 3]);
  });

  test('notices a log that ends before what was acknowledged or read', () => {
    const { ledger, kept, send } = setUp();
    const [first, second] = [send(0, kept), send(0, kept)];
    ledger.acknowledged(first.entry, 0);
    expect(() => kept.check(reported(0, 0), kept.known)).toThrow(
      'kept-0 ends at 0, but record 0 of producer 0, acknowledged at 0 in kept-0, is lost',
    );
    new Reading(ledger, kept, 1).record(1, second.value);
    expect(() => kept.check(reported(0, 1), kept.known)).toThrow('record 1 of producer 0, read at 1 in kept-0');
  });

  test('notices offsets that go back although nothing known is lost', () => {
    const { kept } = setUp();
    kept.check(reported(0, 7), { ...kept.known, end: 0 });
    expect(() => kept.check(reported(0, 6), { ...kept.known, end: 0 })).toThrow('kept-0 went back');
  });

  test('notices another record at an offset that was acknowledged or read before', () => {
    const { ledger, kept, send } = setUp();
    const [first, second] = [send(0, kept), send(1, kept)];
    ledger.acknowledged(first.entry, 0);
    expect(() => new Reading(ledger, kept, 0).record(0, second.value)).toThrow(
      /record 0 of producer 1.* at that offset/,
    );
    expect(() => ledger.acknowledged(second.entry, 0)).toThrow('at that offset');
  });

  test('notices a record that is there twice', () => {
    const { ledger, kept, send } = setUp();
    const { entry, value } = send(0, kept);
    const reading = new Reading(ledger, kept, 0);
    reading.record(0, value);
    expect(() => reading.record(1, value)).toThrow('it is there twice');
    expect(() => ledger.acknowledged(entry, 1)).toThrow('it is there twice');
  });

  test('notices a wrong order, and that of each producer apart', () => {
    const { ledger, kept, send } = setUp();
    const [first, second, other] = [send(0, kept), send(0, kept), send(1, kept)];
    const reading = new Reading(ledger, kept, 0);
    reading.record(0, second.value);
    reading.record(1, other.value);
    expect(() => reading.record(2, first.value)).toThrow('record 0 of producer 0 stands at 2, behind record 1');
  });

  test('notices a hole, but where records may be removed from the start', () => {
    const { ledger, kept, sliding, send } = setUp();
    expect(() => new Reading(ledger, kept, 0).record(1, send(0, kept).value)).toThrow('offset 1 where 0 comes next');
    const reading = new Reading(ledger, sliding, 0);
    reading.record(5, send(0, sliding).value);
    expect(() => reading.record(4, send(0, sliding).value)).toThrow('offset 4 where 6 comes next');
    expect(() => sliding.check(reported(4, 6), { ...sliding.known, end: 6 })).toThrow(
      'a reader found nothing before 5',
    );
    sliding.check(reported(5, 6), { ...sliding.known, end: 6 });
  });

  test('notices a record of another partition, one that nobody sent, and one that was cut', () => {
    const { ledger, kept, send } = setUp();
    const { value } = send(0, ledger.facts('kept', 1));
    const reading = new Reading(ledger, kept, 0);
    expect(() => reading.record(0, value)).toThrow('never sent there');
    expect(() => reading.record(0, Buffer.from('0:1:'))).toThrow('never sent there');
    expect(() => reading.record(0, null)).toThrow('never sent there');
    expect(() => reading.record(0, send(0, kept).value.subarray(0, -1))).toThrow('never sent there');
  });

  test('notices records that vanish from the start, and removed ones that come back', () => {
    const { kept, sliding } = setUp();
    expect(() => kept.check(reported(1, 10), { ...kept.known, end: 0 })).toThrow('records from 0 on are lost');
    kept.removalAsked = 5;
    kept.check(reported(5, 10), { ...kept.known, end: 0 });
    expect(() => kept.check(reported(4, 10), { ...kept.known, end: 0 })).toThrow('went back');
    kept.removalAsked = 8;
    kept.removalAcknowledged = 8;
    expect(() => kept.check(reported(7, 10), { ...kept.known, end: 0 })).toThrow('its removal to 8 is lost');
    // Acknowledged while the answer was under way.
    kept.check(reported(7, 10), { ...kept.known, end: 0, removedTo: 7 });
    sliding.check(reported(3, 10, 1000), { ...sliding.known, end: 0 });
    expect(() => sliding.check(reported(4, 10, 999), { ...sliding.known, end: 0 })).toThrow('retention left 999 bytes');
  });
});

import { expect, test } from 'vitest';
import { KeyOrderLedger } from './key-order-ledger.ts';

/** Two messages of a key, both stored. */
function twoMessages() {
  const ledger = new KeyOrderLedger();
  const messages = [ledger.publish('k'), ledger.publish('k')];
  for (const message of messages) ledger.stored(message);
  return { ledger, first: messages[0]!, second: messages[1]! };
}

test('it takes what may be: in order, again after it came back, again after a loss', () => {
  const { ledger, first, second } = twoMessages();
  ledger.delivered('a', 'k', 0);
  ledger.returned('a', first);
  ledger.delivered('b', 'k', 0);
  ledger.settled('b', first);
  ledger.lost('b');
  ledger.delivered('a', 'k', 0);
  ledger.settled('a', first);
  ledger.delivered('a', 'k', 1);
  ledger.died();
  ledger.delivered('c', 'k', 0);
  ledger.settled('c', first);
  ledger.durable(ledger.beginSync('c'));
  ledger.delivered('c', 'k', 1);
  ledger.settled('c', second);
  ledger.checkDrained();
});

test('it takes a settlement that arrived over a connection that broke, and was not stored when the broker died', () => {
  const { ledger, first } = twoMessages();
  ledger.delivered('a', 'k', 0);
  ledger.settled('a', first);
  ledger.lost('a');
  ledger.delivered('b', 'k', 1);
  ledger.died();
  ledger.delivered('b', 'k', 0);
});

test.each<[string, (beds: ReturnType<typeof twoMessages>) => void, RegExp]>([
  [
    'two of a key in process',
    ({ ledger }) => {
      ledger.delivered('a', 'k', 0);
      ledger.delivered('b', 'k', 1);
    },
    /while k 0 is in process/,
  ],
  ['one that overtakes', ({ ledger }) => ledger.delivered('a', 'k', 1), /k 1 overtakes k 0, which is stored/],
  [
    'one that overtakes another that came back',
    ({ ledger, first }) => {
      ledger.delivered('a', 'k', 0);
      ledger.returned('a', first);
      ledger.delivered('a', 'k', 1);
    },
    /k 1 overtakes k 0/,
  ],
  [
    'one that overtakes another whose dead letter has not arrived',
    ({ ledger, first }) => {
      ledger.delivered('a', 'k', 0);
      ledger.doomed('a', first);
      ledger.delivered('a', 'k', 1);
    },
    /k 1 overtakes k 0, which is doomed/,
  ],
  [
    'one that was settled',
    ({ ledger, first }) => {
      ledger.delivered('a', 'k', 0);
      ledger.settled('a', first);
      ledger.lost('b');
      ledger.delivered('b', 'k', 0);
    },
    /although it is settled/,
  ],
  [
    'one that was settled durably, after the broker died',
    ({ ledger, first }) => {
      ledger.delivered('a', 'k', 0);
      ledger.settled('a', first);
      ledger.durable(ledger.beginSync());
      ledger.died();
      ledger.delivered('b', 'k', 0);
    },
    /although it is gone/,
  ],
  [
    'one after another that follows it',
    ({ ledger, first, second }) => {
      ledger.delivered('a', 'k', 0);
      ledger.settled('a', first);
      ledger.delivered('b', 'k', 1);
      ledger.returned('b', second);
      ledger.lost('a');
      ledger.delivered('a', 'k', 0);
    },
    /after k 1/,
  ],
  ['one that nobody published', ({ ledger }) => ledger.delivered('a', 'k', 2), /nobody published k 2/],
  ['none of two', ({ ledger }) => ledger.checkDrained(), /k 0 was never settled: it is stored/],
])('it notices %s', (_, happen, message) => {
  const beds = twoMessages();
  expect(() => happen(beds)).toThrow(message);
});

/** The judge of queues in the kill rounds must notice each kind of broken promise: here it is told of one at a time. */
import { expect, test } from 'vitest';
import { MessageLedger } from './message-ledger.ts';

function publishConfirmed(ledger: MessageLedger, resends = 0) {
  const published = ledger.publish();
  ledger.confirmed(published.message, resends);
  return published;
}

test('accepts messages that are kept, delivered again, and gone after an acknowledgment', () => {
  const ledger = new MessageLedger();
  const [kept, acknowledged] = [publishConfirmed(ledger), publishConfirmed(ledger)];
  ledger.publish();
  for (const { body } of [kept, acknowledged, acknowledged]) ledger.delivered('queue', body, false);
  ledger.decided('queue', kept.message, 'requeue');
  ledger.decided('queue', acknowledged.message, 'ack');
  // Not for sure: it may be gone or not.
  ledger.seen('queue', acknowledged.body);
  ledger.checkStored(ledger.kept(), new Set([kept.message]));
});

test('notices a confirmed message that is nowhere', () => {
  const ledger = new MessageLedger();
  const { message } = publishConfirmed(ledger);
  ledger.decided('queue', message, 'reject');
  expect(() => ledger.checkStored(ledger.kept(), new Set())).toThrow(
    'message 0 is lost, confirmed and still wanted: confirmed after 0 resends at most, reject to queue',
  );
});

test.each(['ack', 'reject'] as const)('notices one that comes back after a durable %s', (decision) => {
  const ledger = new MessageLedger();
  const { message, body } = publishConfirmed(ledger);
  ledger.decided('queue', message, decision);
  ledger.settledForSure('queue', message);
  expect(() => ledger.seen('queue', body)).toThrow('message 0 came back to "queue", but was settled durably (1 of 1)');
});

test('allows the copies that publishing again may have made, and no more', () => {
  const ledger = new MessageLedger();
  const { message, body } = publishConfirmed(ledger, 1);
  ledger.settledForSure('queue', message);
  ledger.seen('queue', body);
  ledger.settledForSure('queue', message);
  expect(() => ledger.seen('queue', body)).toThrow('(2 of 2)');
});

test('allows as many dead letters as there were rejections, and notices one that comes back', () => {
  const ledger = new MessageLedger();
  const { message, body } = publishConfirmed(ledger);
  expect(() => ledger.seen('dead', body)).toThrow('nobody rejected it');
  ledger.decided('queue', message, 'reject');
  ledger.delivered('dead', body, false);
  ledger.decided('dead', message, 'ack');
  ledger.settledForSure('dead', message);
  expect(() => ledger.seen('dead', body)).toThrow('came back to "dead"');
});

test('notices a message that nobody published, or that was cut', () => {
  const ledger = new MessageLedger();
  publishConfirmed(ledger);
  const { body } = publishConfirmed(ledger);
  for (const wrong of [Buffer.from('7:'), Buffer.from('hello'), Buffer.alloc(0), body.subarray(0, -1)]) {
    expect(() => ledger.seen('queue', wrong)).toThrow('was never published like that');
  }
});

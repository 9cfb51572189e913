/** Rules of queues, each to be switched off on purpose, to show that the simulation notices. */
import { PartitionBatchLog } from '../../broker/queues/batch-log.ts';
import { ConsumerRing, type RingConsumer } from '../../broker/queues/consumer-ring.ts';
import { MessageGroups } from '../../broker/queues/message-groups.ts';
import { QueueState } from '../../broker/queues/queue-state.ts';
import { SettlementLog } from '../../broker/queues/settlement-log.ts';

/** Each replaces a method until its result is called. */
export const SABOTAGE = {
  'settlements-are-not-stored': () => replaceMethod(SettlementLog.prototype, 'settled', () => () => {}),
  'floor-is-trimmed-too-early': () =>
    replaceMethod(
      PartitionBatchLog.prototype,
      'trim',
      (trim) =>
        function (this: PartitionBatchLog, offset: number) {
          return trim.call(this, offset + 3);
        },
    ),
  'a-requeued-message-is-forgotten': () => {
    let count = 0;
    return replaceMethod(
      QueueState.prototype,
      'requeue',
      (requeue) =>
        function (this: QueueState, offset: number) {
          if (++count % 5 === 0) this.delay(offset, Number.MAX_SAFE_INTEGER);
          else requeue.call(this, offset);
        },
    );
  },
  'credit-is-forgotten': () => {
    let count = 0;
    return replaceMethod(
      ConsumerRing.prototype,
      'onCredit',
      (onCredit) =>
        function (this: ConsumerRing<RingConsumer>, consumer: RingConsumer) {
          if (++count % 5 !== 0) onCredit.call(this, consumer);
        },
    );
  },
  'returns-are-put-at-the-end': () =>
    replaceMethod(
      QueueState.prototype,
      'requeue',
      () =>
        function (this: QueueState, offset: number) {
          this.delay(offset, 1);
        },
    ),
  'notes-outlive-their-messages': () => replaceMethod(SettlementLog.prototype, 'rewrite', () => async () => {}),
  'purges-are-not-stored': () =>
    replaceMethod(
      QueueState.prototype,
      'purge',
      (purge) =>
        function (this: QueueState) {
          return purge.call(this, () => {});
        },
    ),
  'a-busy-key-is-taken-for-free': () => {
    let count = 0;
    return replaceMethod(
      MessageGroups.prototype,
      'admit',
      (admit) =>
        function (this: MessageGroups, key: string, offset: number) {
          return ++count % 500 === 0 || admit.call(this, key, offset);
        },
    );
  },
  'a-returned-message-gives-its-key-away': () =>
    replaceMethod(
      MessageGroups.prototype,
      'hold',
      () =>
        function (this: MessageGroups, offset: number) {
          this.release(offset);
        },
    ),
  'a-message-that-waits-for-its-key-is-forgotten': () => {
    let count = 0;
    return replaceMethod(
      QueueState.prototype,
      'unpark',
      (unpark) =>
        function (this: QueueState, offset: number) {
          if (++count % 500 !== 0) unpark.call(this, offset);
        },
    );
  },
} satisfies Record<string, () => () => void>;

/** Puts another method in the place of one, and returns how to undo that. */
function replaceMethod<T extends object, K extends keyof T>(
  prototype: T,
  name: K,
  make: (original: T[K]) => T[K],
): () => void {
  const original = prototype[name];
  prototype[name] = make(original);
  return () => {
    prototype[name] = original;
  };
}

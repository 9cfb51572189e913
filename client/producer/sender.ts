/**
 * Moves closed batches to their brokers and settles them: order, retries, delivery timeout, sequences.
 * Per batch, never per record. What it guarantees per partition:
 * - batches are written in the order of their creation, and a batch that must be sent again goes before all later ones;
 * - with idempotence, no batch is stored twice and none overtakes another, whatever is lost on the way;
 * - every batch is settled within its delivery timeout.
 * It never waits inside: each event (room, answer, timer, new metadata) only asks for another drain.
 */
import { BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import type { ErrorName } from '../../src/errors/table.ts';
import { type Backoff, backoffDelayMs } from '../backoff.ts';
import type { ClientClock, ClientTimer } from '../clock.ts';
import type { ProducerIdentity } from './idempotence-state.ts';
import type { PartitionQueue } from './partition-queue.ts';
import type { BatchOutcome, ProducerBatch } from './producer-batch.ts';

export interface ProduceResult {
  readonly error: BurrowError | undefined;
  readonly outcome: BatchOutcome;
}

/** What the sender needs of the cluster. Real: `cluster-transport.ts`. */
export interface ProduceTransport {
  /** The node that leads the partition, or undefined if that is not known at the moment. */
  leaderOf(topic: string, partition: number): number | undefined;
  /** One result per batch, in order. Rejects if the request as a whole failed. */
  produce(nodeId: number, acks: Acks, batches: readonly ProducerBatch[]): Promise<readonly ProduceResult[]>;
  initProducerId(): Promise<ProducerIdentity>;
  /** The largest request the brokers accept, in bytes, as far as is known. */
  readonly frameBytesMax: number;
  /** Fetches the topic's metadata anew and resolves when that is done, well or not. */
  refreshMetadata(topic: string): Promise<void>;
}

/** As in Kafka: -1 waits for all in-sync replicas, 1 for the leader, 0 for nobody. */
export type Acks = -1 | 0 | 1;

export interface SenderOptions {
  readonly acks: Acks;
  readonly idempotent: boolean;
  /** Batches in flight per partition. */
  readonly inFlightMax: number;
  /** Batches of one request together, in bytes. A single larger batch goes alone. */
  readonly requestBytesMax: number;
  readonly lingerMs: number;
  readonly backoff: Backoff;
  readonly clock: ClientClock;
  readonly transport: ProduceTransport;
  /** Moves the open batch to those that wait. If it must be compressed first, {@link Sender.wake} follows. */
  closeOpenBatch(queue: PartitionQueue): void;
  /** Makes the batch's bytes with its producer id, epoch and sequence as they are now. */
  finishBytes(batch: ProducerBatch): void;
  /** The batch no longer counts against the buffer. */
  onSettled(batch: ProducerBatch): void;
}

/** Answers after which the batch may nevertheless be in the log. */
const OUTCOME_UNKNOWN: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'CONNECTION_LOST',
  'REQUEST_TIMED_OUT',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'STORAGE_ERROR',
  'STORAGE_FULL',
  'INTERNAL_ERROR',
  'SHUTTING_DOWN',
]);

const LEADER_MOVED: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'NOT_LEADER',
  'LEADER_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'UNKNOWN_TOPIC_ID',
  'CONNECTION_LOST',
  'CONNECTION_FAILED',
]);

const SEQUENCE_REFUSED: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'OUT_OF_ORDER_SEQUENCE',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
]);

/** Room for what surrounds the batches in a request: topic names, numbers. */
export const REQUEST_ENVELOPE_BYTES = 4096;

/** A topic that stays unknown this often was deleted: no use in waiting for the delivery timeout. */
const UNKNOWN_TOPIC_RETRIES = 4;

export class Sender {
  readonly #options: SenderOptions;
  readonly #clock: ClientClock;
  /** Partitions that have something under way. */
  readonly #queues = new Set<PartitionQueue>();
  #drainRequested: boolean = false;
  /** While set, open batches do not linger: a flush() or close() waits. */
  #flushes = 0;
  #closed: boolean = false;
  /** The next moment at which something is due without an event: end of a linger, of a delay, a deadline. */
  #timer: ClientTimer | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#clock = options.clock;
  }

  /** The queue has something to send. Cheap enough to call per record. */
  wake(queue: PartitionQueue): void {
    this.#queues.add(queue);
    this.requestDrain();
  }

  /** Drains at the end of this turn, so that what is sent in one turn goes in one batch. */
  requestDrain(): void {
    if (this.#drainRequested || this.#closed) return;
    this.#drainRequested = true;
    this.#clock.afterTurn(this.#drain);
  }

  beginFlush(): void {
    this.#flushes += 1;
    this.requestDrain();
  }

  endFlush(): void {
    this.#flushes -= 1;
  }

  /** Every batch that is not settled, open ones included. */
  *unsettledBatches(): Iterable<ProducerBatch> {
    for (const queue of this.#queues) {
      yield* queue.inFlight;
      yield* queue.waiting;
      if (queue.open !== undefined) yield queue.open;
    }
  }

  /** Gives up a closed batch that cannot be sent at all. */
  abandon(batch: ProducerBatch, error: BurrowError): void {
    const index = batch.queue.waiting.indexOf(batch);
    if (index >= 0) batch.queue.waiting.splice(index, 1);
    this.#giveUp(batch.queue, batch, error);
    this.requestDrain();
  }

  /** Gives up everything under way. */
  close(error: BurrowError): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const batch of [...this.unsettledBatches()]) this.#settle(batch, undefined, error);
    this.#queues.clear();
  }

  readonly #drain = (): void => {
    this.#drainRequested = false;
    if (this.#closed) return;
    const nowMs = this.#clock.monotonic();
    this.#expire(nowMs);
    // Each pass takes at most one batch per partition: a request carries one batch of a partition, as brokers expect.
    for (;;) {
      const byNode = new Map<number, ProducerBatch[]>();
      for (const queue of this.#queues) this.#take(queue, nowMs, byNode);
      if (byNode.size === 0) break;
      for (const [nodeId, batches] of byNode) this.#sendAll(nodeId, batches);
    }
    for (const queue of this.#queues) if (queue.isEmpty) this.#queues.delete(queue);
    this.#armTimer(nowMs);
  };

  #take(queue: PartitionQueue, nowMs: number, byNode: Map<number, ProducerBatch[]>): void {
    if (queue.mutedUntilMs > nowMs || queue.inFlight.size >= this.#options.inFlightMax) return;
    if (!this.#hasIdentity(queue)) return;
    if (queue.waiting.length === 0 && queue.open !== undefined && this.#isDue(queue.open, nowMs)) {
      if (queue.idempotence?.canAssign() === false) return;
      this.#options.closeOpenBatch(queue);
    }
    const batch = queue.nextWaiting();
    if (batch === undefined || !batch.isReady) return;
    const nodeId = this.#options.transport.leaderOf(queue.topic, queue.partition);
    if (nodeId === undefined) {
      this.#delay(queue, 0, nowMs);
      this.#refresh(queue.topic);
      return;
    }
    queue.waiting.splice(queue.waiting.indexOf(batch), 1);
    queue.inFlight.add(batch);
    if (queue.idempotence !== undefined && batch.baseSequence < 0) queue.idempotence.assign(batch);
    this.#options.finishBytes(batch);
    const batches = byNode.get(nodeId);
    if (batches === undefined) byNode.set(nodeId, [batch]);
    else batches.push(batch);
  }

  #isDue(open: ProducerBatch, nowMs: number): boolean {
    return this.#flushes > 0 || nowMs >= open.createdAtMs + this.#options.lingerMs;
  }

  /** Whether the partition may send as far as its producer id is concerned; asks for one if it must. */
  #hasIdentity(queue: PartitionQueue): boolean {
    const { idempotence } = queue;
    if (idempotence === undefined) return true;
    idempotence.maybeFinishReset(queue.inFlight.size);
    if (idempotence.identity !== undefined) return true;
    if (!queue.awaitingIdentity) {
      queue.awaitingIdentity = true;
      void this.#requestIdentity(queue);
    }
    return false;
  }

  async #requestIdentity(queue: PartitionQueue): Promise<void> {
    try {
      queue.idempotence!.onNewIdentity(await this.#options.transport.initProducerId());
      queue.identityFailures = 0;
    } catch (thrown) {
      const error = toBurrowError(thrown);
      if (error.retriable) {
        this.#delay(queue, queue.identityFailures, this.#clock.monotonic());
        queue.identityFailures += 1;
      } else {
        for (const batch of queue.takeWaiting()) this.#giveUp(queue, batch, error);
      }
    } finally {
      queue.awaitingIdentity = false;
      this.requestDrain();
    }
  }

  /** Cuts what goes to one node into requests. */
  #sendAll(nodeId: number, batches: readonly ProducerBatch[]): void {
    const { requestBytesMax, transport } = this.#options;
    const bytesMax = Math.min(requestBytesMax, transport.frameBytesMax - REQUEST_ENVELOPE_BYTES);
    let request: ProducerBatch[] = [];
    let requestBytes = 0;
    for (const batch of batches) {
      const bytes = batch.bytes!.byteLength;
      if (request.length > 0 && requestBytes + bytes > bytesMax) {
        void this.#send(nodeId, request);
        request = [];
        requestBytes = 0;
      }
      request.push(batch);
      requestBytes += bytes;
    }
    void this.#send(nodeId, request);
  }

  async #send(nodeId: number, batches: readonly ProducerBatch[]): Promise<void> {
    for (const batch of batches) batch.attempts += 1;
    let results: readonly ProduceResult[] | undefined;
    let failure: BurrowError | undefined;
    try {
      results = await this.#options.transport.produce(nodeId, this.#options.acks, batches);
    } catch (error) {
      failure = toBurrowError(error);
    }
    if (this.#closed) return;
    const moved = new Set<string>();
    for (let index = 0; index < batches.length; index += 1) {
      const batch = batches[index]!;
      const result = results?.[index];
      const error =
        failure ?? (result === undefined ? new BurrowError('INTERNAL_ERROR', 'An answer is missing.') : result.error);
      batch.queue.inFlight.delete(batch);
      if (error === undefined) this.#onAcknowledged(batch, result!.outcome);
      else this.#onFailed(batch, error);
      if (error !== undefined && LEADER_MOVED.has(error.code)) moved.add(batch.topic);
    }
    for (const topic of moved) this.#refresh(topic);
    this.requestDrain();
  }

  #onAcknowledged(batch: ProducerBatch, outcome: BatchOutcome): void {
    batch.queue.idempotence?.onAcknowledged(batch);
    this.#settle(batch, outcome, undefined);
  }

  #onFailed(batch: ProducerBatch, error: BurrowError): void {
    // It expired while in flight: its sequence is given up already.
    if (batch.settled) return;
    const { queue } = batch;
    const nowMs = this.#clock.monotonic();
    if (queue.idempotence !== undefined && SEQUENCE_REFUSED.has(error.code)) {
      if (queue.idempotence.onSequenceRefused(batch, error.code) === 'fail') {
        this.#giveUp(queue, batch, error);
        return;
      }
    } else {
      if (OUTCOME_UNKNOWN.has(error.code)) batch.outcomeUnknown = true;
      const isHopeless = error.code === 'UNKNOWN_TOPIC_OR_PARTITION' && batch.attempts > UNKNOWN_TOPIC_RETRIES;
      if (!error.retriable || isHopeless) {
        this.#giveUp(queue, batch, error);
        return;
      }
    }
    batch.lastError = error;
    queue.returnToWaiting(batch);
    this.#delay(queue, batch.attempts - 1, nowMs);
  }

  /** Fails batches whose delivery timeout is over, wherever they are. */
  #expire(nowMs: number): void {
    for (const queue of this.#queues) {
      for (const batch of queue.inFlight) {
        if (batch.deadlineMs <= nowMs && !batch.settled) {
          batch.outcomeUnknown = true;
          this.#giveUp(queue, batch, deliveryTimeout(batch));
        }
      }
      while (queue.waiting.length > 0 && queue.waiting[0]!.deadlineMs <= nowMs) {
        const batch = queue.waiting.shift()!;
        this.#giveUp(queue, batch, deliveryTimeout(batch));
      }
      const { open } = queue;
      if (open !== undefined && open.deadlineMs <= nowMs) {
        queue.open = undefined;
        this.#giveUp(queue, open, deliveryTimeout(open));
      }
    }
  }

  #giveUp(queue: PartitionQueue, batch: ProducerBatch, error: BurrowError): void {
    queue.idempotence?.onGivenUp(batch);
    this.#settle(batch, undefined, error);
  }

  #settle(batch: ProducerBatch, outcome: BatchOutcome | undefined, error: BurrowError | undefined): void {
    if (batch.settled) return;
    if (outcome !== undefined) batch.resolve(outcome);
    else batch.reject(withPlace(error!, batch));
    this.#options.onSettled(batch);
  }

  /** Keeps a partition silent for the delay of its `attempt`-th failure. */
  #delay(queue: PartitionQueue, attempt: number, nowMs: number): void {
    const delayMs = backoffDelayMs(this.#options.backoff, attempt, this.#clock.random());
    queue.mutedUntilMs = Math.max(queue.mutedUntilMs, nowMs + delayMs);
  }

  #refresh(topic: string): void {
    void this.#options.transport.refreshMetadata(topic).then(
      () => this.requestDrain(),
      () => this.requestDrain(),
    );
  }

  #armTimer(nowMs: number): void {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues) {
      const { open, mutedUntilMs } = queue;
      if (mutedUntilMs > nowMs) dueMs = Math.min(dueMs, mutedUntilMs);
      else if (open !== undefined && queue.waiting.length === 0 && !this.#isDue(open, nowMs)) {
        dueMs = Math.min(dueMs, open.createdAtMs + this.#options.lingerMs);
      }
      const oldest = queue.oldestUnsettled();
      if (oldest !== undefined) dueMs = Math.min(dueMs, oldest.deadlineMs);
    }
    if (dueMs === this.#timerDueMs && this.#timer !== undefined) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerDueMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.schedule(Math.max(0, dueMs - nowMs), () => {
      this.#timer = undefined;
      this.#drain();
    });
  }
}

function deliveryTimeout(batch: ProducerBatch): BurrowError {
  const tried =
    batch.attempts === 0
      ? 'it was never sent'
      : `after ${batch.attempts} attempts${batch.lastError === undefined ? '' : `, the last of which failed with ${batch.lastError.code}`}`;
  return new BurrowError(
    'DELIVERY_TIMEOUT',
    `${batch.recordCount} records were not acknowledged within deliveryTimeoutMs (${tried}).`,
    { cause: batch.lastError, fields: { attempts: batch.attempts } },
  );
}

/** The error with topic and partition in message and fields. */
function withPlace(error: BurrowError, batch: ProducerBatch): BurrowError {
  if (error.code === 'CLIENT_CLOSED') return error;
  const { topic, partition } = batch;
  return new BurrowError(error.code, `${topic}-${partition}: ${error.message}`, {
    cause: error,
    fields: { ...error.fields, topic, partition },
  });
}

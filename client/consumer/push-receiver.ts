/**
 * Keeps the buffers of a subscriber filled by being pushed to: one stream per node, with credit for what is neither buffered nor in
 * work. Per push, but for giving back credit, which is per record.
 *
 * A push is taken only if it goes on where its partition stands; so what was on its way when a partition was given up or moved is
 * told from what it asked for later, and comes to nothing.
 */
import type { BurrowError } from '../../src/errors/burrow-error.ts';
import { partitionKey, type TopicPartition } from '../topic-partition.ts';
import { recordsFrom } from './batch-scan.ts';
import { type Credit, CreditState } from './credit-state.ts';
import { CursorFeed, type FeedOptions, type FeedTransport, type FetchAnswer, type Isolation } from './cursor-feed.ts';
import type { ChunkOrigin, PartitionCursor } from './partition-cursor.ts';

export interface PushTarget extends TopicPartition {
  readonly offset: number;
}

export interface PushAnswer extends TopicPartition, FetchAnswer {
  /** Where it begins: as asked for, then behind the last. */
  readonly offset: number;
}

export interface PushHandlers {
  onAnswers(answers: readonly PushAnswer[]): void;
  /** Once; nothing comes after it. */
  onLost(error: BurrowError): void;
}

export interface PushCall {
  /** Takes partitions out, and adds others or moves those that are there. */
  change(remove: readonly TopicPartition[], add: readonly PushTarget[]): void;
  addCredit(credit: Credit): void;
  close(): void;
}

/** What it needs of the cluster. Real: `cluster-transport.ts`. */
export interface PushTransport extends FeedTransport {
  openPush(
    nodeId: number,
    targets: readonly PushTarget[],
    options: { readonly credit: Credit; readonly isolation: Isolation },
    handlers: PushHandlers,
  ): PushCall;
}

export interface PushReceiverOptions extends FeedOptions {
  readonly transport: PushTransport;
  /** Of each broker: what may be buffered or in work. */
  readonly credit: Credit;
}

export class PushReceiver extends CursorFeed {
  readonly #options: PushReceiverOptions;
  readonly #streams = new Map<number, NodeStream>();

  constructor(options: PushReceiverOptions) {
    super(options);
    this.#options = options;
  }

  override close(): void {
    super.close();
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  protected override supply(byNode: ReadonlyMap<number, readonly PartitionCursor[]>): void {
    for (const [nodeId, stream] of this.#streams) {
      const cursors = byNode.get(nodeId);
      if (cursors !== undefined) {
        stream.supply(cursors);
      } else {
        stream.close();
        this.#streams.delete(nodeId);
      }
    }
    for (const [nodeId, cursors] of byNode) {
      if (this.#streams.has(nodeId)) continue;
      const stream = new NodeStream(nodeId, cursors, this.#options, {
        onAnswer: (cursor, answer) => this.#receive(stream, cursor, answer),
        onAnswered: () => this.#options.onBuffered(),
        onLost: (left, error) => this.#onLost(stream, left, error),
      });
      this.#streams.set(nodeId, stream);
    }
  }

  #receive(stream: NodeStream, cursor: PartitionCursor, answer: PushAnswer): void {
    const { error, records } = answer;
    if (error === undefined && this.onAnswer(cursor, answer, stream)) return;
    if (error !== undefined) this.onFailure(cursor, error);
    else stream.release(recordsFrom(records, 0), records.byteLength);
    this.requestDrive();
  }

  #onLost(stream: NodeStream, cursors: readonly PartitionCursor[], error: BurrowError): void {
    if (this.closed) return;
    if (this.#streams.get(stream.nodeId) === stream) this.#streams.delete(stream.nodeId);
    for (const cursor of cursors) this.onFailure(cursor, error);
    this.#options.onBuffered();
    this.requestDrive();
  }
}

interface NodeStreamHooks {
  onAnswer(cursor: PartitionCursor, answer: PushAnswer): void;
  /** All answers of a push were handed on. */
  onAnswered(): void;
  onLost(cursors: readonly PartitionCursor[], error: BurrowError): void;
}

/** A partition in a stream, and for which of its generations. */
interface Member {
  readonly cursor: PartitionCursor;
  readonly generation: number;
}

class NodeStream implements ChunkOrigin {
  readonly nodeId: number;
  readonly #hooks: NodeStreamHooks;
  readonly #credit: CreditState;
  readonly #call: PushCall;
  readonly #members = new Map<string, Member>();
  #ended: boolean = false;

  constructor(
    nodeId: number,
    cursors: readonly PartitionCursor[],
    options: PushReceiverOptions,
    hooks: NodeStreamHooks,
  ) {
    this.nodeId = nodeId;
    this.#hooks = hooks;
    const { credit, isolation, transport } = options;
    this.#credit = new CreditState(credit);
    const targets = cursors.map((cursor) => this.#join(cursor));
    this.#call = transport.openPush(
      nodeId,
      targets,
      { credit, isolation },
      {
        onAnswers: (answers) => this.#onAnswers(answers),
        onLost: (error) => this.#onLost(error),
      },
    );
  }

  /** These and no others. */
  supply(cursors: readonly PartitionCursor[]): void {
    const wanted = new Set(cursors);
    const remove: TopicPartition[] = [];
    const add: PushTarget[] = [];
    for (const [key, { cursor, generation }] of this.#members) {
      if (wanted.has(cursor) && cursor.generation === generation) continue;
      this.#members.delete(key);
      remove.push({ topic: cursor.topic, partition: cursor.partition });
    }
    for (const cursor of cursors) {
      if (!this.#members.has(partitionKey(cursor))) add.push(this.#join(cursor));
    }
    if (remove.length + add.length > 0) this.#call.change(remove, add);
  }

  /** Per record. */
  release(records: number, bytes: number): void {
    if (this.#credit.onReleased(records, bytes) && !this.#ended) this.#call.addCredit(this.#credit.take());
  }

  close(): void {
    this.#ended = true;
    this.#members.clear();
    this.#call.close();
  }

  #join(cursor: PartitionCursor): PushTarget {
    const { topic, partition, generation, fetchOffset } = cursor;
    this.#members.set(partitionKey(cursor), { cursor, generation });
    return { topic, partition, offset: fetchOffset! };
  }

  #onAnswers(answers: readonly PushAnswer[]): void {
    if (this.#ended) return;
    for (const answer of answers) {
      const bytes = answer.records.byteLength;
      const records = recordsFrom(answer.records, 0);
      this.#credit.onReceived(records, bytes);
      const key = partitionKey(answer);
      const member = this.#members.get(key);
      const isCurrent = member?.cursor.generation === member?.generation && member?.cursor.removed === false;
      if (member === undefined || !isCurrent || member.cursor.fetchOffset !== answer.offset) {
        this.release(records, bytes);
        continue;
      }
      if (answer.error !== undefined) this.#members.delete(key);
      this.#hooks.onAnswer(member.cursor, answer);
    }
    this.#hooks.onAnswered();
  }

  #onLost(error: BurrowError): void {
    if (this.#ended) return;
    this.#ended = true;
    const cursors = [...this.#members.values()]
      .filter(({ cursor, generation }) => !cursor.removed && cursor.generation === generation)
      .map(({ cursor }) => cursor);
    this.#members.clear();
    this.#hooks.onLost(cursors, error);
  }
}

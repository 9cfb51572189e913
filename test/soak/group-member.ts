/**
 * A process with members of a group, as told by its parent: `join`, `leave`. Tells back what it is assigned and what it has
 * processed, always before anything that follows from that, so that whatever a kill cuts off, the parent knows enough.
 */
import { type Client, type Consumer, connect, type TopicPartition } from '../../client/index.ts';

export type MemberCommand =
  | {
      readonly kind: 'join';
      readonly member: number;
      readonly address: string;
      readonly pattern: boolean;
      readonly seed: number;
    }
  | { readonly kind: 'leave'; readonly member: number };

export type MemberReport =
  | { readonly kind: 'assigned' | 'revoked' | 'lost'; readonly member: number; readonly partitions: readonly number[] }
  /** Offsets from `from` up to, not including, `next`. */
  | {
      readonly kind: 'processed';
      readonly member: number;
      readonly partition: number;
      readonly from: number;
      readonly next: number;
    }
  | { readonly kind: 'left'; readonly member: number }
  | { readonly kind: 'failed'; readonly member: number; readonly message: string };

interface Running {
  readonly client: Client;
  readonly consumer: Consumer;
}

const members = new Map<number, Running>();
/** Told to leave before they had connected. */
const abandoned = new Set<number>();

/** Resolves when the parent's pipe has it. */
function tell(report: MemberReport): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(report, undefined, {}, (error) => (error === null ? resolve() : reject(error)));
  });
}

async function join({ member, address, pattern, seed }: MemberCommand & { kind: 'join' }): Promise<void> {
  const report = (kind: 'assigned' | 'revoked' | 'lost') => (partitions: readonly TopicPartition[]) =>
    tell({ kind, member, partitions: partitions.map(({ partition }) => partition) });
  const client = await connect(address, { reconnectBackoff: { initialMs: 10, maxMs: 100 }, connectWaitMs: 10_000 });
  if (abandoned.delete(member)) {
    await client.close();
    await tell({ kind: 'left', member });
    return;
  }
  const consumer = client.consumer({
    group: 'churn',
    ...(pattern ? { pattern: /^churn$/ } : { topics: ['churn'] }),
    from: 'earliest',
    sessionTimeoutMs: 2000,
    heartbeatIntervalMs: 100,
    autoCommitIntervalMs: 200,
    maxPollIntervalMs: 10_000,
    maxRecords: 200,
    onAssigned: report('assigned'),
    onRevoked: report('revoked'),
    onLost: report('lost'),
  });
  members.set(member, { client, consumer });
  let state = seed;
  while (members.has(member)) {
    const next = new Map<number, { from: number; next: number }>();
    for (const { partition, offset } of await consumer.poll({ timeoutMs: 200 })) {
      const range = next.get(partition);
      if (range === undefined) next.set(partition, { from: offset, next: offset + 1 });
      else if (range.next === offset) range.next += 1;
      else throw new Error(`churn-${partition} went from ${range.next} to ${offset}`);
    }
    // Work takes its time, and others in this process go on meanwhile.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    await new Promise((resolve) => setTimeout(resolve, state % 20));
    for (const [partition, range] of next) await tell({ kind: 'processed', member, partition, ...range });
  }
}

async function leave(member: number): Promise<void> {
  const running = members.get(member);
  if (running === undefined) {
    abandoned.add(member);
    return;
  }
  members.delete(member);
  await running.consumer.close();
  await running.client.close();
  await tell({ kind: 'left', member });
}

process.on('message', (command: MemberCommand) => {
  const done = command.kind === 'join' ? join(command) : leave(command.member);
  done.catch((error: Error & { code?: string }) => {
    if (error.code === 'CLIENT_CLOSED') return;
    tell({ kind: 'failed', member: command.member, message: String(error.stack) }).catch(() => {});
  });
});
// The parent has gone: so does this.
process.on('disconnect', () => process.exit());

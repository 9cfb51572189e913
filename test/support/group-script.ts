/** One group's state machine with hands on everything around it: what it stores, when that is done, what time it is. */
import { ClassicGroupState, type OnStored } from '../../broker/groups/classic-group-state.ts';
import type { GroupToStore } from '../../broker/groups/group-records.ts';
import type {
  GroupProtocol,
  JoinGroupOutcome,
  JoinGroupRequest,
  SyncGroupOutcome,
} from '../../broker/groups/group-service.ts';
import { silentLogger } from '../../broker/ports/logger.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { encodeSubscription } from '../../src/groups/consumer-protocol.ts';

/** A subscription of a consumer, as its assignors' metadata. */
export function subscription(...topics: string[]): Uint8Array {
  return encodeSubscription({
    topics,
    userData: undefined,
    ownedPartitions: [],
    generationId: -1,
    rackId: undefined,
  });
}

export function joinRequest(changes: Partial<JoinGroupRequest> = {}): JoinGroupRequest {
  return {
    groupId: 'group',
    memberId: '',
    groupInstanceId: undefined,
    clientId: 'client',
    clientHost: '/127.0.0.1',
    protocolType: 'consumer',
    protocols: protocols('range'),
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    requiresKnownMemberId: false,
    supportsSkippingAssignment: true,
    reason: undefined,
    ...changes,
  };
}

export function protocols(...names: string[]): GroupProtocol[] {
  return names.map((name) => ({ name, metadata: subscription('topic') }));
}

/** What came of a join or a sync: `undefined` while it waits. */
export interface Pending<T> {
  outcome: T | undefined;
}

export class GroupScript {
  readonly group: ClassicGroupState;
  readonly stores: Array<{ readonly stored: GroupToStore; readonly onStored: OnStored }> = [];
  nowMs = 1000;
  #nextId = 1;

  constructor(options: { initialRebalanceDelayMs?: number; membersMax?: number } = {}) {
    this.group = new ClassicGroupState({
      groupId: 'group',
      initialRebalanceDelayMs: 100,
      membersMax: 100,
      store: (stored, onStored) => this.stores.push({ stored, onStored }),
      logger: silentLogger,
      ...options,
    });
  }

  join(changes: Partial<JoinGroupRequest> = {}): Pending<JoinGroupOutcome> {
    const pending: Pending<JoinGroupOutcome> = { outcome: undefined };
    this.group.join(joinRequest(changes), `m${this.#nextId++}`, this.nowMs, (outcome) => {
      if (pending.outcome !== undefined) throw new Error('a join was answered twice');
      pending.outcome = outcome;
    });
    return pending;
  }

  sync(
    memberId: string,
    generationId: number,
    assignments: Readonly<Record<string, string>> = {},
    groupInstanceId?: string,
  ): Pending<SyncGroupOutcome | BurrowError> {
    const pending: Pending<SyncGroupOutcome | BurrowError> = { outcome: undefined };
    const request = {
      groupId: 'group',
      generationId,
      memberId,
      groupInstanceId,
      protocolType: 'consumer',
      protocolName: undefined,
      assignments: Object.entries(assignments).map(([id, text]) => ({ memberId: id, assignment: Buffer.from(text) })),
    };
    try {
      this.group.sync(request, this.nowMs, (outcome) => {
        if (pending.outcome !== undefined) throw new Error('a sync was answered twice');
        pending.outcome = outcome;
      });
    } catch (error) {
      pending.outcome = error as BurrowError;
    }
    return pending;
  }

  /** The code of what a call throws, or undefined. */
  heartbeat(memberId: string, generationId: number, groupInstanceId?: string): string | undefined {
    return codeOf(() =>
      this.group.heartbeat({ groupId: 'group', memberId, generationId, groupInstanceId }, this.nowMs),
    );
  }

  commit(memberId: string, generationId: number, groupInstanceId?: string): string | undefined {
    return codeOf(() =>
      this.group.checkCommit({ groupId: 'group', memberId, generationId, groupInstanceId }, this.nowMs),
    );
  }

  leave(...memberIds: string[]): Array<string | undefined> {
    const members = memberIds.map((memberId) => ({ memberId, groupInstanceId: undefined, reason: undefined }));
    return this.group.leave(members, this.nowMs).map(({ error }) => error?.code);
  }

  /** Moves time, and tells the group whenever it wants to know. */
  wait(ms: number): void {
    const untilMs = this.nowMs + ms;
    while (this.group.deadlineMs <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.group.deadlineMs);
      this.group.onTime(this.nowMs);
    }
    this.nowMs = untilMs;
  }

  /** The oldest write is done. */
  stored(error?: BurrowError): GroupToStore {
    const { stored, onStored } = this.stores.shift()!;
    onStored(error, this.nowMs);
    return stored;
  }

  /** A stable group of as many dynamic members, the first leading; each is assigned its own id as text. */
  stable(count: number, changes: Partial<JoinGroupRequest> = {}): string[] {
    const joins = Array.from({ length: count }, () => this.join(changes));
    this.wait(300);
    const memberIds = joins.map(({ outcome }) => outcome!.memberId);
    const { generationId } = joins[0]!.outcome!;
    for (const memberId of memberIds.slice(1)) this.sync(memberId, generationId);
    this.sync(memberIds[0]!, generationId, Object.fromEntries(memberIds.map((id) => [id, id])));
    this.stored();
    return memberIds;
  }
}

export function codeOf(call: () => void): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return (error as BurrowError).code;
  }
}

/** How a join or sync ended: an error's code, `assigned <text>`, `generation <n>`, or `waits`. */
export function ended(pending: Pending<JoinGroupOutcome> | Pending<SyncGroupOutcome | BurrowError>): string {
  const { outcome } = pending;
  if (outcome === undefined) return 'waits';
  if (outcome instanceof BurrowError) return outcome.code;
  if ('assignment' in outcome) return `assigned ${Buffer.from(outcome.assignment)}`;
  return outcome.error?.code ?? `generation ${outcome.generationId}`;
}

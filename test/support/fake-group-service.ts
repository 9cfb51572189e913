/** A group coordinator that does what a test tells it, and notes what it was asked. */
import type {
  CommitOffsetsRequest,
  CommittedOffset,
  GroupDescription,
  GroupListing,
  GroupService,
  JoinGroupOutcome,
  JoinGroupRequest,
  LeaveGroupRequest,
  LeftMember,
  MemberIdentity,
  PartitionResult,
  SyncGroupOutcome,
  SyncGroupRequest,
} from '../../broker/groups/group-service.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';

type Place = { readonly topic: string; readonly partition: number };

export class FakeGroupService implements GroupService {
  readonly asked: Array<readonly [name: string, request: unknown]> = [];
  /** Replaced by tests. */
  onJoin: (request: JoinGroupRequest) => Promise<JoinGroupOutcome> = notTold;
  onSync: (request: SyncGroupRequest) => Promise<SyncGroupOutcome> = notTold;
  onHeartbeat: (member: MemberIdentity) => void = () => {};
  onLeave: (request: LeaveGroupRequest) => Promise<readonly LeftMember[]> = notTold;
  onCommit: (request: CommitOffsetsRequest) => Promise<readonly PartitionResult[]> = notTold;
  onFetchOffsets: (groupId: string, partitions: readonly Place[] | undefined) => readonly CommittedOffset[] = () => [];
  onDeleteOffsets: (groupId: string, partitions: readonly Place[]) => Promise<readonly PartitionResult[]> = notTold;
  onDeleteGroup: (groupId: string) => Promise<void> = async () => {};
  onCoordinatorOf: (groupId: string) => Promise<number> = async () => 1;
  groups: readonly GroupDescription[] = [];

  coordinatorOf(groupId: string): Promise<number> {
    this.asked.push(['coordinatorOf', groupId]);
    return this.onCoordinatorOf(groupId);
  }

  join(request: JoinGroupRequest): Promise<JoinGroupOutcome> {
    this.asked.push(['join', request]);
    return this.onJoin(request);
  }

  sync(request: SyncGroupRequest): Promise<SyncGroupOutcome> {
    this.asked.push(['sync', request]);
    return this.onSync(request);
  }

  heartbeat(member: MemberIdentity): void {
    this.asked.push(['heartbeat', member]);
    this.onHeartbeat(member);
  }

  leave(request: LeaveGroupRequest): Promise<readonly LeftMember[]> {
    this.asked.push(['leave', request]);
    return this.onLeave(request);
  }

  commitOffsets(request: CommitOffsetsRequest): Promise<readonly PartitionResult[]> {
    this.asked.push(['commitOffsets', request]);
    return this.onCommit(request);
  }

  fetchOffsets(groupId: string, partitions: readonly Place[] | undefined): readonly CommittedOffset[] {
    this.asked.push(['fetchOffsets', { groupId, partitions }]);
    return this.onFetchOffsets(groupId, partitions);
  }

  deleteOffsets(groupId: string, partitions: readonly Place[]): Promise<readonly PartitionResult[]> {
    this.asked.push(['deleteOffsets', { groupId, partitions }]);
    return this.onDeleteOffsets(groupId, partitions);
  }

  listGroups(): readonly GroupListing[] {
    return this.groups;
  }

  describeGroup(groupId: string): GroupDescription {
    const found = this.groups.find((group) => group.groupId === groupId);
    return (
      found ?? {
        groupId,
        state: 'Dead',
        protocolType: '',
        protocolName: '',
        generationId: -1,
        leader: undefined,
        members: [],
      }
    );
  }

  deleteGroup(groupId: string): Promise<void> {
    this.asked.push(['deleteGroup', groupId]);
    return this.onDeleteGroup(groupId);
  }
}

async function notTold(): Promise<never> {
  throw new BurrowError('COORDINATOR_NOT_AVAILABLE', 'The test has not said what to answer.');
}

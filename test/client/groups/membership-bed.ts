/** Members of one group on one clock, in front of a coordinator of the tests' own. */
import { expect, onTestFinished } from 'vitest';
import { GroupMembership, type MembershipOptions } from '../../../client/groups/membership.ts';
import { partitionKey, type TopicPartition } from '../../../client/topic-partition.ts';
import type { BurrowError } from '../../../src/errors/burrow-error.ts';
import { FakeClientClock } from '../../support/fake-client-clock.ts';
import { FakeGroupCoordinator, FakeGroupHost } from '../../support/fake-group-coordinator.ts';

export const SESSION_MS = 10_000;
export const HEARTBEAT_MS = 1000;
export const REBALANCE_MS = 60_000;
export const REFRESH_MS = 20_000;

export interface TestMember {
  readonly membership: GroupMembership;
  readonly host: FakeGroupHost;
  /** `revoked t-0 t-1` and so on, in the order of the calls. */
  readonly events: string[];
  readonly errors: Array<{ error: BurrowError; fatal: boolean }>;
  readonly owned: () => string;
  /** Called within the callbacks. */
  during: Partial<Record<'revoked' | 'assigned' | 'lost', () => Promise<void> | void>>;
}

type Overrides = Partial<Omit<MembershipOptions, 'callbacks'>>;

export function setUp(topics: Record<string, number> = { t: 4 }) {
  const clock = new FakeClientClock();
  const coordinator = new FakeGroupCoordinator(clock);
  for (const [topic, partitions] of Object.entries(topics)) coordinator.topics.set(topic, partitions);
  const members: TestMember[] = [];
  onTestFinished(async () => {
    for (const { membership } of members) void membership.leave();
    await clock.advance(REBALANCE_MS);
  });
  const start = (overrides: Overrides = {}): TestMember => {
    const host = new FakeGroupHost(coordinator);
    const events: string[] = [];
    const errors: TestMember['errors'] = [];
    const note = (what: 'revoked' | 'assigned' | 'lost') => async (partitions: readonly TopicPartition[]) => {
      events.push([what, ...partitions.map(partitionKey)].join(' '));
      await member.during[what]?.();
    };
    const membership = new GroupMembership(host, {
      groupId: 'g',
      subscription: { topics: ['t'] },
      assignors: ['cooperative-sticky'],
      sessionTimeoutMs: SESSION_MS,
      rebalanceTimeoutMs: REBALANCE_MS,
      heartbeatIntervalMs: HEARTBEAT_MS,
      topicRefreshMs: REFRESH_MS,
      ...overrides,
      callbacks: {
        onRevoked: note('revoked'),
        onAssigned: note('assigned'),
        onLost: note('lost'),
        onError: (error, fatal) => errors.push({ error, fatal }),
      },
    });
    const owned = () => membership.assignment.map(partitionKey).join(' ');
    const member: TestMember = { membership, host, events, errors, owned, during: {} };
    members.push(member);
    membership.start();
    return member;
  };
  /** Long enough for everybody to hear of a rebalance by heartbeat, and of the one that follows it. */
  const rest = () => clock.advance(4 * HEARTBEAT_MS);
  return { clock, coordinator, start, rest };
}

/** All partitions that are there, each once. */
export function expectShared(members: readonly TestMember[], all: string): void {
  expect(
    members
      .flatMap(({ membership }) => membership.assignment.map(partitionKey))
      .sort()
      .join(' '),
  ).toBe(all);
}

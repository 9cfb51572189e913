import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Assignor, AssignorMember, GroupAssignment } from '../../../client/groups/assignors/assignor.ts';
import { ASSIGNOR_NAMES, assignorByName } from '../../../client/groups/assignors/assignors.ts';
import { partitionKey, type TopicPartition } from '../../../client/topic-partition.ts';
import { ByteWriter } from '../../../src/bytes/writer.ts';

function assignor(name: string): Assignor {
  return assignorByName(name)!;
}

function member(memberId: string, topics: readonly string[], more: Partial<AssignorMember> = {}): AssignorMember {
  return {
    memberId,
    topics,
    groupInstanceId: undefined,
    ownedPartitions: [],
    generationId: -1,
    userData: undefined,
    ...more,
  };
}

/** `a: t-0 t-1, b: …` */
function shown(assignment: GroupAssignment): Record<string, string> {
  return Object.fromEntries([...assignment].map(([id, partitions]) => [id, partitions.map(partitionKey).join(' ')]));
}

const counts = (record: Record<string, number>) => new Map(Object.entries(record));

// The examples are those of Kafka's RangeAssignor, RoundRobinAssignor and AbstractStickyAssignor documentation.
describe('range', () => {
  test('cuts each topic into ranges, the first members get the rest', () => {
    const members = [member('c1', ['t0', 't1']), member('c0', ['t0', 't1'])];
    expect(shown(assignor('range').assign(counts({ t0: 3, t1: 3 }), members))).toEqual({
      c0: 't0-0 t0-1 t1-0 t1-1',
      c1: 't0-2 t1-2',
    });
  });

  test('static members come first and by their instance id, so that they keep their ranges', () => {
    const members = [
      member('c0', ['t']),
      member('c9', ['t'], { groupInstanceId: 'a' }),
      member('c1', ['t'], { groupInstanceId: 'b' }),
    ];
    expect(shown(assignor('range').assign(counts({ t: 3 }), members))).toEqual({ c9: 't-0', c1: 't-1', c0: 't-2' });
  });

  test('only members that subscribe to a topic get some of it', () => {
    const members = [member('c0', ['a']), member('c1', ['a', 'b']), member('c2', ['b', 'none'])];
    expect(shown(assignor('range').assign(counts({ a: 2, b: 3 }), members))).toEqual({
      c0: 'a-0',
      c1: 'a-1 b-0 b-1',
      c2: 'b-2',
    });
  });
});

describe('roundrobin', () => {
  test('deals all partitions out in turn', () => {
    const members = [member('c0', ['t0', 't1']), member('c1', ['t0', 't1'])];
    expect(shown(assignor('roundrobin').assign(counts({ t0: 3, t1: 3 }), members))).toEqual({
      c0: 't0-0 t0-2 t1-1',
      c1: 't0-1 t1-0 t1-2',
    });
  });

  test('passes over members that do not subscribe', () => {
    const members = [member('c0', ['t0']), member('c1', ['t0', 't1']), member('c2', ['t0', 't1', 't2'])];
    expect(shown(assignor('roundrobin').assign(counts({ t0: 1, t1: 2, t2: 3 }), members))).toEqual({
      c0: 't0-0',
      c1: 't1-0',
      c2: 't1-1 t2-0 t2-1 t2-2',
    });
  });
});

describe('sticky', () => {
  test('what a member leaves behind is shared, and nothing else moves', () => {
    const topics = ['t0', 't1', 't2', 't3'];
    const before = new Map([
      ['c0', 't0-0 t1-1 t3-0'],
      ['c2', 't1-0 t2-1 t3-1'],
    ]);
    const members = [...before].map(([id, owned]) => member(id, topics, { userData: stickyUserData(owned, 3) }));
    const after = assignor('sticky').assign(counts({ t0: 2, t1: 2, t2: 2, t3: 2 }), members);
    for (const [id, owned] of before) {
      expect(after.get(id)!.map(partitionKey)).toEqual(expect.arrayContaining(owned.split(' ')));
      expect(after.get(id)).toHaveLength(4);
    }
  });

  test('its user data is that of Kafka, and the older form without a generation is read as well', () => {
    const owned = [
      { topic: 'a', partition: 1 },
      { topic: 'a', partition: 4 },
      { topic: 'b', partition: 0 },
    ];
    const bytes = assignor('sticky').userData(owned, 7)!;
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '00000002' + '000161' + '00000002' + '00000001' + '00000004' + '000162' + '00000001' + '00000000' + '00000007',
    );
    const members = [
      member('x', ['a', 'b']),
      member('y', ['a', 'b'], { userData: bytes.subarray(0, bytes.length - 4) }),
    ];
    const after = assignor('sticky').assign(counts({ a: 5, b: 1 }), members);
    expect(after.get('y')!.map(partitionKey)).toEqual(['a-1', 'a-4', 'b-0']);
  });

  test('whoever claims a partition as of a newer generation keeps it', () => {
    const members = [
      member('old', ['t'], { userData: stickyUserData('t-0 t-1', 3) }),
      member('new', ['t'], { userData: stickyUserData('t-1', 4) }),
    ];
    expect(shown(assignor('sticky').assign(counts({ t: 2 }), members))).toEqual({ old: 't-0', new: 't-1' });
  });

  test('user data of any kind does no harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (userData) => {
        for (const name of ASSIGNOR_NAMES) {
          const members = [member('a', ['t'], { userData }), member('b', ['t'])];
          checkComplete(counts({ t: 4 }), members, assignor(name).assign(counts({ t: 4 }), members));
        }
      }),
    );
  });
});

function stickyUserData(owned: string, generationId: number): Uint8Array {
  return assignor('sticky').userData(owned.split(' ').map(parsePartition), generationId)!;
}

function parsePartition(text: string): TopicPartition {
  const at = text.lastIndexOf('-');
  return { topic: text.slice(0, at), partition: Number(text.slice(at + 1)) };
}

describe('cooperative-sticky', () => {
  const cooperative = assignor('cooperative-sticky');

  test('a new member gets nothing that others hold until they have given it up', () => {
    const owned = [0, 1, 2, 3].map((partition) => ({ topic: 't', partition }));
    const first = cooperative.assign(counts({ t: 4 }), [
      member('a', ['t'], { ownedPartitions: owned, generationId: 1 }),
      member('b', ['t']),
    ]);
    expect(shown(first)).toEqual({ a: 't-0 t-1', b: '' });
    const second = cooperative.assign(counts({ t: 4 }), [
      member('a', ['t'], { ownedPartitions: first.get('a')!, generationId: 2 }),
      member('b', ['t'], { generationId: 2 }),
    ]);
    expect(shown(second)).toEqual({ a: 't-0 t-1', b: 't-2 t-3' });
  });

  test('the generation may stand in the user data, where older clients have it', () => {
    const userData = new ByteWriter().int32(9).finish();
    expect(cooperative.userData([], 9)).toEqual(userData);
    const members = [
      member('a', ['t'], { ownedPartitions: [{ topic: 't', partition: 0 }], userData }),
      member('b', ['t'], { ownedPartitions: [{ topic: 't', partition: 0 }], generationId: 8 }),
    ];
    expect(shown(cooperative.assign(counts({ t: 1 }), members))).toEqual({ a: 't-0', b: '' });
  });
});

/** Each partition of a topic that somebody subscribes to has one owner, which subscribes to it. */
function checkComplete(
  partitionCounts: ReadonlyMap<string, number>,
  members: readonly AssignorMember[],
  assignment: GroupAssignment,
): void {
  const given = [...assignment].flatMap(([id, partitions]) => partitions.map((partition) => ({ id, ...partition })));
  const wanted = new Set(members.flatMap(({ topics }) => topics));
  const all = [...partitionCounts]
    .filter(([topic]) => wanted.has(topic))
    .flatMap(([topic, count]) => Array.from({ length: count }, (_, partition) => partitionKey({ topic, partition })));
  expect(given.map(partitionKey).sort()).toEqual(all.sort());
  for (const { id, topic } of given) expect(members.find(({ memberId }) => memberId === id)!.topics).toContain(topic);
  expect([...assignment.keys()].sort()).toEqual(members.map(({ memberId }) => memberId).sort());
}

const TOPICS = ['a', 'b', 'c'] as const;

interface Group {
  readonly partitionCounts: ReadonlyMap<string, number>;
  readonly subscriptions: ReadonlyArray<readonly string[]>;
}

function groups(options: { partitionsMax: number; membersMax: number; equal?: boolean }): fc.Arbitrary<Group> {
  const partitionCounts = fc
    .tuple(...TOPICS.map(() => fc.nat({ max: options.partitionsMax })))
    .map((all) => new Map(all.map((count, index) => [TOPICS[index]!, count])));
  const subscription = fc.subarray([...TOPICS]);
  const subscriptions =
    options.equal === true
      ? fc.nat({ max: options.membersMax - 1 }).map((more) => Array.from({ length: more + 1 }, () => [...TOPICS]))
      : fc.array(subscription, { minLength: 1, maxLength: options.membersMax });
  return fc.record({ partitionCounts, subscriptions });
}

function membersOf(
  { subscriptions }: Group,
  held: (id: string) => readonly TopicPartition[],
  name: string,
): AssignorMember[] {
  return subscriptions.map((topics, index) => {
    const memberId = `m${index}`;
    const owned = held(memberId);
    const userData = assignor(name).userData(owned, 5);
    return member(memberId, topics, {
      userData,
      ...(name === 'cooperative-sticky' && { ownedPartitions: owned, generationId: 5 }),
    });
  });
}

test.each(ASSIGNOR_NAMES)('%s gives every partition to one member that subscribes to it', (name) => {
  fc.assert(
    fc.property(groups({ partitionsMax: 12, membersMax: 7 }), (group) => {
      const members = membersOf(group, () => [], name);
      checkComplete(group.partitionCounts, members, assignor(name).assign(group.partitionCounts, members));
    }),
  );
});

test.each(['roundrobin', 'sticky', 'cooperative-sticky'])('%s is even within one for equal subscriptions', (name) => {
  fc.assert(
    fc.property(groups({ partitionsMax: 30, membersMax: 9, equal: true }), (group) => {
      const members = membersOf(group, () => [], name);
      const loads = [...assignor(name).assign(group.partitionCounts, members).values()].map(({ length }) => length);
      expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
    }),
  );
});

/** Holdings of before: some partitions are with some member, some with nobody. */
function holdersOf({ partitionCounts, subscriptions }: Group, seed: readonly number[]): Map<string, TopicPartition[]> {
  const held = new Map<string, TopicPartition[]>();
  let at = 0;
  for (const [topic, count] of partitionCounts) {
    for (let partition = 0; partition < count; partition += 1) {
      const holder = `m${seed[at++ % seed.length]! % (subscriptions.length + 1)}`;
      held.set(holder, [...(held.get(holder) ?? []), { topic, partition }]);
    }
  }
  return held;
}

function cost(
  assignment: ReadonlyMap<string, readonly TopicPartition[]>,
  held: ReadonlyMap<string, readonly TopicPartition[]>,
): { balance: number; kept: number } {
  let balance = 0;
  let kept = 0;
  for (const [id, partitions] of assignment) {
    balance += partitions.length ** 2;
    const before = new Set((held.get(id) ?? []).map(partitionKey));
    kept += partitions.filter((partition) => before.has(partitionKey(partition))).length;
  }
  return { balance, kept };
}

/** The best there is, by trying all. */
function bestCost(group: Group, held: ReadonlyMap<string, readonly TopicPartition[]>) {
  const { partitionCounts, subscriptions } = group;
  const all = [...partitionCounts].flatMap(([topic, count]) =>
    Array.from({ length: count }, (_, partition) => ({ topic, partition })),
  );
  const holderOf = new Map([...held].flatMap(([id, list]) => list.map((each) => [partitionKey(each), id] as const)));
  const loads = subscriptions.map(() => 0);
  let best = { balance: Number.POSITIVE_INFINITY, kept: 0 };
  const visit = (index: number, kept: number): void => {
    if (index === all.length) {
      const balance = loads.reduce((sum, load) => sum + load ** 2, 0);
      if (balance < best.balance || (balance === best.balance && kept > best.kept)) best = { balance, kept };
      return;
    }
    const partition = all[index]!;
    const takers = subscriptions.flatMap((topics, place) => (topics.includes(partition.topic) ? [place] : []));
    if (takers.length === 0) visit(index + 1, kept);
    for (const place of takers) {
      loads[place]! += 1;
      visit(index + 1, kept + (holderOf.get(partitionKey(partition)) === `m${place}` ? 1 : 0));
      loads[place]! -= 1;
    }
  };
  visit(0, 0);
  return best;
}

test('sticky is as even as subscriptions allow, and moves as little as that allows: nothing better exists', () => {
  const seeds = fc.array(fc.nat({ max: 7 }), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(groups({ partitionsMax: 3, membersMax: 4 }), seeds, (group, seed) => {
      const held = holdersOf(group, seed);
      const members = membersOf(group, (id) => held.get(id) ?? [], 'sticky');
      const assignment = assignor('sticky').assign(group.partitionCounts, members);
      checkComplete(group.partitionCounts, members, assignment);
      expect(cost(assignment, held)).toEqual(bestCost(group, held));
    }),
    { numRuns: 300 },
  );
});

test('sticky and equal subscriptions: a member loses only what is beyond its share, over joins and failures', () => {
  const changes = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(groups({ partitionsMax: 40, membersMax: 1, equal: true }), changes, ({ partitionCounts }, sizes) => {
      const total = [...partitionCounts.values()].reduce((sum, count) => sum + count, 0);
      let held = new Map<string, TopicPartition[]>();
      for (const size of sizes) {
        const group = { partitionCounts, subscriptions: Array.from({ length: size }, () => [...TOPICS]) };
        const members = membersOf(group, (id) => held.get(id) ?? [], 'sticky');
        const after = assignor('sticky').assign(partitionCounts, members);
        const least = Math.floor(total / size);
        const most = Math.ceil(total / size);
        const counted = members.map(({ memberId }) => held.get(memberId)?.length ?? 0);
        // As many members keep one more than the least as there are such shares.
        const mayKeepMost = counted.filter((count) => count > least).length;
        const keptAtBest =
          counted.reduce((sum, count) => sum + Math.min(count, least), 0) + Math.min(mayKeepMost, total % size);
        expect(cost(after, held).kept).toBe(keptAtBest);
        for (const partitions of after.values()) expect([least, most]).toContain(partitions.length);
        held = after;
      }
    }),
  );
});

test('cooperative-sticky: nobody ever gets what another holds, and it comes to rest in two rounds', () => {
  const seeds = fc.array(fc.nat({ max: 7 }), { minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(groups({ partitionsMax: 8, membersMax: 6 }), seeds, (group, seed) => {
      const cooperative = assignor('cooperative-sticky');
      let held: Map<string, TopicPartition[]> = holdersOf(group, seed);
      for (let round = 1; round <= 3; round += 1) {
        const members = membersOf(group, (id) => held.get(id) ?? [], 'cooperative-sticky');
        const before = held;
        const after = cooperative.assign(group.partitionCounts, members);
        for (const [id, partitions] of after) {
          const mine = new Set((before.get(id) ?? []).map(partitionKey));
          const ofOthers = new Set(
            members.flatMap(({ memberId }) => (memberId === id ? [] : (before.get(memberId) ?? []).map(partitionKey))),
          );
          for (const partition of partitions.map(partitionKey)) {
            expect(mine.has(partition) || !ofOthers.has(partition)).toBe(true);
          }
        }
        if (round >= 2) checkComplete(group.partitionCounts, members, after);
        if (round === 3) expect(after).toEqual(before);
        held = after;
      }
    }),
  );
});

test('ten thousand partitions and two hundred members with different subscriptions are assigned within seconds', () => {
  const partitionCounts = new Map(Array.from({ length: 100 }, (_, index) => [`t${index}`, 100]));
  const topics = [...partitionCounts.keys()];
  const all = topics.flatMap((topic) => Array.from({ length: 100 }, (_, partition) => ({ topic, partition })));
  // One member holds everything; all others are new.
  const members = Array.from({ length: 200 }, (_, index) =>
    member(
      `m${String(index).padStart(3, '0')}`,
      topics.filter((_topic, at) => index === 0 || (at + index) % 3 !== 0),
      index === 0 ? { userData: assignor('sticky').userData(all, 1) } : {},
    ),
  );
  const startMs = performance.now();
  const assignment = assignor('sticky').assign(partitionCounts, members);
  expect(performance.now() - startMs).toBeLessThan(5000);
  checkComplete(partitionCounts, members, assignment);
  const loads = [...assignment.values()].map(({ length }) => length);
  expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1);
});

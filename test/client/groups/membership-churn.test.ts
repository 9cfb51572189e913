/** Members that come, go and lose their connections at random, against what must be true of every group. */
import { expect, test } from 'vitest';
import type { AssignorName } from '../../../client/groups/assignors/assignor.ts';
import { partitionKey } from '../../../client/topic-partition.ts';
import { decodeSubscription } from '../../../src/groups/consumer-protocol.ts';
import type { FakeGroupHost } from '../../support/fake-group-coordinator.ts';
import { REBALANCE_MS, REFRESH_MS, SESSION_MS, setUp, type TestMember } from './membership-bed.ts';

/** A small generator, so that a failing seed replays. */
function random(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d) + 0x9e37_79b9) >>> 0;
    return (state >>> 8) % below;
  };
}

test.each(Array.from({ length: 25 }, (_, seed) => seed))(
  'no partition has two owners, and all end with one (seed %i)',
  async (seed) => {
    const draw = random(seed);
    const { clock, coordinator, start } = setUp({ t: 13, u: 5 });
    const assignors: AssignorName[] = [(['cooperative-sticky', 'sticky', 'range'] as const)[seed % 3]!];
    const alive: TestMember[] = [];
    const begin = () => {
      const member = start({
        assignors,
        subscription: draw(3) === 0 ? { pattern: /^[tu]$/ } : { topics: draw(2) === 0 ? ['t', 'u'] : ['t'] },
        ...(draw(4) === 0 && { groupInstanceId: `static-${seed}-${alive.length}-${clock.now()}` }),
      });
      for (const what of ['revoked', 'assigned'] as const) {
        member.during[what] = () => new Promise((resolve) => clock.schedule(draw(1500), resolve));
      }
      alive.push(member);
    };
    begin();
    const holders = () => {
      const owners = new Map<string, number>();
      for (const { membership, host } of alive) {
        // Whoever is cut off cannot know yet; its commits are refused.
        if (cutOff.has(host) || membership.generationId !== coordinator.generationId) continue;
        for (const partition of membership.assignment) {
          owners.set(partitionKey(partition), (owners.get(partitionKey(partition)) ?? 0) + 1);
        }
      }
      return owners;
    };
    const cutOff = new Set<FakeGroupHost>();
    const leave = (member: TestMember) =>
      void member.membership.leave().then(() => {
        const place = alive.indexOf(member);
        if (place >= 0) alive.splice(place, 1);
      });
    for (let step = 0; step < 60; step += 1) {
      const member = alive[draw(alive.length)];
      const dice = draw(8);
      if (member === undefined || (dice <= 1 && alive.length < 8)) begin();
      else if (dice === 2) leave(member);
      else if (dice === 3) {
        member.host.cutOff = !cutOff.has(member.host);
        if (!cutOff.delete(member.host)) cutOff.add(member.host);
      } else if (dice === 4) member.host.failNext('heartbeat', 'REBALANCE_IN_PROGRESS');
      else if (dice === 5) member.host.failNext('sync', 'NOT_COORDINATOR');
      else if (dice === 6) coordinator.topics.set('u', 5 + draw(3));
      for (let tick = 0; tick < 5; tick += 1) {
        await clock.advance(draw(1200));
        for (const [partition, count] of holders()) expect(count, partition).toBe(1);
      }
    }
    for (const host of cutOff) host.cutOff = false;
    cutOff.clear();
    if (alive.length === 0) begin();
    begin();
    await clock.advance(REBALANCE_MS + SESSION_MS + 2 * REFRESH_MS);
    expect(coordinator.state).toBe('Stable');
    const wanted = new Set(
      alive.flatMap(({ host }) => decodeSubscription(host.joins.at(-1)!.protocols[0]!.metadata).topics),
    );
    const all = [...coordinator.topics]
      .filter(([topic]) => wanted.has(topic))
      .flatMap(([topic, count]) => Array.from({ length: count }, (_, partition) => partitionKey({ topic, partition })));
    expect([...holders().keys()].sort()).toEqual(all.sort());
    for (const { errors } of alive) expect(errors).toEqual([]);
    for (const { owners } of coordinator.history) {
      const given = [...owners.values()].flat().map(partitionKey);
      expect(new Set(given).size).toBe(given.length);
    }
  },
);

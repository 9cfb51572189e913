/** How far a group has come, seen through the admin. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, isBurrowError } from '../../client/index.ts';

/** Looking costs the broker something too. */
const LOOK_MS = 10;
const GIVE_UP_MS = 120_000;

/** Resolves when the group is stable with so many members, each of which has partitions, and nothing is unassigned. */
export async function settled(client: Client, group: string, members: number, partitions: number): Promise<void> {
  for (const giveUpAtMs = performance.now() + GIVE_UP_MS; performance.now() < giveUpAtMs; await sleep(LOOK_MS)) {
    const seen = await client
      .admin()
      .describeGroup(group)
      .catch((error: unknown) => {
        if (isBurrowError(error, 'GROUP_ID_NOT_FOUND')) return undefined;
        throw error;
      });
    if (seen?.state !== 'Stable' || seen.members.length !== members) continue;
    const shares = seen.members.map(({ assignment }) => assignment.length);
    if (shares.every((share) => share > 0) && shares.reduce((sum, share) => sum + share, 0) === partitions) return;
  }
  throw new Error(`group ${group} did not settle on ${members} members within ${GIVE_UP_MS} ms`);
}

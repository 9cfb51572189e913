/**
 * Members of the native SDK and of another client in one group: each leads once, with every assignor that both have; then the
 * foreign member is killed, and then the broker.
 */
import { describe, expect, test } from 'vitest';
import { FOREIGN_MEMBERS } from '../../support/foreign-members.ts';
import { startBedToKill, startGroupBed } from '../../support/group-bed.ts';

const RECORDS = 600;

const pairs = FOREIGN_MEMBERS.flatMap((kind) =>
  kind.assignors.map((assignor) => ({ kind, assignor, title: `${kind.name}, ${assignor}` })),
);

describe.each(pairs)('in one group with $title', { timeout: 60_000 }, ({ kind, assignor }) => {
  test.skipIf('missing' in kind.client)('native members lead', async () => {
    const bed = await startGroupBed();
    bed.startNative(assignor);
    await bed.shares({ burrowmq: [6] });
    const foreign = bed.startForeign(kind, assignor);
    await bed.shares({ burrowmq: [3], [kind.clientId]: [3] });
    await bed.produce(RECORDS);
    await bed.allSeen();
    foreign.kill('SIGTERM');
    await bed.shares({ burrowmq: [6] });
    await bed.produce(RECORDS);
    await bed.allSeen();
  });

  test.skipIf('missing' in kind.client)('the other leads', async () => {
    const bed = await startGroupBed();
    bed.startForeign(kind, assignor);
    await bed.shares({ [kind.clientId]: [6] });
    const native = bed.startNative(assignor);
    await bed.shares({ burrowmq: [3], [kind.clientId]: [3] });
    await bed.produce(RECORDS);
    await bed.allSeen();
    await native.close();
    await bed.shares({ [kind.clientId]: [6] });
    await bed.produce(RECORDS);
    await bed.allSeen();
  });
});

describe.each(FOREIGN_MEMBERS)('in one group with $name', { timeout: 60_000 }, (kind) => {
  const assignor = kind.assignors.at(-1)!;

  test.skipIf('missing' in kind.client)('native members take over from a killed one at its last commit', async () => {
    const bed = await startGroupBed();
    bed.startNative(assignor);
    const foreign = bed.startForeign(kind, assignor);
    await bed.shares({ burrowmq: [3], [kind.clientId]: [3] });
    await bed.produce(RECORDS);
    await bed.allSeen();
    await bed.allCommitted();
    foreign.kill('SIGKILL');
    await bed.produce(RECORDS);
    await bed.allSeen();
    await bed.shares({ burrowmq: [6] });
    expect(new Set(bed.seen.values())).toEqual(new Set([1]));
  });

  test.skipIf('missing' in kind.client)('all go on where they were when the broker was killed', async () => {
    const { bed, kill, startAgain } = await startBedToKill();
    bed.startNative(assignor);
    const foreign = bed.startForeign(kind, assignor);
    await bed.shares({ burrowmq: [3], [kind.clientId]: [3] });
    await bed.produce(RECORDS);
    await bed.allSeen();
    await bed.allCommitted();
    const before = [...bed.seen.keys()];
    await kill();
    if (!kind.outlivesBroker) await new Promise((resolve) => foreign.once('exit', resolve));
    await startAgain();
    if (!kind.outlivesBroker) bed.startForeign(kind, assignor);
    await bed.produce(RECORDS);
    await bed.allSeen();
    await bed.shares({ burrowmq: [3], [kind.clientId]: [3] });
    await bed.allCommitted();
    expect(before.filter((place) => bed.seen.get(place) !== 1)).toEqual([]);
  });
});

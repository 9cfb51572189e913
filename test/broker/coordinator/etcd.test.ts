/** What only the coordinator in etcd has: members that go and come back, logins, compaction by others. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Coordinator, CoordinatorEntry, CoordinatorEvent } from '../../../broker/coordinator/coordinator.ts';
import { openCoordinatorAt } from '../../../broker/coordinator/coordinator-address.ts';
import { EtcdCoordinator } from '../../../broker/coordinator/etcd.ts';
import { silentLogger } from '../../../broker/ports/logger.ts';
import { NodeDisk } from '../../../broker/ports/node-disk.ts';
import { SeededRandom } from '../../../broker/ports/seeded-random.ts';
import { systemClock } from '../../../broker/ports/system-clock.ts';
import { systemRandom } from '../../../broker/ports/system-random.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';
import {
  checkLinearizable,
  type HistoryItem,
  mergeHistory,
  runRandomClient,
} from '../../support/coordinator-history.ts';
import { EtcdServer, type EtcdServerOptions, etcdIsThere } from '../../support/etcd-server.ts';

const WAIT = { timeout: 20_000, interval: 20 };

async function servers(count: number, options: EtcdServerOptions = {}): Promise<EtcdServer[]> {
  const members = await EtcdServer.startCluster(count, options);
  for (const member of members) onTestFinished(() => member.remove());
  return members;
}

async function connect(members: readonly EtcdServer[], timeoutMs = 2_000): Promise<EtcdCoordinator> {
  const coordinator = await EtcdCoordinator.open({
    members: members.map(({ address }) => address),
    prefix: 'cluster',
    credentials: { tls: false },
    clock: systemClock,
    timeoutMs,
  });
  onTestFinished(() => coordinator.close());
  return coordinator;
}

function at(address: string): Promise<Coordinator> {
  const options = { disk: new NodeDisk(), clock: systemClock, random: systemRandom, logger: silentLogger };
  return openCoordinatorAt(address, options);
}

async function set(store: Coordinator, key: string, value: string): Promise<number> {
  return (await store.transaction({ set: [{ key, value }] })).revision;
}

async function code(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no error',
    (error: unknown) => (isBurrowError(error) ? error.code : String(error)),
  );
}

/** Values of one watch, in order; `?` for anything that is no change. */
function valuesOf(store: Coordinator, prefix: string, from: number): string[] {
  const seen: string[] = [];
  store.watch(prefix, from, (event) => seen.push(event.kind === 'changed' ? (event.set[0]?.value ?? '-') : '?'));
  return seen;
}

// Where there is no etcd; etcdIsThere says so.
describe.skipIf(!etcdIsThere())('the coordinator in etcd', { timeout: 90_000 }, () => {
  test('sees its own prefix only, and revisions that others use up do no harm', async () => {
    const [etcd] = (await servers(1)) as [EtcdServer];
    const store = await connect([etcd]);
    const seen = valuesOf(store, '', 1);
    await set(store, 'a', '1');
    etcd.control(['put', 'clusters/a', 'not ours']);
    etcd.control(['put', 'cluster', 'not ours']);
    etcd.control(['put', 'cluste', 'not ours']);
    await set(store, 'a', '2');
    expect((await store.list('')).entries.map(({ key }) => key)).toEqual(['a']);
    await vi.waitFor(() => expect(seen).toEqual(['1', '2']), WAIT);
  });

  test('a list of many pages is as of one revision', async () => {
    const store = await connect(await servers(1));
    for (let i = 0; i < 3_000; i += 100) {
      const keys = Array.from({ length: 100 }, (_, j) => ({ key: `k${i + j}`, value: 'v'.repeat(50) }));
      await store.transaction({ set: keys });
    }
    let listing: boolean = true;
    const changes = (async () => {
      for (let i = 0; listing; i++) {
        await store.transaction({
          set: [
            { key: 'k0', value: String(i) },
            { key: 'k999', value: String(i) },
          ],
        });
      }
    })();
    for (let round = 0; round < 10; round++) {
      const { entries } = await store.list('k');
      expect(entries).toHaveLength(3_000);
      const value = (key: string) => entries.find((entry) => entry.key === key)?.value;
      if (round > 0) expect(value('k0')).toBe(value('k999'));
    }
    listing = false;
    await changes;
  });

  test('goes on after etcd was killed and started again: watches miss nothing, leases live', async () => {
    const [etcd] = (await servers(1)) as [EtcdServer];
    const store = await connect([etcd]);
    const seen = valuesOf(store, 'k', 1);
    const lease = await store.grantLease(20_000);
    await store.transaction({ set: [{ key: 'member', value: '', leaseId: lease.id }] });
    const expected: string[] = [];
    for (let round = 0; round < 3; round++) {
      await set(store, 'k', `before ${round}`);
      await etcd.kill();
      const startedMs = systemClock.monotonic();
      expect(await code(store.get('k'))).toBe('COORDINATION_UNAVAILABLE');
      expect(await code(set(store, 'k', 'lost'))).toBe('COORDINATION_UNAVAILABLE');
      expect(await code(lease.keepAlive())).toBe('COORDINATION_UNAVAILABLE');
      expect(await code(store.grantLease(5_000))).toBe('COORDINATION_UNAVAILABLE');
      expect(systemClock.monotonic() - startedMs).toBeLessThan(4 * 2_000 + 2_000);
      await etcd.start();
      await vi.waitFor(() => store.get('k'), WAIT);
      await set(store, 'k', `after ${round}`);
      await lease.keepAlive();
      expected.push(`before ${round}`, `after ${round}`);
      await vi.waitFor(() => expect(seen).toEqual(expected), WAIT);
    }
    expect((await store.get('member')).entry?.leaseId).toBe(lease.id);
  });

  test('a watch that was away while etcd compacted its revisions says so, and listing again finds everything', async () => {
    const [etcd] = (await servers(1)) as [EtcdServer];
    const store = await connect([etcd]);
    const first = await set(store, 'k', '0');
    let last = first;
    for (let i = 1; i <= 5; i++) last = await set(store, 'k', String(i));
    etcd.control(['compact', String(last)]);
    const old: CoordinatorEvent[] = [];
    store.watch('', first, (event) => old.push(event));
    await vi.waitFor(() => expect(old).toEqual([{ kind: 'compacted' }]), WAIT);
    const { entries, revision } = await store.list('');
    expect(entries[0]).toMatchObject({ key: 'k', value: '5', modRevision: last });
    const seen = valuesOf(store, '', revision + 1);
    await set(store, 'k', '6');
    await vi.waitFor(() => expect(seen).toEqual(['6']), WAIT);
    expect(old).toHaveLength(1);
  });

  test('a live watch is not disturbed by a compaction of what it knows', async () => {
    const [etcd] = (await servers(1)) as [EtcdServer];
    const store = await connect([etcd]);
    const seen = valuesOf(store, '', 1);
    const expected: string[] = [];
    for (let i = 0; i < 10; i++) {
      const revision = await set(store, 'k', String(i));
      expected.push(String(i));
      await vi.waitFor(() => expect(seen).toEqual(expected), WAIT);
      etcd.control(['compact', String(revision)]);
    }
  });

  test('with one of three members gone, or standing still, it goes on with the others', async () => {
    const members = await servers(3);
    const store = await connect(members);
    const lease = await store.grantLease(60_000);
    const seen = valuesOf(store, 'k', 1);
    const acknowledged: string[] = [];
    const change = async (value: string): Promise<void> => {
      await vi.waitFor(async () => {
        // An outcome that is unknown is looked up, as a user of the contract does.
        const { entry } = await store.get('k');
        if (entry?.value !== value) await set(store, 'k', value);
      }, WAIT);
      acknowledged.push(value);
    };
    for (const [i, member] of members.entries()) {
      await change(`${i} all`);
      await member.kill();
      await change(`${i} without`);
      await lease.keepAlive();
      await member.start();
      await change(`${i} again`);
      member.signal('SIGSTOP');
      await change(`${i} stopped`);
      await vi.waitFor(() => lease.keepAlive(), WAIT);
      member.signal('SIGCONT');
      await change(`${i} resumed`);
    }
    await vi.waitFor(() => expect(seen.at(-1)).toBe(acknowledged.at(-1)), WAIT);
    // A change whose answer was lost may have been made a second time.
    expect(seen.filter((value, i) => value !== seen[i - 1])).toEqual(acknowledged);
  });

  test('what clients are told while members are killed and stopped is linearizable', async () => {
    const members = await servers(3);
    const random = new SeededRandom('etcd');
    const records: HistoryItem[] = [];
    const told = new Map<number, { set: readonly CoordinatorEntry[]; removed: readonly string[] }>();
    const observer = await connect(members, 1_000);
    let missed = 0;
    observer.watch('', 1, (event) => {
      if (event.kind === 'changed') told.set(event.revision, event);
      else missed++;
    });
    let goesOn: boolean = true;
    const clients = [0, 1, 2, 3].map(async (i) =>
      runRandomClient({
        coordinator: await connect(members, 1_000),
        random: random.fork(String(i)),
        name: `c${i}`,
        keys: 4,
        now: () => systemClock.monotonic(),
        record: (item) => records.push(item),
        goesOn: () => goesOn,
      }),
    );
    for (let round = 0; round < 8; round++) {
      const member = random.pick(members);
      await delay(random.between(100, 700));
      if (random.chance(0.5)) {
        await member.kill();
        await delay(random.between(100, 900));
        await member.start();
      } else {
        member.signal('SIGSTOP');
        await delay(random.between(100, 1_500));
        member.signal('SIGCONT');
      }
    }
    goesOn = false;
    await Promise.all(clients);
    await vi.waitFor(() => observer.get('k0'), WAIT);
    const { revision } = await observer.list('');
    const last = Math.max(0, ...(await observer.list('')).entries.map(({ modRevision }) => modRevision));
    await vi.waitFor(() => expect([...told.keys()].at(-1)).toBeGreaterThanOrEqual(last), WAIT);
    // A removal may be the last change, of which no entry tells.
    await delay(200);
    expect(revision).toBeGreaterThanOrEqual(last);
    expect(missed).toBe(0);
    const history = mergeHistory(records);
    expect(checkLinearizable(history, told)).toBeUndefined();
    expect(history.length).toBeGreaterThan(200);
  });

  test('without a majority nothing is answered, within the time allowed, and afterwards it goes on', async () => {
    const members = await servers(3);
    const store = await connect(members, 1_500);
    await set(store, 'k', '1');
    await members[0]!.kill();
    await members[1]!.kill();
    const startedMs = systemClock.monotonic();
    expect(await code(store.get('k'))).toBe('COORDINATION_UNAVAILABLE');
    expect(await code(set(store, 'x', '2'))).toBe('COORDINATION_UNAVAILABLE');
    expect(systemClock.monotonic() - startedMs).toBeLessThan(1_500 + 3_000 + 1_500);
    await Promise.all([members[0]!.start(), members[1]!.start()]);
    await vi.waitFor(async () => expect((await store.get('k')).entry?.value).toBe('1'), WAIT);
  });

  test('keeps no more requests than it may while etcd stands still', async () => {
    const [etcd] = (await servers(1)) as [EtcdServer];
    const store = await EtcdCoordinator.open({
      members: [etcd.address],
      prefix: 'cluster',
      credentials: { tls: false },
      clock: systemClock,
      timeoutMs: 1_000,
      requestsMax: 20,
    });
    onTestFinished(() => store.close());
    etcd.signal('SIGSTOP');
    const startedMs = systemClock.monotonic();
    const calls = Array.from({ length: 50 }, () => {
      const calledMs = systemClock.monotonic();
      return code(store.get('k')).then((result) => ({ result, tookMs: systemClock.monotonic() - calledMs }));
    });
    const results = await Promise.all(calls);
    expect(results.every(({ result }) => result === 'COORDINATION_UNAVAILABLE')).toBe(true);
    expect(results.filter(({ tookMs }) => tookMs >= 900)).toHaveLength(20);
    expect(systemClock.monotonic() - startedMs).toBeLessThan(5_000);
    etcd.signal('SIGCONT');
    await vi.waitFor(() => store.get('k'), WAIT);
  });

  test('an etcd that is not there is told soon when it is opened', async () => {
    expect(await code(at('etcd://127.0.0.1:1/p?timeout-ms=500'))).toBe('COORDINATION_UNAVAILABLE');
  });

  test('a full etcd refuses changes as STORAGE_FULL, and one that is too large as INVALID_ARGUMENT', async () => {
    const [etcd] = (await servers(1, { flags: ['--quota-backend-bytes', String(256 * 1024)] })) as [EtcdServer];
    const store = await connect([etcd]);
    await set(store, 'small', '1');
    const roomy = await connect(await servers(1));
    expect(await code(set(roomy, 'large', '\u{10ffff}'.repeat(500_000)))).toBe('INVALID_ARGUMENT');
    let refused = 'no error';
    for (let i = 0; i < 50 && refused === 'no error'; i++)
      refused = await code(set(store, `k${i}`, 'x'.repeat(500_000)));
    expect(refused).toBe('STORAGE_FULL');
    expect((await store.get('small')).entry?.value).toBe('1');
  });

  test('user and password, also after etcd has forgotten the login', async () => {
    const [etcd] = (await servers(1)) as [EtcdServer];
    etcd.control(['user', 'add', 'root:rootpw']);
    etcd.control(['user', 'add', 'burrow:p:w/1']);
    etcd.control(['role', 'add', 'cluster']);
    etcd.control(['role', 'grant-permission', 'cluster', '--prefix=true', 'readwrite', 'cluster/']);
    etcd.control(['user', 'grant-role', 'root', 'root']);
    etcd.control(['user', 'grant-role', 'burrow', 'cluster']);
    etcd.control(['auth', 'enable']);
    const store = await at(`etcd://burrow:p%3Aw%2F1@${etcd.address}/cluster`);
    onTestFinished(() => store.close());
    const seen = valuesOf(store, '', 1);
    await set(store, 'a', '1');
    await vi.waitFor(() => expect(seen).toEqual(['1']), WAIT);
    // Logins are kept in memory only.
    await etcd.kill();
    await etcd.start();
    await vi.waitFor(() => set(store, 'a', '2'), WAIT);
    await vi.waitFor(() => expect(seen.at(-1)).toBe('2'), WAIT);

    expect(await code(at(`etcd://${etcd.address}/cluster`))).toBe('INVALID_CONFIG');
    expect(await code(at(`etcd://burrow:wrong@${etcd.address}/cluster`))).toBe('INVALID_CONFIG');
    expect(await code(at(`etcd://burrow:p%3Aw%2F1@${etcd.address}/others`))).toBe('INVALID_CONFIG');
    const folder = await mkdtemp(join(tmpdir(), 'burrow-password-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'password'), 'p:w/1\n');
    const byFile = await at(`etcd://burrow@${etcd.address}/cluster?password-file=${folder}/password`);
    expect((await byFile.get('a')).entry?.value).toBe('2');
    await byFile.close();
  });

  test('TLS with our own authority, and with a certificate of ours', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'burrow-tls-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    makeCertificates(folder);
    const flags = ['--cert-file', `${folder}/server.crt`, '--key-file', `${folder}/server.key`];
    flags.push('--client-cert-auth', '--trusted-ca-file', `${folder}/ca.crt`);
    const [etcd] = (await servers(1, { scheme: 'https', flags })) as [EtcdServer];
    const own = `ca=${folder}/ca.crt&cert=${folder}/client.crt&key=${folder}/client.key`;
    const store = await at(`etcd://${etcd.address}/cluster?${own}`);
    onTestFinished(() => store.close());
    const seen = valuesOf(store, '', 1);
    await set(store, 'a', '1');
    await vi.waitFor(() => expect(seen).toEqual(['1']), WAIT);
    const unknown = 'COORDINATION_UNAVAILABLE';
    expect(await code(at(`etcd://${etcd.address}/cluster?timeout-ms=700&tls=true`))).toBe(unknown);
    expect(await code(at(`etcd://${etcd.address}/cluster?timeout-ms=700&ca=${folder}/ca.crt`))).toBe(unknown);
    expect(await code(at(`etcd://${etcd.address}/cluster?timeout-ms=700`))).toBe(unknown);
  });
});

function makeCertificates(folder: string): void {
  const openssl = (...args: string[]): void => {
    const { status, stderr } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=authority', '-days', '2');
  for (const name of ['server', 'client']) {
    const extension = `subjectAltName=IP:127.0.0.1`;
    openssl(
      'req',
      ...key,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      `/CN=${name}`,
      '-addext',
      extension,
    );
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
      '-out',
      `${name}.crt`,
      '-days',
      '2',
    );
  }
}

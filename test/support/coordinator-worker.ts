/**
 * A process that uses the coordinator in a folder at random, until SIGTERM: `node coordinator-worker.js FOLDER NAME SEED`.
 * It writes a line of JSON for everything that it asks and is told, at once, so that nothing is lost if it is killed.
 * Times are microseconds of the machine's monotonic clock, which all processes share.
 */
import { fileURLToPath } from 'node:url';
import { FileCoordinator } from '../../broker/coordinator/file.ts';
import { NodeDisk } from '../../broker/ports/node-disk.ts';
import { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { systemClock } from '../../broker/ports/system-clock.ts';
import { type HistoryItem, runRandomClient } from './coordinator-history.ts';

export type WorkerLine =
  | { readonly item: HistoryItem }
  /** The lease of `key` lives at least until then. */
  | { readonly key: string; readonly deadline: number };

export const WORKER_LEASE_MS = 700;
const COMPACT_BYTES_MIN = 32 * 1024;

export function machineMicros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

function tell(line: WorkerLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function work(folder: string, name: string, seed: string): Promise<void> {
  let goesOn: boolean = true;
  process.on('SIGTERM', () => {
    goesOn = false;
  });
  const coordinator = await FileCoordinator.open({
    disk: new NodeDisk(),
    folder,
    shared: true,
    compactBytesMin: COMPACT_BYTES_MIN,
  });
  const holdLeases = async (): Promise<void> => {
    for (let n = 0; goesOn; n++) {
      const lease = await coordinator.grantLease(WORKER_LEASE_MS);
      const key = `member/${name}/${n}`;
      const deadline = (): number => machineMicros() + (lease.deadlineMs - systemClock.monotonic()) * 1000;
      tell({ key, deadline: deadline() });
      const id = key;
      const transaction = { set: [{ key, value: id, leaseId: lease.id }] };
      const asked = machineMicros();
      tell({ item: { kind: 'transaction', id, asked, transaction } });
      try {
        const outcome = await coordinator.transaction(transaction);
        tell({ item: { kind: 'transaction', id, asked, answered: machineMicros(), transaction, outcome } });
        while (goesOn) {
          await new Promise((resolve) => setTimeout(resolve, WORKER_LEASE_MS / 5));
          await lease.keepAlive();
          tell({ key, deadline: deadline() });
        }
      } catch {
        // It has ended, because this process stood still.
      }
    }
  };
  const clients = Array.from({ length: 2 }, (_, i) =>
    runRandomClient({
      coordinator,
      random: new SeededRandom(`${seed}/${i}`),
      name: `${name}.${i}`,
      keys: 5,
      now: machineMicros,
      record: (item) => tell({ item }),
      goesOn: () => goesOn,
    }),
  );
  await Promise.all([...clients, holdLeases()]);
  await coordinator.close();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, name, seed] = process.argv.slice(2);
  work(folder!, name!, seed!).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exitCode = 1;
  });
}

/** What the main programs of the examples have in common: options, a folder for the data, a broker, and cleaning up. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Client, connect, type NewTopic } from '../../client/index.ts';
import { SeededRandom } from './seeded-random.ts';
import { Supervisor } from './supervisor.ts';

export interface ExampleRun {
  readonly supervisor: Supervisor;
  readonly client: Client;
  /** Where services keep their data. */
  readonly folder: string;
  /** How often a part is to be killed. */
  readonly kills: number;
  readonly random: SeededRandom;
  tell(line: string): void;
  /** Creates them. Rejects with ALREADY_EXISTS if a broker that is not the example's own has some from before. */
  createTopics(topics: readonly NewTopic[]): Promise<void>;
  /** Those that are left are deleted at the end. */
  deleteTopics(names: readonly string[]): Promise<void>;
  /** Fails when a part cannot be kept running, or when it takes longer than `timeoutMs`. */
  waitFor<T>(what: string, work: Promise<T>, timeoutMs?: number): Promise<T>;
}

const OPTIONS = {
  /** A broker that runs already. Default: one of the example's own. */
  url: { type: 'string' },
  /** Default: a temporary folder that is removed at the end. */
  folder: { type: 'string' },
  kills: { type: 'string' },
  seed: { type: 'string' },
} as const;

const WAIT_MS = 120_000;

/** Runs an example. It resolves with what is wrong in the end, one line each: then the exit code is 1. */
export async function runExample(
  name: string,
  defaults: { readonly kills: number },
  run: (run: ExampleRun) => Promise<readonly string[]>,
): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS, allowPositionals: true });
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  const kills = Number(values.kills ?? defaults.kills);
  if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(kills) || kills < 0) {
    throw new Error('--kills and --seed take whole numbers');
  }
  const folder = values.folder ?? fs.mkdtempSync(path.join(os.tmpdir(), `burrow-${name}-`));
  const isOwnFolder = values.folder === undefined;
  const startedMs = performance.now();
  const tell = (line: string): void => {
    process.stdout.write(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(5)} s  ${line}\n`);
  };
  const supervisor = new Supervisor(folder, tell);
  const removeFolder = (): void => {
    if (isOwnFolder) fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const endOn = (signal: NodeJS.Signals, exitCode: number): void => {
    process.once(signal, () => {
      void supervisor.close().finally(() => {
        removeFolder();
        process.exit(exitCode);
      });
    });
  };
  endOn('SIGINT', 130);
  endOn('SIGTERM', 143);

  tell(`${name}: seed ${seed}, data in ${folder}`);
  let client: Client | undefined;
  try {
    await supervisor.openBroker(values.url);
    client = await connect(supervisor.url, { clientId: name, connectWaitMs: 60_000 });
    const admin = client.admin();
    const created = new Set<string>();
    const complaints = await run({
      supervisor,
      client,
      folder,
      kills,
      random: new SeededRandom(seed),
      tell,
      createTopics: async (topics) => {
        await admin.createTopics(topics);
        for (const topic of topics) created.add(topic.name);
      },
      deleteTopics: async (names) => {
        await admin.deleteTopics(names);
        for (const topic of names) created.delete(topic);
      },
      waitFor: (what, work, timeoutMs = WAIT_MS) => withDeadline(what, work, supervisor.failed, timeoutMs),
    });
    if (!supervisor.hasBroker && created.size > 0) await admin.deleteTopics([...created]);
    for (const complaint of complaints) tell(`WRONG: ${complaint}`);
    if (complaints.length > 0) {
      tell(`${complaints.length} things are wrong; again with --seed ${seed} --kills ${kills}`);
      process.exitCode = 1;
    }
  } finally {
    await client?.close({ timeoutMs: 1000 });
    await supervisor.close();
    removeFolder();
  }
}

async function withDeadline<T>(what: string, work: Promise<T>, failed: Promise<never>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  try {
    return await Promise.race([work, late, failed]);
  } finally {
    clearTimeout(timer);
  }
}

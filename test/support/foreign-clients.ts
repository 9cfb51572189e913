/**
 * Installs what the conformance suite needs of clients that nobody here wrote: kcat and confluent-kafka from Debian,
 * kafka-python from PyPI. Each function gives the program to run, or says loudly why its tests are skipped.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const SYSTEM_PYTHON = '/usr/bin/python3';
/** Pinned, so that a new release cannot break the suite; with the codecs that kafka-python leaves to others. */
const KAFKA_PYTHON = ['kafka-python==3.0.12', 'python-snappy==0.7.3', 'lz4==4.4.5', 'zstandard==0.25.0'];
/** Brings a librdkafka of its own, years newer than Debian's: it asks for topics by id, and checks versions otherwise. */
const NEW_CONFLUENT_KAFKA = ['confluent-kafka==2.16.1'];
const INSTALL_TIMEOUT_MS = 240_000;

export type ForeignClient = { readonly program: string } | { readonly missing: string };

export async function ensureKcat(): Promise<ForeignClient> {
  return ensure('kcat', 'kcat', ['-V'], ['kcat']);
}

/** The system's Python with confluent-kafka, which wraps librdkafka. */
export async function ensureConfluentKafka(): Promise<ForeignClient> {
  return ensure(
    'confluent-kafka',
    SYSTEM_PYTHON,
    ['-c', 'import confluent_kafka'],
    ['python3', 'python3-confluent-kafka'],
  );
}

export async function ensureNewConfluentKafka(): Promise<ForeignClient> {
  return ensurePython(NEW_CONFLUENT_KAFKA);
}

export async function ensureKafkaPython(): Promise<ForeignClient> {
  return ensurePython(KAFKA_PYTHON);
}

/** A Python in a folder of its own with these packages, which stays there for later runs. */
async function ensurePython(packages: readonly string[]): Promise<ForeignClient> {
  const folder = join(tmpdir(), `burrowmq-${packages[0]!.replace('==', '-')}`);
  const program = join(folder, 'bin', 'python');
  if (existsSync(program)) return { program };
  // Built aside and moved, so that a run that is cut short leaves nothing half done behind.
  const building = `${folder}.${process.pid}`;
  try {
    await makeVenv(building);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages];
    await run(join(building, 'bin', 'python'), pip, { timeout: INSTALL_TIMEOUT_MS });
    await rename(building, folder).catch((error: unknown) => {
      if (!existsSync(program)) throw error;
    });
    return { program };
  } catch (error) {
    return missing(packages[0]!, error);
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

async function makeVenv(folder: string): Promise<void> {
  const make = (python: string) => run(python, ['-m', 'venv', '--copies', folder], { timeout: INSTALL_TIMEOUT_MS });
  if (await make('python3').catch(() => undefined)) return;
  // Debian keeps venv apart from Python.
  if (process.getuid?.() === 0) await aptInstall(['python3-venv']);
  await make(SYSTEM_PYTHON);
}

async function aptInstall(packages: string[]): Promise<void> {
  const options = { timeout: INSTALL_TIMEOUT_MS, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  await run('apt-get', ['update', '-qq'], options);
  await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], options);
}

async function ensure(name: string, program: string, check: string[], packages: string[]): Promise<ForeignClient> {
  if (await works(program, check)) return { program };
  if (process.getuid?.() !== 0)
    return missing(name, `not installed, and only root can: apt-get install ${packages.join(' ')}`);
  try {
    await aptInstall(packages);
  } catch (error) {
    return missing(name, error);
  }
  return (await works(program, check)) ? { program } : missing(name, 'installed, but it does not run');
}

async function works(program: string, args: string[]): Promise<boolean> {
  return run(program, args, { timeout: 30_000 }).then(
    () => true,
    () => false,
  );
}

function missing(name: string, cause: unknown): ForeignClient {
  const reason = cause instanceof Error ? cause.message : String(cause);
  process.stderr.write(`\n*** SKIPPED: the conformance tests with ${name} do not run: ${reason}\n\n`);
  return { missing: reason };
}

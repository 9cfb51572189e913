/**
 * Installs what the conformance suites need of clients that nobody here wrote: from Debian, PyPI, Maven Central and the Go module
 * proxy. Each function gives the program to run, or says loudly why its tests are skipped. In continuous integration (CI=true) nothing is
 * skipped: there it throws. (`.ci/install-foreign.sh` installs Debian's packages before, all at once.)
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const SYSTEM_PYTHON = '/usr/bin/python3';
/** Pinned, so that a new release cannot break the suite; with the codecs that kafka-python leaves to others. */
const KAFKA_PYTHON = ['kafka-python==3.0.12', 'python-snappy==0.7.3', 'lz4==4.4.5', 'zstandard==0.25.0'];
/** Brings a librdkafka of its own, years newer than Debian's: it asks for topics by id, and checks versions otherwise. */
const NEW_CONFLUENT_KAFKA = ['confluent-kafka==2.16.1'];
const PIKA = ['pika==1.4.4'];
const JAVA_CLIENT = 'com.rabbitmq:amqp-client:5.37.1';
/** What the Java client needs, and the driver: its JSON. */
const JAVA_LIBRARIES = ['org.slf4j:slf4j-api:1.7.36', 'com.google.code.gson:gson:2.11.0'];
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

/** librabbitmq's programs. Gives the beginning of their names. */
export async function ensureAmqpTools(): Promise<ForeignClient> {
  const found = await ensure('amqp-tools', 'amqp-get', ['--help'], ['amqp-tools']);
  return 'missing' in found ? found : { program: 'amqp-' };
}

export async function ensureKafkaPython(): Promise<ForeignClient> {
  return ensurePython(KAFKA_PYTHON);
}

export async function ensurePika(): Promise<ForeignClient> {
  return ensurePython(PIKA);
}

/** A Python in a folder of its own with these packages. */
async function ensurePython(packages: readonly string[]): Promise<ForeignClient> {
  return ensureBuilt(packages[0]!.replace('==', '-'), join('bin', 'python'), async (folder) => {
    await makeVenv(folder);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages];
    await run(join(folder, 'bin', 'python'), pip, { timeout: INSTALL_TIMEOUT_MS });
  });
}

/** RabbitMQ's Java client: the class path of a driver that stands in one source file, compiled with it. */
export async function ensureJavaClient(source: string): Promise<ForeignClient> {
  const name = 'the Java client of AMQP';
  const jdk = await ensure(name, 'javac', ['-version'], ['default-jdk-headless']);
  if ('missing' in jdk) return jdk;
  const folder = `${JAVA_CLIENT.replaceAll(':', '-')}-${await digest([source])}`;
  const built = await ensureBuilt(folder, 'classes', async (building) => {
    await fetchJars(building);
    const arguments_ = ['-d', join(building, 'classes'), '-cp', join(building, '*'), source];
    await run('javac', arguments_, { timeout: INSTALL_TIMEOUT_MS });
  });
  if ('missing' in built) return built;
  return { program: [built.program, join(built.program, '..', '*')].join(delimiter) };
}

/** From Maven Central, or, where there is no Maven, from Debian, which has an older one. */
async function fetchJars(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if (await works('mvn', ['--version'])) {
    for (const artifact of [JAVA_CLIENT, ...JAVA_LIBRARIES]) {
      const goal = ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`];
      await run('mvn', goal, { timeout: INSTALL_TIMEOUT_MS });
    }
    return;
  }
  const jars = ['rabbitmq-client.jar', 'slf4j-api.jar', 'gson.jar'].map((name) => join('/usr/share/java', name));
  if (!jars.every((jar) => existsSync(jar)))
    await aptInstall(['librabbitmq-client-java', 'libslf4j-java', 'libgoogle-gson-java']);
  for (const jar of jars) await copyFile(jar, join(folder, basename(jar)));
}

/** RabbitMQ's Go client: a driver, built from the module in the folder. */
export async function ensureGoClient(folder: string): Promise<ForeignClient> {
  const go = await ensure('the Go client of AMQP', 'go', ['version'], ['golang-go']);
  if ('missing' in go) return go;
  const files = ['main.go', 'go.mod', 'go.sum'].map((name) => join(folder, name));
  return ensureBuilt(`go-amqp-client-${await digest(files)}`, 'driver', async (building) => {
    const environment = { ...process.env, GOTOOLCHAIN: 'local', GOFLAGS: '' };
    const arguments_ = ['build', '-o', join(building, 'driver'), '.'];
    await run('go', arguments_, { cwd: folder, env: environment, timeout: INSTALL_TIMEOUT_MS });
  });
}

/** Names what was made of files. */
async function digest(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) hash.update(await readFile(file));
  return hash.digest('hex').slice(0, 16);
}

/** What `build` makes in a folder, which stays there for later runs. Gives the path of the product in it. */
async function ensureBuilt(
  name: string,
  product: string,
  build: (folder: string) => Promise<void>,
): Promise<ForeignClient> {
  const folder = join(tmpdir(), `burrowmq-${name}`);
  const program = join(folder, product);
  if (existsSync(program)) return { program };
  // Built aside and moved, so that a run that is cut short leaves nothing half done behind.
  const building = `${folder}.${process.pid}`;
  try {
    await build(building);
    await rename(building, folder).catch((error: unknown) => {
      if (!existsSync(program)) throw error;
    });
    return { program };
  } catch (error) {
    return missing(name, error);
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
  // Test files run side by side.
  const wait = ['-o', 'DPkg::Lock::Timeout=120'];
  await run('apt-get', [...wait, 'update', '-qq'], options);
  await run('apt-get', [...wait, 'install', '-y', '-qq', '--no-install-recommends', ...packages], options);
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
  if (process.env['CI'] === 'true') throw new Error(`the conformance tests with ${name} do not run: ${reason}`);
  process.stderr.write(`\n*** SKIPPED: the conformance tests with ${name} do not run: ${reason}\n\n`);
  return { missing: reason };
}

/**
 * The real RabbitMQ, as Debian packages it, on a node of its own: with its own folder, ports, name and port mapper (epmd), so that it meets
 * no other that runs on the machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const FOLDER = '/usr/lib/rabbitmq';
const SERVER = join(FOLDER, 'bin', 'rabbitmq-server');
const START_TIMEOUT_MS = 60_000;

export interface RabbitMqNode {
  /** Of AMQP, on loopback. */
  readonly port: number;
  close(): Promise<void>;
}

/** Why it cannot be started in this version ("3.10"); undefined if it can. */
export function missingRabbitMq(version: string): string | undefined {
  if (!existsSync(SERVER)) return 'it is not installed: apt-get install rabbitmq-server';
  const installed = readdirSync(join(FOLDER, 'lib')).filter((name) => name.startsWith('rabbitmq_server-'));
  return installed.some((name) => name.startsWith(`rabbitmq_server-${version}.`))
    ? undefined
    : `version ${version} is wanted, and ${installed.join(', ')} installed`;
}

export async function startRabbitMq(): Promise<RabbitMqNode> {
  const [port, epmdPort, distributionPort] = await freePorts(3);
  const folder = await mkdtemp(join(tmpdir(), 'burrowmq-rabbitmq-'));
  const config = [`listeners.tcp.1 = 127.0.0.1:${port}`, 'log.console = true', 'log.file = false'];
  await writeFile(join(folder, 'rabbitmq.conf'), [...config, 'disk_free_limit.absolute = 1MB', ''].join('\n'));
  await writeFile(join(folder, 'plugins'), '[].\n');
  const env = {
    ...process.env,
    // Of Erlang's cookie.
    HOME: folder,
    ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_NODENAME: `burrowmq-${epmdPort}@localhost`,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_BASE: folder,
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_PLUGINS_EXPAND_DIR: join(folder, 'expanded'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}',
  };
  // The script starts the virtual machine as a child: they are one process group, and end together.
  const epmd = spawn('epmd', ['-port', String(epmdPort), '-address', '127.0.0.1'], { env, stdio: 'ignore' });
  const server = spawn(SERVER, [], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = (): void => {
    epmd.kill('SIGKILL');
    killGroup(server);
  };
  process.once('exit', kill);
  const close = async (): Promise<void> => {
    process.off('exit', kill);
    const ended = server.exitCode === null ? new Promise((resolve) => server.once('exit', resolve)) : undefined;
    kill();
    await ended;
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await started(server, epmd);
  } catch (error) {
    await close();
    throw error;
  }
  return { port: port!, close };
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

async function started(server: ChildProcess, epmd: ChildProcess): Promise<void> {
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`RabbitMQ ${why}:\n${said.slice(-40).join('\n')}`));
    const timer = setTimeout(() => fail('does not start'), START_TIMEOUT_MS);
    epmd.once('error', (error) => fail(`has no port mapper (${error.message})`));
    server.once('error', (error) => fail(`cannot be run (${error.message})`));
    server.once('exit', (code) => fail(`ended with code ${code}`));
    for (const stream of [server.stdout!, server.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        if (!line.includes('Server startup complete')) return;
        clearTimeout(timer);
        resolve();
      });
    }
  });
}

/** They may be taken by somebody else in the meantime, which is unlikely. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports.push((server.address() as { port: number }).port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

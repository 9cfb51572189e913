/**
 * etcd servers of Debian's package etcd-server, in temporary folders, for tests. Where the program is missing, tests that
 * need it are skipped with a message; with CI=true they fail instead.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const START_MS_MAX = 30_000;

/** Whether tests with etcd are to run. */
export function etcdIsThere(): boolean {
  const found = spawnSync('etcd', ['--version']).status === 0;
  if (found || process.env['CI'] === 'true') return true;
  process.stderr.write(
    'SKIPPED: tests of the coordinator in etcd, since there is no etcd (apt-get install etcd-server)\n',
  );
  return false;
}

export interface EtcdServerOptions {
  /** Further flags. */
  readonly flags?: readonly string[];
  /** `https` needs flags with certificates. */
  readonly scheme?: 'http' | 'https';
}

interface Addresses {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

export class EtcdServer {
  readonly #addresses: Addresses;
  readonly #cluster: string;
  readonly #folder: string;
  readonly #options: EtcdServerOptions;
  #process: ChildProcess | undefined;

  /** Several members of one cluster. */
  static async startCluster(size: number, options: EtcdServerOptions = {}): Promise<EtcdServer[]> {
    const ports = await freePorts(size * 2);
    const all = Array.from({ length: size }, (_, i) => ({
      name: `m${i}`,
      clientPort: ports[2 * i]!,
      peerPort: ports[2 * i + 1]!,
    }));
    const cluster = all.map(({ name, peerPort }) => `${name}=http://127.0.0.1:${peerPort}`).join(',');
    const servers: EtcdServer[] = [];
    for (const each of all) {
      const folder = await mkdtemp(path.join(tmpdir(), 'burrow-etcd-'));
      servers.push(new EtcdServer(each, cluster, folder, options));
    }
    await Promise.all(servers.map((server) => server.start()));
    await servers[0]!.#answers();
    return servers;
  }

  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    return (await EtcdServer.startCluster(1, options))[0]!;
  }

  private constructor(addresses: Addresses, cluster: string, folder: string, options: EtcdServerOptions) {
    this.#addresses = addresses;
    this.#cluster = cluster;
    this.#folder = folder;
    this.#options = options;
  }

  /** `host:port` for clients. */
  get address(): string {
    return `127.0.0.1:${this.#addresses.clientPort}`;
  }

  /** Resolves when clients can connect. */
  async start(): Promise<void> {
    const { name, peerPort } = this.#addresses;
    const client = `${this.#options.scheme ?? 'http'}://${this.address}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    const flags = [
      ['--name', name, '--data-dir', path.join(this.#folder, 'data')],
      ['--listen-client-urls', client, '--advertise-client-urls', client],
      ['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ['--initial-cluster', this.#cluster, '--initial-cluster-token', path.basename(this.#cluster)],
      ['--heartbeat-interval', '50', '--election-timeout', '500'],
      ['--logger', 'zap', '--log-outputs', '/dev/null'],
      this.#options.flags ?? [],
    ].flat();
    const child = spawn('etcd', flags, { stdio: 'ignore' });
    this.#process = child;
    let ended: string | undefined;
    child.on('error', (error) => {
      ended = String(error);
    });
    child.on('exit', (exitCode, signal) => {
      ended = `exit ${exitCode ?? signal}`;
    });
    for (let waitedMs = 0; !(await accepts(this.#addresses.clientPort)); waitedMs += 20) {
      if (ended !== undefined || waitedMs > START_MS_MAX) throw new Error(`etcd does not start: ${ended ?? 'timeout'}`);
      await delay(20);
    }
  }

  /** Until it has a leader; which it cannot say where it asks for certificates. */
  async #answers(): Promise<void> {
    if (this.#options.scheme === 'https') return;
    for (let waitedMs = 0; ; waitedMs += 50) {
      try {
        this.control(['get', 'anything']);
        return;
      } catch (error) {
        if (waitedMs > START_MS_MAX) throw error;
        await delay(50);
      }
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** SIGKILL; the data stays. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Ends it and removes its data. */
  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Runs etcdctl against it. */
  control(args: readonly string[], input?: string): string {
    const result = spawnSync('etcdctl', ['--endpoints', this.address, ...args], {
      env: { ...process.env, ETCDCTL_API: '3' },
      encoding: 'utf8',
      ...(input === undefined ? {} : { input }),
    });
    if (result.status !== 0) throw new Error(`etcdctl ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Free just now, and held all together, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

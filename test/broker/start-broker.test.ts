/** startBroker: in memory and on a folder, restarts, who is refused, and how it stops. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Broker, type BrokerOptions, startBroker } from '../../broker/index.ts';
import { decodeTestBatches, testBatch } from '../support/batches.ts';
import { temporaryFolder } from '../support/cli.ts';
import { fetchFrom, fetchRequest } from '../support/node-environment.ts';

const BUILT = new URL('../../dist/broker/index.js', import.meta.url);

async function start(options: Partial<BrokerOptions> = {}): Promise<Broker> {
  const broker = await startBroker({ storage: 'memory', diskFreeBytesMin: 0, ...options });
  onTestFinished(() => broker.close().catch(() => {}));
  return broker;
}

async function createTopic({ service }: Broker, name: string, configs: Record<string, string> = {}): Promise<void> {
  await service.createTopic(
    { name, partitions: 2, replicationFactor: -1, configs: new Map(Object.entries(configs)) },
    { validateOnly: false },
  );
}

function produce({ service }: Broker, topic: string, value: string, partition = 0) {
  return service.produce({ topic, partition, records: testBatch([value]), acks: -1 });
}

async function readAll({ service }: Broker, topic: string, partition = 0): Promise<string[]> {
  const [fetched] = await service.fetch(fetchRequest([fetchFrom(topic, 0, { partition })])).done;
  if (fetched?.error) throw fetched.error;
  return decodeTestBatches(Buffer.concat(fetched!.records)).flatMap(({ values }) => values);
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

describe('a broker in memory', () => {
  test('listens on free ports, tells them, and serves its own process', async () => {
    const broker = await start();
    expect(Object.keys(broker.ports)).toEqual(['native', 'kafka', 'amqp']);
    for (const port of [broker.ports.native!, broker.ports.kafka!, broker.ports.amqp!])
      expect(await canConnect(port)).toBe(true);
    expect(broker.addresses).toEqual({
      native: `ws://127.0.0.1:${broker.ports.native}`,
      kafka: `127.0.0.1:${broker.ports.kafka}`,
      amqp: `127.0.0.1:${broker.ports.amqp}`,
    });
    expect(broker.service.brokers('kafka')).toEqual([
      { nodeId: 1, host: '127.0.0.1', port: broker.ports.kafka, rack: undefined },
    ]);
    expect(broker.dataDir).toBe('memory');
    await createTopic(broker, 'orders');
    await produce(broker, 'orders', 'a');
    expect(await readAll(broker, 'orders')).toEqual(['a']);
  });

  test('is one of many in its process, each with its own data, ready within milliseconds', async () => {
    await start();
    const begun = performance.now();
    const brokers = await Promise.all(Array.from({ length: 10 }, () => start()));
    // Measured: 1.5 ms each.
    expect(performance.now() - begun).toBeLessThan(1_000);
    expect(new Set(brokers.flatMap(({ ports }) => [ports.native, ports.kafka])).size).toBe(20);
    await createTopic(brokers[0]!, 'orders');
    expect(brokers[1]!.service.topicNames()).toEqual([]);
    expect(new Set(brokers.map(({ service }) => service.clusterId)).size).toBe(10);
  });

  test('has only the listeners that are on, under the name it is advertised by', async () => {
    const broker = await start({ kafkaPort: 'off', amqpPort: 'off', advertisedHost: 'broker.example', rack: 'r1' });
    expect(Object.keys(broker.ports)).toEqual(['native']);
    expect(broker.service.brokers('kafka')).toEqual([]);
    expect(broker.service.brokers('native')).toEqual([
      { nodeId: 1, host: 'broker.example', port: broker.ports.native, rack: 'r1' },
    ]);
  });

  test('is forgotten when it is closed; a second close is nothing', async () => {
    const broker = await start();
    const { done } = broker.service.fetch(fetchRequest([fetchFrom('none')], { waitMs: 60_000 }));
    await done;
    await Promise.all([broker.close(), broker.close()]);
    await broker.close();
    expect(await broker.stopped).toBeUndefined();
    expect(await canConnect(broker.ports.native!)).toBe(false);
    expect(await canConnect(broker.ports.kafka!)).toBe(false);
    await expect(produce(broker, 'orders', 'late')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});

describe('a broker on a folder', () => {
  test('has its topics, records and configs again after a restart', async () => {
    const storage = path.join(temporaryFolder(), 'new', 'data');
    const first = await start({ storage });
    expect(first.dataDir).toBe(storage);
    await createTopic(first, 'orders', { 'retention.ms': '123456' });
    for (let index = 0; index < 100; index++) void produce(first, 'orders', `${index}`, 1);
    await produce(first, 'orders', '100', 1);
    const ids = [await first.service.allocateProducerId()];
    const described = first.service.describeTopic('orders');
    await first.close();

    const second = await start({ storage });
    expect(second.service.clusterId).toBe(first.service.clusterId);
    expect(second.service.describeTopic('orders')).toEqual(described);
    expect(await readAll(second, 'orders', 1)).toEqual(Array.from({ length: 101 }, (_, index) => `${index}`));
    const config = second.service.describeTopicConfigs('orders').find(({ key }) => key === 'retention.ms');
    expect(config).toMatchObject({ value: '123456', isDefault: false });
    ids.push(await second.service.allocateProducerId());
    expect(new Set(ids).size).toBe(2);
    expect((await produce(second, 'orders', 'next', 1)).baseOffset).toBe(101);
  });

  test('refuses a second broker on it, with its pid, and goes on', async () => {
    const storage = temporaryFolder();
    const first = await start({ storage });
    await createTopic(first, 'orders');
    await expect(start({ storage })).rejects.toMatchObject({
      code: 'DATA_FOLDER_LOCKED',
      fields: { pid: process.pid, folder: storage },
    });
    await produce(first, 'orders', 'a');
    await first.close();
    expect(await readAll(await start({ storage }), 'orders')).toEqual(['a']);
  });

  test('takes over at once after kill -9, with everything that was acknowledged', async () => {
    if (!fs.existsSync(BUILT)) throw new Error(`${fileURLToPath(BUILT)} is missing: run npm test, which builds first`);
    const storage = temporaryFolder();
    const program = `
      import { startBroker } from ${JSON.stringify(BUILT.href)};
      const { service } = await startBroker({ storage: process.argv[1], diskFreeBytesMin: 0 });
      await service.createTopic({ name: 'orders', partitions: 1, replicationFactor: 1, configs: new Map() }, { validateOnly: false });
      const batch = Buffer.from(process.argv[2], 'base64');
      for (;;) {
        const { baseOffset } = await service.produce({ topic: 'orders', partition: 0, records: Buffer.from(batch), acks: -1 });
        console.log(baseOffset);
      }
    `;
    const batch = testBatch(['acknowledged']).toString('base64');
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, storage, batch], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.length > 2_000) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const acknowledged = printed.split('\n').slice(0, -1).map(Number);
    expect(acknowledged.length).toBeGreaterThan(100);

    const begun = performance.now();
    const broker = await start({ storage });
    expect(performance.now() - begun).toBeLessThan(3_000);
    const values = await readAll(broker, 'orders');
    expect(values.length).toBeGreaterThan(acknowledged.at(-1)!);
  });

  test('stops by itself when it loses the folder, acknowledges nothing more, and writes nothing more', async () => {
    const storage = temporaryFolder();
    const broker = await start({ storage });
    await createTopic(broker, 'orders');
    await produce(broker, 'orders', 'a');
    const owner = path.join(storage, 'broker.lock-owner.json');
    fs.writeFileSync(owner, JSON.stringify({ ...JSON.parse(fs.readFileSync(owner, 'utf8')), token: 'of another' }));
    fs.rmdirSync(path.join(storage, 'broker.lock'));
    expect((await broker.stopped)?.code).toBe('DATA_FOLDER_LOCKED');
    await expect(produce(broker, 'orders', 'b')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(fs.existsSync(path.join(storage, 'clean-shutdown.json'))).toBe(false);
    expect(await canConnect(broker.ports.native!)).toBe(false);
  });

  test('that cannot start leaves nothing behind: no lock, no port', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void taken.close());
    await once(taken, 'listening');
    const { port } = taken.address() as net.AddressInfo;
    const storage = temporaryFolder();
    await expect(start({ storage, kafkaPort: port })).rejects.toThrow(`127.0.0.1:${port}`);
    expect(fs.readdirSync(storage).filter((name) => name.startsWith('broker.lock'))).toEqual([]);
    await start({ storage });
  });

  test('refuses a folder that is somebody’s, and a file', async () => {
    const storage = temporaryFolder();
    fs.writeFileSync(path.join(storage, 'letter.txt'), 'dear');
    await expect(start({ storage })).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    expect(fs.readdirSync(storage)).toEqual(['letter.txt']);
    await expect(start({ storage: path.join(storage, 'letter.txt') })).rejects.toMatchObject({
      code: 'STORAGE_ERROR',
      message: expect.stringContaining('letter.txt'),
    });
  });

  test.each<[string, object]>([
    ['flushEvery', { flushEvery: 1 }],
    ['node-id', { nodeId: -1 }],
    ['host', { host: '0.0.0.0' }],
  ])('refuses options that are wrong: %s', async (text, options) => {
    await expect(start(options)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining(text),
    });
  });
});

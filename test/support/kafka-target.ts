/**
 * What the Kafka conformance tests run against. The one place that knows how it is started, so that the same scenarios run
 * against the model and against a real broker.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startBroker } from '../../broker/index.ts';
import { startKafkaListener } from '../../broker/listeners/kafka/kafka-listener.ts';
import type { KafkaLimits } from '../../broker/listeners/kafka/limits.ts';
import { type Logger, silentLogger } from '../../broker/ports/logger.ts';
import { systemClock } from '../../broker/ports/system-clock.ts';
import { type FakeBrokerOptions, FakeBrokerService } from './fake-broker-service.ts';
import { FakeGroupService } from './fake-group-service.ts';

export interface KafkaTarget {
  readonly host: string;
  readonly port: number;
  /** Where the native SDK reaches the same broker. */
  readonly nativeUrl: string;
  close(): Promise<void>;
}

export type StartTarget = () => Promise<KafkaTarget>;

export interface FakeTargetOptions extends FakeBrokerOptions {
  readonly limits?: Partial<KafkaLimits>;
  readonly logger?: Logger;
  readonly host?: string;
  readonly advertisedHost?: string;
  readonly advertisedPort?: number;
}

/** The listener in front of the in-memory model. */
export async function startFakeTarget(options: FakeTargetOptions = {}) {
  const { limits, logger, host = '127.0.0.1', advertisedHost, advertisedPort, ...fake } = options;
  const service = new FakeBrokerService(fake);
  const groups = new FakeGroupService();
  const listener = await startKafkaListener({
    service,
    groups,
    host,
    port: 0,
    clock: fake.clock ?? systemClock,
    logger: logger ?? silentLogger,
    ...(limits === undefined ? {} : { limits }),
    ...(advertisedHost === undefined ? {} : { advertisedHost }),
    ...(advertisedPort === undefined ? {} : { advertisedPort }),
  });
  const { port } = listener;
  return { host: '127.0.0.1', port, nativeUrl: '', service, groups, listener, close: () => listener.close() };
}

/** The target of the conformance suite: a real broker on a real folder, as it runs by default. */
export const startTarget: StartTarget = async () => {
  const storage = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-conformance-'));
  const broker = await startBroker({ storage, kafkaPort: 0, port: 0, defaultPartitions: 4 });
  return {
    host: '127.0.0.1',
    port: broker.ports.kafka!,
    nativeUrl: broker.addresses.native!,
    async close() {
      await broker.close();
      fs.rmSync(storage, { recursive: true, force: true });
    },
  };
};

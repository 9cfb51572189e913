/**
 * What the Kafka conformance tests run against. The one place that knows how it is started, so that the same scenarios run
 * against the model and against a real broker.
 */
import { startKafkaListener } from '../../broker/listeners/kafka/kafka-listener.ts';
import type { KafkaLimits } from '../../broker/listeners/kafka/limits.ts';
import { type Logger, silentLogger } from '../../broker/ports/logger.ts';
import { systemClock } from '../../broker/ports/system-clock.ts';
import { type FakeBrokerOptions, FakeBrokerService } from './fake-broker-service.ts';

export interface KafkaTarget {
  readonly host: string;
  readonly port: number;
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
  const listener = await startKafkaListener({
    service,
    host,
    port: 0,
    clock: fake.clock ?? systemClock,
    logger: logger ?? silentLogger,
    ...(limits === undefined ? {} : { limits }),
    ...(advertisedHost === undefined ? {} : { advertisedHost }),
    ...(advertisedPort === undefined ? {} : { advertisedPort }),
  });
  return { host: '127.0.0.1', port: listener.port, service, listener, close: () => listener.close() };
}

/** The target of the conformance suite. */
export const startTarget: StartTarget = () => startFakeTarget({ defaultPartitions: 4 });

/** What the broker tells AMQP clients about itself in connection.start. */
import type { FieldTable } from '../../../src/messages/field-value.ts';

/** Those of RabbitMQ (rabbit_reader:server_capabilities); clients switch features on by them. */
const CAPABILITIES = [
  'publisher_confirms',
  'exchange_exchange_bindings',
  'basic.nack',
  'consumer_cancel_notify',
  'connection.blocked',
  'consumer_priorities',
  'authentication_failure_close',
  'per_consumer_qos',
  'direct_reply_to',
];

/** @param software - Name and version, such as `burrowmq/1.2.3`. */
export function serverProperties(software: string, clusterId: string): FieldTable {
  const [, version = 'unknown'] = software.split('/');
  return new Map<string, string | FieldTable>([
    ['capabilities', new Map(CAPABILITIES.map((name) => [name, true]))],
    ['cluster_name', clusterId],
    ['copyright', 'The BurrowMQ maintainers'],
    ['information', 'Licensed under the Apache License 2.0'],
    ['platform', `Node.js ${process.versions.node}`],
    ['product', 'BurrowMQ'],
    ['version', version],
  ]);
}

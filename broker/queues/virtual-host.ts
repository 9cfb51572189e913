/**
 * The queues of one virtual host: declares, finds, deletes them, and carries messages from exchanges to them. Durable ones are
 * in the definitions; others live and die here.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { RoutableProperties } from '../../src/messages/routable-properties.ts';
import { resourceText } from '../definitions/equivalence.ts';
import { checkQueue, checkSameQueue, isStoredQueue, type QueueDefinition } from '../definitions/queue-definition.ts';
import { resolveQueueSettings } from '../definitions/queue-settings.ts';
import type { RouteTarget } from '../exchanges/destination.ts';
import type { Topology } from '../exchanges/topology.ts';
import type { Deadline, DeadlineQueue } from '../partitions/deadline-queue.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { Random } from '../ports/random.ts';
import type { MessageView, PublishedMessage } from './message-batch.ts';
import type { StoredTarget } from './message-log.ts';
import { type DeadLetterReason, Queue } from './queue.ts';
import type { DeclaredQueue, QueueDeclaration, QueueSession, QueueStatus } from './queue-service.ts';
import type { QueueLogs, QueueStorage } from './queue-storage.ts';

export interface VirtualHostOptions {
  readonly name: string;
  readonly topology: Topology;
  readonly storage: QueueStorage;
  readonly clock: Clock;
  readonly deadlines: DeadlineQueue;
  readonly random: Random;
  readonly logger: Logger;
  readonly readAheadBytes: number;
  /** Of this virtual host. */
  readonly queuesMax: number;
}

interface QueueEntry {
  readonly definition: QueueDefinition;
  readonly incarnation: number;
  readonly queue: Queue;
  readonly logs: QueueLogs;
  /** Who it is exclusive to. */
  readonly owner: QueueSession | undefined;
  expiry: Deadline | undefined;
}

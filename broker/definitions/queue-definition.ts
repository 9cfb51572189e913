/**
 * A queue: what a client declares, its rules, and the value under `amqp/queues/<virtual host id>/<name>`:
 *
 *     {"format":1, "autoDelete":false, "arguments":{…}}
 *
 * Stored are durable queues that are not exclusive: exclusive ones end with their connection.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import { checkAmqpName } from '../../src/names.ts';
import { checkSame, checkSameArguments, resourceText } from './equivalence.ts';
import { checkQueueArguments, QUEUE_ARGUMENT_NAMES } from './queue-arguments.ts';
import { queueTypeOf } from './queue-settings.ts';
import { decodeStored, encodeStored, storedBoolean } from './stored-definition.ts';

export interface QueueDefinition {
  readonly name: string;
  readonly durable: boolean;
  /** Belongs to one connection, and goes with it. */
  readonly exclusive: boolean;
  /** Goes when its last consumer goes. */
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
}

/** Whether it is kept in the coordinator. Others live in the memory of the broker that they were declared at. */
export function isStoredQueue({ durable, exclusive }: QueueDefinition): boolean {
  return durable && !exclusive;
}

/**
 * Checks name and arguments. Quorum queues and streams must be durable, not exclusive and not auto-delete, as in
 * RabbitMQ; any other combination is accepted, also transient queues that are not exclusive.
 * @throws BurrowError INVALID_NAME, INVALID_ARGUMENT
 */
export function checkQueue(virtualHost: string, queue: QueueDefinition): void {
  checkAmqpName(queue.name, 'queue');
  checkQueueArguments(virtualHost, queue.name, queue.arguments);
  if (queueTypeOf(queue.arguments) === 'classic') return;
  const problem = !queue.durable
    ? 'non-durable'
    : queue.exclusive
      ? 'exclusive-owner'
      : queue.autoDelete
        ? 'auto-delete'
        : undefined;
  if (problem === undefined) return;
  throw new BurrowError(
    'INVALID_ARGUMENT',
    `invalid property '${problem}' for ${resourceText('queue', queue.name, virtualHost)}`,
    { fields: { property: problem } },
  );
}

/**
 * For a declaration of a queue that exists. Who it is exclusive to is not looked at here.
 * @throws BurrowError DECLARED_DIFFERENTLY naming the first difference and both values
 */
export function checkSameQueue(virtualHost: string, current: QueueDefinition, declared: QueueDefinition): void {
  const resource = resourceText('queue', current.name, virtualHost);
  checkSame(resource, 'durable', declared.durable, current.durable);
  checkSame(resource, 'auto_delete', declared.autoDelete, current.autoDelete);
  checkSameArguments(resource, QUEUE_ARGUMENT_NAMES, typed(declared.arguments), typed(current.arguments));
}

/** No queue type is the same as `classic`. */
function typed(table: FieldTable): FieldTable {
  return table.has('x-queue-type') ? table : new Map([...table, ['x-queue-type', 'classic']]);
}

export function encodeQueue({ autoDelete, arguments: table }: QueueDefinition): string {
  return encodeStored({ autoDelete }, table);
}

/** @throws BurrowError STORAGE_CORRUPT, DATA_FOLDER_VERSION */
export function decodeQueue(key: string, name: string, value: string): QueueDefinition {
  return decodeStored(key, value, (fields, table) => {
    const queue = {
      name,
      durable: true,
      exclusive: false,
      autoDelete: storedBoolean(fields, 'autoDelete'),
      arguments: table,
    };
    checkQueue('', queue);
    return queue;
  });
}

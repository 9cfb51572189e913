/** The native protocol's requests about exchanges and queues, in the SDK's terms. Each rejects with what the broker says. */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { errorNameByNumber } from '../../src/errors/table.ts';
import { decodeFieldTable, encodeFieldTable } from '../../src/messages/field-table.ts';
import type { FieldTable } from '../../src/messages/field-value.ts';
import { entryError } from '../../src/protocol/frame.ts';
import type { RequestOf, ResponseOf } from '../../src/protocol/messages.ts';
import type { Connection } from '../connection.ts';
import type { PolicyScope } from './policy-options.ts';

export const DESTINATION_KINDS = ['queue', 'exchange', 'topic'] as const;
export type DestinationKind = (typeof DESTINATION_KINDS)[number];

export interface BindingInfo {
  readonly source: string;
  readonly destinationKind: DestinationKind;
  readonly destination: string;
  readonly bindingKey: string;
  readonly arguments: FieldTable;
}

export interface ExchangeInfo {
  /** Empty for the default exchange. */
  readonly name: string;
  readonly type: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  readonly arguments: FieldTable;
}

export interface DeclaredQueue {
  readonly name: string;
  /** Ready messages. */
  readonly messageCount: number;
  readonly consumerCount: number;
}

export interface QueueInfo extends DeclaredQueue {
  readonly durable: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  /** Name of the policy that applies. */
  readonly policy: string | undefined;
  readonly unsettledCount: number;
  /** Of its logs, settled messages that are not removed yet included. */
  readonly storedBytes: number;
  readonly failure: BurrowError | undefined;
}

export interface PolicyInfo {
  readonly name: string;
  readonly pattern: string;
  readonly applyTo: PolicyScope;
  readonly priority: number;
  /** By RabbitMQ's names of settings, such as 'message-ttl'. */
  readonly definition: FieldTable;
}

/** Where requests go, and how long each may take. */
export interface RequestTarget {
  readonly connection: Connection;
  readonly virtualHost: string;
  readonly timeoutMs: number;
}

/** Of a list, what is asked for at once; the broker may answer with less. */
const PAGE_ENTRIES = 10_000;

interface Result {
  readonly errorNumber: number;
  readonly message: string | null;
}

/** The answer's only entry. Throws its error. */
function only<T extends Result>(entries: readonly T[]): T {
  const [entry] = entries;
  if (entry === undefined) throw new BurrowError('MALFORMED_FRAME', 'The broker answered without an entry.');
  const error = entryError(entry);
  if (error !== undefined) throw error;
  return entry;
}

export async function declareExchangeRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  { type, ...exchange }: ExchangeInfo & { readonly passive: boolean },
): Promise<void> {
  const exchanges = [{ ...exchange, kind: type, arguments: encodeFieldTable(exchange.arguments) }];
  only((await connection.request('declareExchanges', { virtualHost, exchanges }, timeoutMs)).exchanges);
}

export async function deleteExchangeRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  name: string,
  ifUnused: boolean,
): Promise<void> {
  const request = { virtualHost, exchanges: [{ name, ifUnused }] };
  only((await connection.request('deleteExchanges', request, timeoutMs)).exchanges);
}

export async function declareQueueRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  queue: Omit<RequestOf<'declareQueues'>['queues'][number], 'arguments'> & { readonly arguments: FieldTable },
): Promise<DeclaredQueue> {
  const queues = [{ ...queue, arguments: encodeFieldTable(queue.arguments) }];
  const { name, messageCount, consumerCount } = only(
    (await connection.request('declareQueues', { virtualHost, queues }, timeoutMs)).queues,
  );
  return { name, messageCount, consumerCount };
}

export async function deleteQueueRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  queue: RequestOf<'deleteQueues'>['queues'][number],
): Promise<number> {
  const answer = await connection.request('deleteQueues', { virtualHost, queues: [queue] }, timeoutMs);
  return only(answer.queues).messageCount;
}

export async function purgeQueueRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  name: string,
): Promise<number> {
  const answer = await connection.request('purgeQueues', { virtualHost, names: [name] }, timeoutMs);
  return only(answer.queues).messageCount;
}

export async function bindRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  verb: 'bind' | 'unbind',
  { destinationKind, ...binding }: BindingInfo,
): Promise<void> {
  const encoded = {
    ...binding,
    destinationKind: DESTINATION_KINDS.indexOf(destinationKind),
    arguments: encodeFieldTable(binding.arguments),
  };
  only((await connection.request(verb, { virtualHost, bindings: [encoded] }, timeoutMs)).bindings);
}

export async function listExchangesRequest(target: RequestTarget): Promise<ExchangeInfo[]> {
  const { connection, virtualHost, timeoutMs } = target;
  const listed = await allPages(async (page) => {
    return (await connection.request('listExchanges', { virtualHost, ...page }, timeoutMs)).exchanges;
  });
  return listed.map(({ kind, ...exchange }) => ({ ...exchange, type: kind, arguments: tableOf(exchange.arguments) }));
}

export async function listQueuesRequest(target: RequestTarget): Promise<QueueInfo[]> {
  const { connection, virtualHost, timeoutMs } = target;
  const listed = await allPages(async (page) => {
    return (await connection.request('listQueues', { virtualHost, ...page }, timeoutMs)).queues;
  });
  return listed.map(({ policy, failureErrorNumber, failureMessage, ...queue }) => ({
    ...queue,
    policy: policy ?? undefined,
    arguments: tableOf(queue.arguments),
    failure:
      failureErrorNumber === 0
        ? undefined
        : new BurrowError(errorNameByNumber(failureErrorNumber), failureMessage ?? undefined),
  }));
}

export async function listBindingsRequest(target: RequestTarget): Promise<BindingInfo[]> {
  const { connection, virtualHost, timeoutMs } = target;
  const listed = await allPages(async (page) => {
    return (await connection.request('listBindings', { virtualHost, ...page }, timeoutMs)).bindings;
  });
  return listed.map(({ destinationKind, ...binding }) => ({
    ...binding,
    destinationKind: DESTINATION_KINDS[destinationKind] ?? 'queue',
    arguments: tableOf(binding.arguments),
  }));
}

export async function setPolicyRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  policy: PolicyInfo,
): Promise<void> {
  const policies = [{ ...policy, definition: encodeFieldTable(policy.definition) }];
  only((await connection.request('setPolicies', { virtualHost, policies }, timeoutMs)).policies);
}

export async function deletePolicyRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  name: string,
): Promise<void> {
  only((await connection.request('deletePolicies', { virtualHost, names: [name] }, timeoutMs)).policies);
}

export async function listPoliciesRequest(target: RequestTarget): Promise<PolicyInfo[]> {
  const { connection, virtualHost, timeoutMs } = target;
  const listed = await allPages(async (page) => {
    return (await connection.request('listPolicies', { virtualHost, ...page }, timeoutMs)).policies;
  });
  return listed.map(({ applyTo, ...policy }) => ({
    ...policy,
    applyTo: applyTo as PolicyScope,
    definition: tableOf(policy.definition),
  }));
}

export async function browseQueueRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  request: Omit<RequestOf<'browseQueue'>, 'virtualHost'>,
): Promise<ResponseOf<'browseQueue'>> {
  return connection.request('browseQueue', { virtualHost, ...request }, timeoutMs);
}

export async function listVirtualHostsRequest({ connection, timeoutMs }: RequestTarget): Promise<string[]> {
  return [...(await connection.request('listVirtualHosts', {}, timeoutMs)).names];
}

export async function changeVirtualHostRequest(
  { connection, virtualHost, timeoutMs }: RequestTarget,
  verb: 'createVirtualHosts' | 'deleteVirtualHosts',
): Promise<void> {
  only((await connection.request(verb, { names: [virtualHost] }, timeoutMs)).virtualHosts);
}

/** Until there is no more. What changes meanwhile may be seen or not. */
async function allPages<T>(ask: (page: { skip: number; limit: number }) => Promise<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for (;;) {
    const page = await ask({ skip: all.length, limit: PAGE_ENTRIES });
    if (page.length === 0) return all;
    all.push(...page);
  }
}

function tableOf(bytes: Uint8Array): FieldTable {
  return decodeFieldTable(bytes, 0, bytes.length);
}

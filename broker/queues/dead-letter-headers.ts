/**
 * What the headers of a dead letter tell of its deaths, as in RabbitMQ 4 (mc:record_death, mc_amqpl:deaths_to_headers).
 *
 * `x-death` is a list of tables, the newest death first. There is one per queue and reason: a message that dies again
 * where it died before counts that entry up and moves it to the front; time, exchange, routing keys and expiration of the
 * entry stay those of the first time.
 *
 * These headers belong to the broker. Those that a client publishes are replaced and decide nothing: so who calls must know
 * whether the broker itself has written them.
 */
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';
import { editProperties, headersProperty, textProperty } from '../../src/messages/message-properties.ts';
import type { DeadLetterReason } from './queue.ts';

const DEATHS = 'x-death';
/** All that {@link recordDeath} sets. */
const WRITTEN = [
  DEATHS,
  'x-first-death-reason',
  'x-first-death-queue',
  'x-first-death-exchange',
  'x-last-death-reason',
  'x-last-death-queue',
  'x-last-death-exchange',
];

export interface Death {
  readonly queue: string;
  readonly reason: DeadLetterReason;
  readonly timeSeconds: number;
  /** Where the message was published to, with which routing key. */
  readonly exchange: string;
  readonly routingKey: string;
  /** The message's own time to live, which is taken from it. */
  readonly expiration: string | undefined;
  /** Whether the headers tell of earlier deaths, in the broker's own words. */
  readonly isDeadLetter: boolean;
  /**
   * Whether the dead letter gets a new routing key. Then the header CC goes, or its keys would count again at the next
   * death. RabbitMQ leaves it to be seen, and ignores it from there on.
   */
  readonly isRenamed: boolean;
}

/**
 * The content properties of the dead letter, and its headers. Its time to live is gone, what else there is keeps its bytes.
 * @param properties - checked
 */
export function deadLetterProperties(
  properties: Uint8Array,
  death: Omit<Death, 'expiration'>,
): { readonly properties: Uint8Array; readonly headers: FieldTable } {
  const end = properties.length;
  const expiration = textProperty(properties, 0, end, 'expiration');
  const headers = recordDeath(headersProperty(properties, 0, end), { ...death, expiration });
  const changes = new Map(WRITTEN.map((name) => [name, headers.get(name)]));
  // Exchanges that look at no routing keys let pass what others refuse: CC that is no list.
  if (!Array.isArray(headers.get('CC'))) changes.set('CC', undefined);
  return { properties: editProperties(properties, { headers: changes, remove: ['expiration'] }), headers };
}

/** The headers of the dead letter. */
export function recordDeath(headers: FieldTable | undefined, death: Death): FieldTable {
  const { queue, reason, exchange, isDeadLetter, isRenamed } = death;
  const extraKeys = stringsOf(headers?.get('CC'));
  const result = new Map<string, FieldValue>(headers);
  const earlier = isDeadLetter ? deathsOf(result) : [];
  const repeated = earlier.find((entry) => isAt(entry, queue, reason));
  const newest = repeated === undefined ? newEntry(death, extraKeys) : countedUp(repeated);
  result.set(DEATHS, [newest, ...earlier.filter((entry) => entry !== repeated).map(withLongCount)]);
  if (earlier.length === 0) {
    result.set('x-first-death-reason', reason);
    result.set('x-first-death-queue', queue);
    result.set('x-first-death-exchange', exchange);
  }
  result.set('x-last-death-reason', reason);
  result.set('x-last-death-queue', queue);
  result.set('x-last-death-exchange', exchange);
  if (isRenamed) result.delete('CC');
  return result;
}

/**
 * Whether a message would come back to `targetQueue` without anybody having rejected it since it died there: then it would
 * go round for ever. Not asked for a message that has just been rejected.
 * @param headers - of the dead letter, from {@link recordDeath}
 */
export function isDeathCycle(headers: FieldTable, targetQueue: string): boolean {
  for (const entry of deathsOf(headers)) {
    if (entry.get('reason') === 'rejected') return false;
    if (entry.get('queue') === targetQueue) return true;
  }
  return false;
}

function newEntry({ queue, reason, timeSeconds, exchange, routingKey, expiration }: Death, extraKeys: string[]) {
  const entry = new Map<string, FieldValue>();
  if (expiration !== undefined) entry.set('original-expiration', expiration);
  // AMQP's 64-bit integer, as in RabbitMQ: Java clients cast it to Long.
  entry.set('count', 1n);
  entry.set('reason', reason);
  entry.set('queue', queue);
  entry.set('time', { type: 'timestamp', seconds: timeSeconds });
  entry.set('exchange', exchange);
  entry.set('routing-keys', [routingKey, ...extraKeys]);
  return entry;
}

function countedUp(entry: FieldTable): FieldTable {
  return new Map([...entry, ['count', BigInt(Number(entry.get('count')) + 1)]]);
}

/** What was decoded has lost how many bits its integers had. */
function withLongCount(entry: FieldTable): FieldTable {
  return new Map([...entry, ['count', BigInt(Number(entry.get('count')))]]);
}

function isAt(entry: FieldTable, queue: string, reason: DeadLetterReason): boolean {
  return entry.get('queue') === queue && entry.get('reason') === reason;
}

function deathsOf(headers: FieldTable): FieldTable[] {
  return listOf(headers.get(DEATHS)).filter((entry): entry is FieldTable => entry instanceof Map);
}

function stringsOf(value: FieldValue | undefined): string[] {
  return listOf(value).filter((item) => typeof item === 'string');
}

function listOf(value: FieldValue | undefined): readonly FieldValue[] {
  return Array.isArray(value) ? (value as readonly FieldValue[]) : [];
}

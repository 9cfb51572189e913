/** How policies are set: options in camel case, as for queues, and the settings that they become. */
import type { FieldTable } from '../../src/messages/field-value.ts';
import { type HeadersInput, toFieldTable } from './field-values.ts';
import { type QueueArgumentOptions, queueArgumentName } from './queue-options.ts';

/** What a policy is for. */
export type PolicyScope = 'all' | 'queues' | 'exchanges' | 'classic_queues' | 'quorum_queues' | 'streams';

/** Options of queues that are for policies too. */
const SETTINGS = [
  'messageTtlMs',
  'expiresMs',
  'maxLength',
  'maxLengthBytes',
  'overflow',
  'deadLetterExchange',
  'deadLetterRoutingKey',
  'deadLetterStrategy',
  'deliveryLimit',
  'consumerTimeoutMs',
  'delayedRetryType',
  'delayedRetryMinMs',
  'delayedRetryMaxMs',
  'maxAge',
] as const satisfies ReadonlyArray<keyof QueueArgumentOptions>;

/** At least one setting is needed. Where a queue has such an argument itself, docs/routing.md says which wins. */
export interface PolicyOptions extends Pick<QueueArgumentOptions, (typeof SETTINGS)[number]> {
  /** A regular expression, searched for in names: '^orders' for those that begin so. */
  readonly pattern: string;
  /** Default 'all': queues and exchanges. */
  readonly applyTo?: PolicyScope | undefined;
  /** Of the policies that match, only the one with the highest applies. Default 0. */
  readonly priority?: number | undefined;
  /** Of exchanges: takes what they route nowhere. */
  readonly alternateExchange?: string | undefined;
  /** Further settings, by RabbitMQ's names. */
  readonly definition?: HeadersInput | undefined;
}

export function policyDefinition(options: PolicyOptions): FieldTable {
  const table = new Map(toFieldTable(options.definition ?? {}));
  for (const option of SETTINGS) {
    const value = options[option];
    // A setting has the name of the argument without its "x-".
    if (value !== undefined) table.set(queueArgumentName(option).slice('x-'.length), value);
  }
  if (options.alternateExchange !== undefined) table.set('alternate-exchange', options.alternateExchange);
  return table;
}

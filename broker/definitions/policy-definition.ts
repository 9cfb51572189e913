/**
 * A policy: settings for all queues or exchanges whose name matches a pattern. The value under
 * `amqp/policies/<virtual host id>/<name>`:
 *
 *     {"format":1, "pattern":"^orders", "applyTo":"queues", "priority":0, "arguments":{"message-ttl":1000}}
 *
 * One policy applies to a queue or exchange: the one with the highest priority of those that match; of several with one
 * priority the first by name.
 */
import { didYouMean } from '../../src/closest-name.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { FieldTable, FieldValue } from '../../src/messages/field-value.ts';
import { checkAmqpName } from '../../src/names.ts';
import { compilePattern, type Pattern } from './policy-pattern.ts';
import { QUEUE_ARGUMENTS, takes } from './queue-arguments.ts';
import { queueTypeOf } from './queue-settings.ts';
import { decodeStored, encodeStored } from './stored-definition.ts';

export const POLICY_SCOPES = ['all', 'queues', 'exchanges', 'classic_queues', 'quorum_queues', 'streams'] as const;

export interface PolicyDefinition {
  readonly name: string;
  /** A regular expression; see `policy-pattern.ts` for which. */
  readonly pattern: string;
  readonly applyTo: (typeof POLICY_SCOPES)[number];
  readonly priority: number;
  /** By RabbitMQ's policy keys, "message-ttl" for example. Not empty. */
  readonly definition: FieldTable;
}

/** What a client declares. The scope is checked. */
export interface PolicyDeclaration extends Omit<PolicyDefinition, 'applyTo'> {
  readonly applyTo: string;
}

const ALTERNATE_EXCHANGE = 'alternate-exchange';

/** Throws INVALID_NAME or INVALID_ARGUMENT unless the policy can be one. */
export function checkPolicy(policy: PolicyDeclaration): asserts policy is PolicyDefinition {
  const { name, applyTo, priority, definition } = policy;
  checkAmqpName(name, 'policy');
  if (name === '') throw invalid('A policy needs a name.');
  compilePattern(policy.pattern);
  if (!POLICY_SCOPES.some((scope) => scope === applyTo)) {
    throw invalid(`apply-to '${applyTo}' unrecognised; should be one of ${POLICY_SCOPES.join(', ')}`);
  }
  if (!Number.isSafeInteger(priority)) throw invalid('The priority of a policy is a whole number.');
  if (definition.size === 0) throw invalid('A policy needs at least one setting.');
  for (const [key, value] of definition) checkSetting(key, value);
}

function checkSetting(key: string, value: FieldValue): void {
  if (key === ALTERNATE_EXCHANGE) {
    if (typeof value !== 'string') throw invalid(`${key} must be the name of an exchange.`);
    checkAmqpName(value, 'alternate exchange');
    return;
  }
  const argument = QUEUE_ARGUMENTS.get(key);
  if (argument?.merge === undefined) {
    const known = [...QUEUE_ARGUMENTS.values()].filter(({ merge }) => merge !== undefined).map((row) => row.name);
    const hint = didYouMean(key, [...known, ALTERNATE_EXCHANGE]);
    throw invalid(`${JSON.stringify(key)} is not a recognised policy setting.${hint}`);
  }
  const parsed = argument.parse(value);
  if ('problem' in parsed) throw invalid(`invalid value for policy setting '${key}': ${parsed.problem}`);
}

/** The policies of a virtual host, in the order in which they are tried. */
export class PolicySet {
  readonly #policies = new Map<string, PolicyDefinition>();
  #ranked: ReadonlyArray<{ readonly policy: PolicyDefinition; readonly pattern: Pattern }> | undefined;

  set(policy: PolicyDefinition): void {
    this.#policies.set(policy.name, policy);
    this.#ranked = undefined;
  }

  delete(name: string): void {
    this.#policies.delete(name);
    this.#ranked = undefined;
  }

  get(name: string): PolicyDefinition | undefined {
    return this.#policies.get(name);
  }

  get count(): number {
    return this.#policies.size;
  }

  all(): IterableIterator<PolicyDefinition> {
    return this.#policies.values();
  }

  /** A policy that sets something which the queue's type does not have does not apply to it at all, as in RabbitMQ. */
  forQueue(name: string, queueArguments: FieldTable): PolicyDefinition | undefined {
    const type = queueTypeOf(queueArguments);
    const scopes = ['all', 'queues', type === 'stream' ? 'streams' : `${type}_queues`];
    return this.#first(
      name,
      ({ applyTo, definition }) => scopes.includes(applyTo) && fits(definition, type === 'stream'),
    );
  }

  forExchange(name: string): PolicyDefinition | undefined {
    return this.#first(name, ({ applyTo }) => applyTo === 'all' || applyTo === 'exchanges');
  }

  #first(name: string, suits: (policy: PolicyDefinition) => boolean): PolicyDefinition | undefined {
    this.#ranked ??= [...this.#policies.values()]
      .sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1))
      .map((policy) => ({ policy, pattern: compilePattern(policy.pattern) }));
    return this.#ranked.find(({ policy, pattern }) => suits(policy) && pattern.matches(name))?.policy;
  }
}

/** The alternate exchange of an exchange: its own argument before what a policy says. */
export function alternateExchangeOf(
  exchangeArguments: FieldTable,
  policy: PolicyDefinition | undefined,
): string | undefined {
  const name = exchangeArguments.get(ALTERNATE_EXCHANGE) ?? policy?.definition.get(ALTERNATE_EXCHANGE);
  return typeof name === 'string' ? name : undefined;
}

export function encodePolicy({ pattern, applyTo, priority, definition }: PolicyDefinition): string {
  return encodeStored({ pattern, applyTo, priority }, definition);
}

/** @throws BurrowError STORAGE_CORRUPT, DATA_FOLDER_VERSION */
export function decodePolicy(key: string, name: string, value: string): PolicyDefinition {
  return decodeStored(key, value, ({ pattern, applyTo, priority }, definition) => {
    const policy: PolicyDeclaration = {
      name,
      pattern: String(pattern),
      applyTo: String(applyTo),
      priority: priority as number,
      definition,
    };
    checkPolicy(policy);
    return policy;
  });
}

function fits(definition: FieldTable, stream: boolean): boolean {
  for (const key of definition.keys()) {
    const argument = QUEUE_ARGUMENTS.get(key);
    if (argument !== undefined && !takes(argument, stream)) return false;
  }
  return true;
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}

/** A user in memory, as of its last change: what it may do. Never changes; a change makes another one. */
import { compilePattern, type Pattern } from '../definitions/policy-pattern.ts';
import type { Permissions, UserDefinition } from './user-definition.ts';

export type Operation = keyof Permissions;

/** RabbitMQ's name for the default exchange where permissions are asked for (rabbit_access_control). */
const DEFAULT_EXCHANGE = 'amq.default';
const NOTHING: Pattern = { matches: () => false };

/** What a user may do in one virtual host. */
export class Access {
  readonly #patterns: Readonly<Record<Operation, Pattern>>;

  constructor(permissions: Permissions) {
    const compile = (pattern: string): Pattern => (pattern === '' ? NOTHING : compilePattern(pattern));
    this.#patterns = {
      configure: compile(permissions.configure),
      write: compile(permissions.write),
      read: compile(permissions.read),
    };
  }

  allows(operation: Operation, name: string): boolean {
    return this.#patterns[operation].matches(name === '' ? DEFAULT_EXCHANGE : name);
  }
}

export class User {
  readonly definition: UserDefinition;
  /** Another one of the same name has another. */
  readonly incarnation: number;
  readonly #access = new Map<number, Access>();

  constructor(definition: UserDefinition, incarnation: number) {
    this.definition = definition;
    this.incarnation = incarnation;
    for (const permissions of definition.permissions) {
      this.#access.set(permissions.virtualHostId, new Access(permissions));
    }
  }

  get name(): string {
    return this.definition.name;
  }

  hasTag(tag: string): boolean {
    return this.definition.tags.includes(tag);
  }

  /** Undefined: it may not even enter the virtual host. */
  accessTo(virtualHostId: number): Access | undefined {
    return this.#access.get(virtualHostId);
  }
}

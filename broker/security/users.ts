/**
 * The users of a broker: kept in the coordinator, mirrored in memory. Who may call what is the business of `access-control.ts`.
 *
 * While there are no users, nobody need log in (from this machine). So the first one must be an administrator, and the last administrator
 * cannot go while there are others: nobody could manage users any more.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Coordinator, CoordinatorEntry } from '../coordinator/coordinator.ts';
import { CoordinatorMirror } from '../coordinator/mirror.ts';
import type { Clock } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { PasswordHasher, ScryptCost } from '../ports/password-hasher.ts';
import type { Random } from '../ports/random.ts';
import { PasswordCheck } from './password-check.ts';
import { User } from './user.ts';
import {
  checkPassword,
  checkPermissions,
  checkTags,
  checkUserName,
  decodeUser,
  encodeUser,
  type Permissions,
  type UserDefinition,
  type VirtualHostPermissions,
} from './user-definition.ts';
import type { NewUser, UserDescription, UserService } from './user-service.ts';

export interface UsersOptions {
  readonly coordinator: Coordinator;
  readonly hasher: PasswordHasher;
  readonly random: Random;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly usersMax: number;
  /** Logins whose password waits to be checked. */
  readonly loginsWaitingMax: number;
  /** The id of a virtual host, or undefined if there is none of this name. */
  readonly virtualHostId: (name: string) => number | undefined;
  readonly passwordCost?: ScryptCost;
}

export const ADMINISTRATOR = 'administrator';
const PREFIX = 'security/users/';

export class Users implements UserService {
  readonly #options: UsersOptions;
  readonly #passwords: PasswordCheck;
  readonly #users = new Map<string, User>();
  #mirror!: CoordinatorMirror;
  /** Changes are decided one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  /** Counts changes, so that what was decided can be kept until the next. */
  version = 0;
  /** Told of every change, once it is durable. */
  onChanged: () => void = () => {};

  static async open(options: UsersOptions): Promise<Users> {
    const users = new Users(options);
    const { coordinator, logger } = options;
    users.#mirror = await CoordinatorMirror.open({
      coordinator,
      prefix: PREFIX,
      apply: (set, removed) => users.#apply(set, removed),
      // What is known is served on; the mirror has logged it.
      onFailure: () => {},
      logger,
    });
    return users;
  }

  /** @internal Use {@link Users.open}. */
  constructor(options: UsersOptions) {
    this.#options = options;
    const { hasher, random, loginsWaitingMax, passwordCost } = options;
    this.#passwords = new PasswordCheck({ hasher, random, waitingMax: loginsWaitingMax, cost: passwordCost });
  }

  get isEmpty(): boolean {
    return this.#users.size === 0;
  }

  get(name: string): User | undefined {
    return this.#users.get(name);
  }

  /** The user, if the password is right; at once if it was before. Takes as long if there is no such user. @throws BurrowError LOGIN_LIMIT */
  withPassword(name: string, password: string): User | undefined | Promise<User | undefined> {
    const user = this.#users.get(name);
    const isRight = this.#passwords.isRight(password, user?.definition.password);
    if (typeof isRight === 'boolean') return isRight ? user : undefined;
    return isRight.then((wasRight) => {
      // It may have changed meanwhile.
      const now = this.#users.get(name);
      return wasRight && now?.incarnation === user?.incarnation && isSameHash(now, user) ? now : undefined;
    });
  }

  list(): readonly UserDescription[] {
    return Array.from(this.#users.values(), ({ definition }) => ({
      name: definition.name,
      tags: definition.tags,
      hasPassword: definition.password !== undefined,
      permissions: this.#valid(definition.permissions),
    }));
  }

  async add({ name, password, tags = [] }: NewUser): Promise<void> {
    checkUserName(name);
    if (password !== undefined) checkPassword(password);
    checkTags(tags);
    const hash = password === undefined ? undefined : await this.#passwords.hash(password);
    await this.#alone(async () => {
      if (this.#users.has(name)) throw new BurrowError('ALREADY_EXISTS', `There is a user '${name}' already.`);
      if (this.isEmpty && (!tags.includes(ADMINISTRATOR) || password === undefined)) {
        throw invalid(
          `The first user must have a password and the tag ${ADMINISTRATOR}: afterwards only such a user can manage users.`,
        );
      }
      const { usersMax, clock } = this.#options;
      if (this.#users.size >= usersMax) {
        throw new BurrowError('USER_LIMIT', `There are ${usersMax} users, as many as there may be (users-max).`);
      }
      await this.#store({ name, createdAtMs: clock.now(), tags, password: hash, permissions: [] });
    });
  }

  delete(name: string): Promise<void> {
    return this.#alone(async () => {
      const { definition } = this.#require(name);
      if (this.#users.size > 1) this.#checkOtherAdministrator(definition, []);
      const key = PREFIX + name;
      await this.#commit({ if: [{ key, revision: this.#mirror.revisionOf(key) }], remove: [key] });
    });
  }

  async setPassword(name: string, password: string | undefined): Promise<void> {
    if (password !== undefined) checkPassword(password);
    this.#require(name);
    const hash = password === undefined ? undefined : await this.#passwords.hash(password);
    await this.#change(name, (definition) => {
      if (hash === undefined) this.#checkOtherAdministrator(definition, []);
      return { ...definition, password: hash };
    });
  }

  async setTags(name: string, tags: readonly string[]): Promise<void> {
    checkTags(tags);
    await this.#change(name, (definition) => {
      this.#checkOtherAdministrator(definition, tags);
      return { ...definition, tags };
    });
  }

  async setPermissions(name: string, virtualHost: string, permissions: Permissions): Promise<void> {
    checkPermissions(permissions);
    const { configure, write, read } = permissions;
    await this.#change(name, (definition) => {
      const virtualHostId = this.#options.virtualHostId(virtualHost);
      if (virtualHostId === undefined) throw new BurrowError('VHOST_NOT_FOUND', `vhost '${virtualHost}' not found`);
      const others = this.#valid(definition.permissions).filter((each) => each.virtualHost !== virtualHost);
      return { ...definition, permissions: [...others, { virtualHost, virtualHostId, configure, write, read }] };
    });
  }

  async deletePermissions(name: string, virtualHost: string): Promise<void> {
    await this.#change(name, (definition) => ({
      ...definition,
      permissions: this.#valid(definition.permissions).filter((each) => each.virtualHost !== virtualHost),
    }));
  }

  /** The coordinator stays open. */
  close(): void {
    this.#mirror.close();
  }

  /** Those for virtual hosts that are still the same. */
  #valid(permissions: readonly VirtualHostPermissions[]): readonly VirtualHostPermissions[] {
    return permissions.filter(
      ({ virtualHost, virtualHostId }) => this.#options.virtualHostId(virtualHost) === virtualHostId,
    );
  }

  /** Refuses to take the tag, or the password, away from the last user who can manage users. */
  #checkOtherAdministrator({ name, tags }: UserDefinition, newTags: readonly string[]): void {
    if (!tags.includes(ADMINISTRATOR) || newTags.includes(ADMINISTRATOR)) return;
    for (const user of this.#users.values()) {
      if (user.name !== name && user.hasTag(ADMINISTRATOR) && user.definition.password !== undefined) return;
    }
    throw invalid(`'${name}' is the last ${ADMINISTRATOR}; without one nobody could manage users.`);
  }

  #require(name: string): User {
    const user = this.#users.get(name);
    if (user === undefined) throw new BurrowError('USER_NOT_FOUND', `There is no user '${name}'.`);
    return user;
  }

  #change(name: string, edit: (definition: UserDefinition) => UserDefinition): Promise<void> {
    return this.#alone(() => this.#store(edit(this.#require(name).definition)));
  }

  #store(definition: UserDefinition): Promise<void> {
    const key = PREFIX + definition.name;
    return this.#commit({
      if: [{ key, revision: this.#mirror.revisionOf(key) }],
      set: [{ key, value: encodeUser(definition) }],
    });
  }

  async #commit(transaction: Parameters<CoordinatorMirror['transaction']>[0]): Promise<void> {
    if ((await this.#mirror.transaction(transaction)) !== undefined) return;
    throw new BurrowError('CONFLICT', 'The user was changed by somebody else at the same time.');
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  #apply(set: readonly CoordinatorEntry[], removed: readonly string[]): void {
    const changed = set.map(({ key, value, createRevision }) => {
      const name = key.slice(PREFIX.length);
      const user = new User(decodeUser(key, name, value), createRevision);
      const before = this.#users.get(name);
      // The very object, as which its password is known.
      return before !== undefined && isSameHash(user, before)
        ? new User({ ...user.definition, password: before.definition.password }, createRevision)
        : user;
    });
    for (const key of removed) this.#users.delete(key.slice(PREFIX.length));
    for (const user of changed) this.#users.set(user.name, user);
    this.version++;
    this.onChanged();
  }
}

function isSameHash(one: User | undefined, other: User | undefined): boolean {
  const [a, b] = [one?.definition.password, other?.definition.password];
  return (
    a !== undefined && b !== undefined && Buffer.compare(a.salt, b.salt) === 0 && Buffer.compare(a.hash, b.hash) === 0
  );
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}

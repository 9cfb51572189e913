/**
 * Who a connection speaks for, and what that one may do. The model is RabbitMQ's: a user enters the virtual hosts it has permissions for, and
 * there may configure, write to and read from what matches its patterns; tags are for what belongs to no virtual host.
 *
 * While there are no users at all, everybody on this machine is let in and may do everything, as `guest` with password `guest` where a protocol
 * wants a login. That ends with the first user, also for connections that are open.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import type { Access, Operation, User } from './user.ts';
import { ADMINISTRATOR, type Users } from './users.ts';

/** Who a connection has logged in as. */
export interface Identity {
  readonly name: string;
  /** Of the user; 0 for everybody, while there are no users. */
  readonly incarnation: number;
}

export interface AccessControlOptions {
  readonly users: Users;
  /** Without users, let in others than those on this machine, too: somebody else guards the network. */
  readonly allowInsecure: boolean;
}

export interface VirtualHostRef {
  readonly name: string;
  readonly id: number;
}

export type ResourceKind = 'exchange' | 'queue' | 'topic' | 'group';

/** RabbitMQ's default user; as there (loopback_users), it logs in from this machine only, whatever its password. */
const GUEST = 'guest';

export class AccessControl {
  readonly #users: Users;
  readonly #allowInsecure: boolean;
  readonly #watchers = new Map<Identity, Set<(error: BurrowError) => void>>();

  constructor({ users, allowInsecure }: AccessControlOptions) {
    this.#users = users;
    this.#allowInsecure = allowInsecure;
    users.onChanged = () => this.#onChanged();
  }

  /** Changes with every change of users: what was decided before may be wrong then. */
  get version(): number {
    return this.#users.version;
  }

  /** Without a login; undefined if one is needed. */
  withoutLogin(isLoopback: boolean): Identity | undefined {
    return this.#users.isEmpty && (isLoopback || this.#allowInsecure) ? { name: GUEST, incarnation: 0 } : undefined;
  }

  /** Undefined if the login is refused. @throws BurrowError LOGIN_LIMIT */
  withPassword(
    name: string,
    password: string,
    isLoopback: boolean,
  ): Identity | undefined | Promise<Identity | undefined> {
    if (this.#users.isEmpty) {
      return name === GUEST && password === GUEST ? this.withoutLogin(isLoopback) : undefined;
    }
    if (name === GUEST && !isLoopback) return undefined;
    const found = this.#users.withPassword(name, password);
    return found instanceof Promise ? found.then(identityOf) : identityOf(found);
  }

  /** Whom an authority has given a certificate for this name. */
  withCertificate(name: string): Identity | undefined {
    return identityOf(this.#users.get(name));
  }

  /** Calls back once when the identity does not hold any more. Returns what ends that. */
  watch(identity: Identity, onRevoked: (error: BurrowError) => void): () => void {
    const watchers = this.#watchers.get(identity) ?? new Set();
    this.#watchers.set(identity, watchers);
    watchers.add(onRevoked);
    return () => {
      watchers.delete(onRevoked);
      if (watchers.size === 0) this.#watchers.delete(identity);
    };
  }

  /** @throws BurrowError LOGIN_REVOKED */
  checkIdentity(identity: Identity): void {
    this.#userOf(identity);
  }

  /** @throws BurrowError NOT_AUTHORIZED unless the user has one of these tags, or administrator */
  checkTag(identity: Identity, ...tags: readonly string[]): void {
    const user = this.#userOf(identity);
    if (user === 'anybody' || [ADMINISTRATOR, ...tags].some((tag) => user.hasTag(tag))) return;
    const wanted = [...tags, ADMINISTRATOR].join(' or ');
    throw new BurrowError('NOT_AUTHORIZED', `This needs the tag ${wanted}, which user '${identity.name}' has not.`);
  }

  /** What it may do there; `anything` while there are no users. @throws BurrowError VHOST_ACCESS_REFUSED, LOGIN_REVOKED */
  accessTo(identity: Identity, virtualHost: VirtualHostRef): Access | 'anything' {
    const user = this.#userOf(identity);
    if (user === 'anybody') return 'anything';
    const access = user.accessTo(virtualHost.id);
    if (access !== undefined) return access;
    throw new BurrowError(
      'VHOST_ACCESS_REFUSED',
      `access to vhost '${virtualHost.name}' refused for user '${identity.name}'`,
    );
  }

  /** @throws BurrowError NOT_AUTHORIZED, VHOST_ACCESS_REFUSED, LOGIN_REVOKED */
  check(identity: Identity, virtualHost: VirtualHostRef, operation: Operation, kind: ResourceKind, name: string): void {
    const access = this.accessTo(identity, virtualHost);
    if (access === 'anything' || access.allows(operation, name)) return;
    // RabbitMQ's words (rabbit_access_control).
    const resource = kind === 'exchange' && name === '' ? 'default exchange' : `${kind} '${name}'`;
    throw new BurrowError(
      'NOT_AUTHORIZED',
      `${operation} access to ${resource} in vhost '${virtualHost.name}' refused for user '${identity.name}'`,
    );
  }

  #userOf(identity: Identity): User | 'anybody' {
    if (identity.incarnation === 0) {
      if (this.#users.isEmpty) return 'anybody';
    } else {
      const user = this.#users.get(identity.name);
      if (user?.incarnation === identity.incarnation) return user;
    }
    throw revoked(identity);
  }

  #onChanged(): void {
    for (const [identity, watchers] of [...this.#watchers]) {
      try {
        this.#userOf(identity);
      } catch {
        this.#watchers.delete(identity);
        for (const onRevoked of watchers) onRevoked(revoked(identity));
      }
    }
  }
}

function identityOf(user: User | undefined): Identity | undefined {
  return user && { name: user.name, incarnation: user.incarnation };
}

function revoked({ name, incarnation }: Identity): BurrowError {
  const why = incarnation === 0 ? 'there are users now, and one has to log in' : `user '${name}' was deleted`;
  return new BurrowError('LOGIN_REVOKED', why);
}

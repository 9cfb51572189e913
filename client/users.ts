/** Users of a broker and what they may do, for administrators. */
import { BurrowError } from '../src/errors/burrow-error.ts';
import { entryError } from '../src/protocol/frame.ts';
import type { Connection } from './connection.ts';

/** Patterns of names of exchanges and queues: regular expressions that are searched for, so mostly with ^ and $. Empty matches nothing. */
export interface UserPermissions {
  /** What may be created and deleted. */
  readonly configure: string;
  /** What may be published to, or bound as a destination. */
  readonly write: string;
  /** What may be consumed from, or bound as a source. */
  readonly read: string;
}

export interface UserInfo {
  readonly name: string;
  readonly tags: readonly string[];
  /** Without one it logs in with a certificate. */
  readonly hasPassword: boolean;
  readonly permissions: ReadonlyArray<UserPermissions & { readonly virtualHost: string }>;
}

export interface NewUser {
  /** Left out: it logs in with a certificate only. */
  readonly password?: string;
  /** `administrator` manages users and virtual hosts, `policymaker` policies. Default: none. */
  readonly tags?: readonly string[];
}

interface Result {
  readonly errorNumber: number;
  readonly message: string | null;
}

const PAGE_ENTRIES = 10_000;

export class UserAdmin {
  readonly #connection: Connection;
  readonly #timeoutMs: number;

  /** @internal Use `client.users()`. */
  constructor({ connection, timeoutMs }: { readonly connection: Connection; readonly timeoutMs: number }) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * A new user may enter no virtual host yet. The first one must have a password and the tag administrator; from then on everybody must log in,
   * and connections that have not are closed. Rejects with ALREADY_EXISTS, INVALID_NAME, INVALID_ARGUMENT, USER_LIMIT, NOT_AUTHORIZED.
   */
  async add(name: string, { password, tags = [] }: NewUser = {}): Promise<void> {
    const users = [{ name, password: password ?? null, tags: [...tags] }];
    only((await this.#connection.request('addUsers', { users }, this.#timeoutMs)).users);
  }

  /** Its connections are closed. Rejects with USER_NOT_FOUND, or INVALID_ARGUMENT for the last administrator. */
  async delete(name: string): Promise<void> {
    only((await this.#connection.request('deleteUsers', { names: [name] }, this.#timeoutMs)).users);
  }

  /** Connections that are open stay so. Without a password it logs in with a certificate only. Rejects with USER_NOT_FOUND, INVALID_ARGUMENT. */
  async setPassword(name: string, password: string | undefined): Promise<void> {
    const users = [{ name, password: password ?? null }];
    only((await this.#connection.request('setPasswords', { users }, this.#timeoutMs)).users);
  }

  /** They replace those that it has. Rejects with USER_NOT_FOUND, INVALID_ARGUMENT. */
  async setTags(name: string, tags: readonly string[]): Promise<void> {
    const users = [{ name, tags: [...tags] }];
    only((await this.#connection.request('setUserTags', { users }, this.#timeoutMs)).users);
  }

  /** They count at once. Rejects with USER_NOT_FOUND, VHOST_NOT_FOUND, INVALID_ARGUMENT for a pattern that makes no sense. */
  async setPermissions(user: string, virtualHost: string, permissions: UserPermissions): Promise<void> {
    const { configure, write, read } = permissions;
    const request = { permissions: [{ user, virtualHost, configure, write, read }] };
    only((await this.#connection.request('setPermissions', request, this.#timeoutMs)).permissions);
  }

  /** Shuts the user out of the virtual host. Rejects with USER_NOT_FOUND. */
  async deletePermissions(user: string, virtualHost: string): Promise<void> {
    const request = { permissions: [{ user, virtualHost }] };
    only((await this.#connection.request('deletePermissions', request, this.#timeoutMs)).permissions);
  }

  async list(): Promise<UserInfo[]> {
    const all: UserInfo[] = [];
    for (;;) {
      const page = { skip: all.length, limit: PAGE_ENTRIES };
      const { users } = await this.#connection.request('listUsers', page, this.#timeoutMs);
      if (users.length === 0) return all;
      all.push(...users);
    }
  }
}

function only(entries: readonly Result[]): void {
  const [entry] = entries;
  if (entry === undefined) throw new BurrowError('MALFORMED_FRAME', 'The broker answered without an entry.');
  const error = entryError(entry);
  if (error !== undefined) throw error;
}

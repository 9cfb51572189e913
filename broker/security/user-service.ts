/** What may be asked about users: the face of `users.ts`, free of any protocol. All failures are BurrowErrors. */
import type { Permissions } from './user-definition.ts';

export interface NewUser {
  readonly name: string;
  /** Undefined: it can log in with a certificate only. */
  readonly password?: string | undefined;
  readonly tags?: readonly string[];
}

export interface UserDescription {
  readonly name: string;
  readonly tags: readonly string[];
  readonly hasPassword: boolean;
  readonly permissions: ReadonlyArray<Permissions & { readonly virtualHost: string }>;
}

export interface UserService {
  /** A new user may enter no virtual host yet. @throws BurrowError ALREADY_EXISTS, INVALID_NAME, INVALID_ARGUMENT, USER_LIMIT */
  add(user: NewUser): Promise<void>;
  /** Its connections are closed. @throws BurrowError USER_NOT_FOUND, INVALID_ARGUMENT for the last administrator */
  delete(name: string): Promise<void>;
  /** Connections that are open stay so. @throws BurrowError USER_NOT_FOUND, INVALID_ARGUMENT */
  setPassword(name: string, password: string | undefined): Promise<void>;
  /** @throws BurrowError USER_NOT_FOUND, INVALID_ARGUMENT */
  setTags(name: string, tags: readonly string[]): Promise<void>;
  /** For one virtual host; they replace what was there, and count at once. @throws BurrowError USER_NOT_FOUND, VHOST_NOT_FOUND, INVALID_ARGUMENT */
  setPermissions(name: string, virtualHost: string, permissions: Permissions): Promise<void>;
  /** Nothing if it has none there. @throws BurrowError USER_NOT_FOUND */
  deletePermissions(name: string, virtualHost: string): Promise<void>;
  list(): readonly UserDescription[];
}

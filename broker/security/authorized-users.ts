/** Users as one of them may manage them: administrators only. */
import type { AccessControl, Identity } from './access-control.ts';
import type { Permissions } from './user-definition.ts';
import type { NewUser, UserDescription, UserService } from './user-service.ts';

export class AuthorizedUsers implements UserService {
  readonly #users: UserService;
  readonly #control: AccessControl;
  readonly #identity: Identity;

  constructor(users: UserService, control: AccessControl, identity: Identity) {
    this.#users = users;
    this.#control = control;
    this.#identity = identity;
  }

  async add(user: NewUser): Promise<void> {
    this.#check();
    await this.#users.add(user);
  }

  async delete(name: string): Promise<void> {
    this.#check();
    await this.#users.delete(name);
  }

  async setPassword(name: string, password: string | undefined): Promise<void> {
    this.#check();
    await this.#users.setPassword(name, password);
  }

  async setTags(name: string, tags: readonly string[]): Promise<void> {
    this.#check();
    await this.#users.setTags(name, tags);
  }

  async setPermissions(name: string, virtualHost: string, permissions: Permissions): Promise<void> {
    this.#check();
    await this.#users.setPermissions(name, virtualHost, permissions);
  }

  async deletePermissions(name: string, virtualHost: string): Promise<void> {
    this.#check();
    await this.#users.deletePermissions(name, virtualHost);
  }

  list(): readonly UserDescription[] {
    this.#check();
    return this.#users.list();
  }

  #check(): void {
    this.#control.checkTag(this.#identity);
  }
}

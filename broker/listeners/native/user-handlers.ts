/** Translates native requests about users and permissions. What fails, fails per entry. Nothing here reads a password or its hash. */
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import type { UserService } from '../../security/user-service.ts';
import { type Handler, type HandlerContext, inOrder, namedEntry, pageOf, plainEntry } from './handler.ts';

type UserMessage =
  | 'addUsers'
  | 'deleteUsers'
  | 'listUsers'
  | 'setPasswords'
  | 'setUserTags'
  | 'setPermissions'
  | 'deletePermissions';

export const userHandlers: { readonly [N in UserMessage]: Handler<N> } = {
  async addUsers(context, { users }) {
    const service = serviceOf(context);
    const added = await inOrder(users, ({ name, password, tags }) =>
      namedEntry(name, () => service.add({ name, password: password ?? undefined, tags })),
    );
    return { users: added };
  },

  async deleteUsers(context, { names }) {
    const service = serviceOf(context);
    return { users: await inOrder(names, (name) => namedEntry(name, () => service.delete(name))) };
  },

  listUsers(context, page) {
    return { users: pageOf(serviceOf(context).list(), page, context.limits.listedEntriesMax) };
  },

  async setPasswords(context, { users }) {
    const service = serviceOf(context);
    const set = await inOrder(users, ({ name, password }) =>
      namedEntry(name, () => service.setPassword(name, password ?? undefined)),
    );
    return { users: set };
  },

  async setUserTags(context, { users }) {
    const service = serviceOf(context);
    return { users: await inOrder(users, ({ name, tags }) => namedEntry(name, () => service.setTags(name, tags))) };
  },

  async setPermissions(context, { permissions }) {
    const service = serviceOf(context);
    const set = await inOrder(permissions, ({ user, virtualHost, ...patterns }) =>
      plainEntry(() => service.setPermissions(user, virtualHost, patterns)),
    );
    return { permissions: set };
  },

  async deletePermissions(context, { permissions }) {
    const service = serviceOf(context);
    const deleted = await inOrder(permissions, ({ user, virtualHost }) =>
      plainEntry(() => service.deletePermissions(user, virtualHost)),
    );
    return { permissions: deleted };
  },
};

function serviceOf({ users }: HandlerContext): UserService {
  if (users === undefined) throw new BurrowError('NOT_IMPLEMENTED', 'This broker has no users.');
  return users;
}

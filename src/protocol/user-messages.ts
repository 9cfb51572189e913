/** Messages of the native protocol about users and permissions: 65–71. */
import { define, entries, name, named, page, result, text } from './message-parts.ts';
import { bool, nullable, struct } from './schema.ts';

/** Patterns of names: what a user may configure, write to and read from. */
const permissions = { configure: name, write: name, read: name };

export const USER_MESSAGES = {
  addUsers: define(
    65,
    struct({ users: entries(struct({ name, password: nullable(text), tags: entries(name) })) }),
    struct({ users: entries(named) }),
  ),
  deleteUsers: define(66, struct({ names: entries(name) }), struct({ users: entries(named) })),
  listUsers: define(
    67,
    struct(page),
    struct({
      users: entries(
        struct({
          name,
          tags: entries(name),
          hasPassword: bool,
          permissions: entries(struct({ virtualHost: name, ...permissions })),
        }),
      ),
    }),
  ),
  setPasswords: define(
    68,
    struct({ users: entries(struct({ name, password: nullable(text) })) }),
    struct({ users: entries(named) }),
  ),
  setUserTags: define(
    69,
    struct({ users: entries(struct({ name, tags: entries(name) })) }),
    struct({ users: entries(named) }),
  ),
  setPermissions: define(
    70,
    struct({ permissions: entries(struct({ user: name, virtualHost: name, ...permissions })) }),
    struct({ permissions: entries(struct(result)) }),
  ),
  deletePermissions: define(
    71,
    struct({ permissions: entries(struct({ user: name, virtualHost: name })) }),
    struct({ permissions: entries(struct(result)) }),
  ),
} as const;

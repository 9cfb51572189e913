/**
 * A user as the coordinator keeps it, under `security/users/<name>`. The password is there as a salted scrypt hash only; a user without one
 * logs in with a certificate. Permissions are RabbitMQ's: for each virtual host three patterns of names, for what may be configured, written to
 * and read from. They name the id of the virtual host, so that those for a deleted one are not good for its successor of the same name.
 *
 *     {"format":1, "createdAtMs":…, "tags":["administrator"],
 *      "password":{"kind":"scrypt", "n":…, "r":…, "p":…, "salt":"base64", "hash":"base64"},
 *      "permissions":[{"virtualHost":"/", "virtualHostId":…, "configure":".*", "write":".*", "read":".*"}]}
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';
import { compilePattern } from '../definitions/policy-pattern.ts';
import { corrupt, isCount, parseObject } from '../definitions/topic-definition.ts';
import type { ScryptCost } from '../ports/password-hasher.ts';

export interface PasswordHash extends ScryptCost {
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** Patterns of names, as in {@link compilePattern}. Empty matches nothing. */
export interface Permissions {
  readonly configure: string;
  readonly write: string;
  readonly read: string;
}

export interface VirtualHostPermissions extends Permissions {
  readonly virtualHost: string;
  readonly virtualHostId: number;
}

export interface UserDefinition {
  readonly name: string;
  readonly createdAtMs: number;
  /** What besides permissions it may do: see `access-control.ts`. Others are kept for people. */
  readonly tags: readonly string[];
  readonly password: PasswordHash | undefined;
  readonly permissions: readonly VirtualHostPermissions[];
}

const FORMAT = 1;
const NAME_CHARACTERS_MAX = 255;
const PASSWORD_BYTES_MAX = 1024;
const TAGS_MAX = 20;
/** Beyond it a stored cost is taken for damage: deriving a key would take gigabytes. */
const SCRYPT_BYTES_MAX = 1024 ** 3;

/** @throws BurrowError INVALID_NAME */
export function checkUserName(name: string): void {
  const isFit = name.length > 0 && name.length <= NAME_CHARACTERS_MAX && !/[\p{Cc}\p{Cs}]/u.test(name);
  if (isFit) return;
  throw new BurrowError(
    'INVALID_NAME',
    `The name of a user has 1 to ${NAME_CHARACTERS_MAX} characters, none of them a control character.`,
  );
}

/** What it is must not get into the text. @throws BurrowError INVALID_ARGUMENT */
export function checkPassword(password: string): void {
  const bytes = Buffer.byteLength(password);
  // NUL ends a password in SASL PLAIN (RFC 4616).
  if (bytes > 0 && bytes <= PASSWORD_BYTES_MAX && !password.includes('\0')) return;
  throw invalid(`A password has 1 to ${PASSWORD_BYTES_MAX} bytes and no NUL.`);
}

/** @throws BurrowError INVALID_ARGUMENT */
export function checkTags(tags: readonly string[]): void {
  const isFit = tags.length <= TAGS_MAX && tags.every((tag) => /^[\w.:-]{1,255}$/.test(tag));
  if (!isFit) throw invalid(`A user has at most ${TAGS_MAX} tags, of letters, digits and the characters _ . : -`);
}

/** @throws BurrowError INVALID_ARGUMENT */
export function checkPermissions({ configure, write, read }: Permissions): void {
  for (const pattern of [configure, write, read]) compilePattern(pattern);
}

export function encodeUser({ createdAtMs, tags, password, permissions }: UserDefinition): string {
  return JSON.stringify({
    format: FORMAT,
    createdAtMs,
    tags,
    ...(password === undefined ? {} : { password: encodePassword(password) }),
    permissions,
  });
}

function encodePassword({ n, r, p, salt, hash }: PasswordHash) {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return { kind: 'scrypt', n, r, p, salt: base64(salt), hash: base64(hash) };
}

/** @throws BurrowError STORAGE_CORRUPT, DATA_FOLDER_VERSION if a newer version wrote it */
export function decodeUser(key: string, name: string, value: string): UserDefinition {
  const fields = parseObject(value);
  if (fields === undefined) throw corrupt(key, 'is not a JSON object');
  const { format, createdAtMs, tags, password, permissions } = fields;
  if (typeof format === 'number' && format > FORMAT) {
    throw new BurrowError(
      'DATA_FOLDER_VERSION',
      `The stored definition ${JSON.stringify(key)} has format ${format}; this version reads up to ${FORMAT}.`,
    );
  }
  if (format !== FORMAT || !isCount(createdAtMs)) throw corrupt(key, 'has no format or time');
  if (!Array.isArray(tags) || !tags.every((tag) => typeof tag === 'string')) throw corrupt(key, 'has no tags');
  if (!Array.isArray(permissions)) throw corrupt(key, 'has no permissions');
  return {
    name,
    createdAtMs,
    tags,
    password: password === undefined ? undefined : decodePassword(key, password),
    permissions: permissions.map((each) => decodePermissions(key, each)),
  };
}

function decodePassword(key: string, value: unknown): PasswordHash {
  const { kind, n, r, p, salt, hash } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const isFit =
    kind === 'scrypt' &&
    isCount(n) &&
    isCount(r) &&
    isCount(p) &&
    n * r * p * 128 <= SCRYPT_BYTES_MAX &&
    typeof salt === 'string' &&
    typeof hash === 'string';
  if (!isFit) throw corrupt(key, 'has a password of an unknown kind');
  return { n, r, p, salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
}

function decodePermissions(key: string, value: unknown): VirtualHostPermissions {
  const { virtualHost, virtualHostId, configure, write, read } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const texts = [virtualHost, configure, write, read];
  if (!isCount(virtualHostId) || !texts.every((text) => typeof text === 'string')) {
    throw corrupt(key, 'has permissions that cannot be read');
  }
  const permissions = { virtualHost, virtualHostId, configure, write, read } as VirtualHostPermissions;
  try {
    checkPermissions(permissions);
  } catch {
    throw corrupt(key, 'has permissions with a pattern that cannot be read');
  }
  return permissions;
}

function invalid(text: string): BurrowError {
  return new BurrowError('INVALID_ARGUMENT', text);
}

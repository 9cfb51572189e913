/**
 * `etcd://[user[:password]@]host[:port][,host[:port]…]/prefix[?options]`
 *
 *     tls=true              over TLS; implied by ca, cert and key
 *     ca=FILE               certificates (PEM) that are trusted instead of the system's
 *     cert=FILE&key=FILE    our own certificate and key, where etcd asks clients for one
 *     password-file=FILE    the password, where it should not stand in a command line; one line
 *     timeout-ms=5000       how long a request may take
 *
 * User, password and prefix are percent-encoded where needed. The prefix keeps clusters apart that share an etcd: none of
 * its keys is touched outside of it. Default port 2379.
 */
import { BurrowError } from '../../src/errors/burrow-error.ts';

export interface EtcdAddress {
  /** `host:port`, at least one. */
  readonly members: readonly string[];
  /** Of all keys; does not end with `/`. Not empty. */
  readonly prefix: string;
  readonly user?: string;
  readonly password?: string;
  readonly passwordFile?: string;
  readonly tls: boolean;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly timeoutMs?: number;
}

const SHAPE = /^etcd:\/\/(?:(?<login>[^@/?#]*)@)?(?<members>[^@/?#]*)(?:\/(?<prefix>[^?#]*))?(?:\?(?<query>[^#]*))?$/;
const MEMBER = /^(?<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?<port>\d{1,5}))?$/;
const DEFAULT_PORT = 2379;
const TIMEOUT_MS_MIN = 10;
const TIMEOUT_MS_MAX = 600_000;
const OPTIONS = new Set(['tls', 'ca', 'cert', 'key', 'password-file', 'timeout-ms']);

/** @throws BurrowError INVALID_CONFIG, without the password in its text */
export function parseEtcdUrl(url: string): EtcdAddress {
  const groups = SHAPE.exec(url)?.groups;
  if (groups === undefined) throw invalid('it must look like etcd://host:port,host:port/prefix');
  const members = (groups['members'] ?? '').split(',').map(parseMember);
  const prefix = decode(groups['prefix'] ?? '').replace(/\/+$/, '');
  if (prefix === '') throw invalid('it needs a prefix for this cluster’s keys, such as etcd://host:port/burrowmq');
  const options = parseQuery(groups['query'] ?? '');
  const colon = groups['login']?.indexOf(':') ?? -1;
  const login = groups['login'];
  const user = login === undefined ? undefined : decode(colon < 0 ? login : login.slice(0, colon));
  const password = login === undefined || colon < 0 ? undefined : decode(login.slice(colon + 1));
  const passwordFile = options.get('password-file');
  if (user === '') throw invalid('the user is empty');
  if (user === undefined && passwordFile !== undefined) throw invalid('password-file needs a user');
  if (user !== undefined && (password === undefined) === (passwordFile === undefined)) {
    throw invalid('a user needs a password or password-file, and not both');
  }
  const [caFile, certFile, keyFile] = [options.get('ca'), options.get('cert'), options.get('key')];
  if ((certFile === undefined) !== (keyFile === undefined)) throw invalid('cert and key go together');
  const tls = options.get('tls');
  if (tls !== undefined && tls !== 'true' && tls !== 'false') throw invalid('tls is true or false');
  if (tls === 'false' && (caFile ?? certFile) !== undefined) throw invalid('ca, cert and key need TLS');
  const timeoutMs = parseTimeout(options.get('timeout-ms'));
  return {
    members,
    prefix,
    tls: tls === 'true' || (caFile ?? certFile) !== undefined,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(passwordFile === undefined ? {} : { passwordFile }),
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined || keyFile === undefined ? {} : { certFile, keyFile }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

function parseMember(text: string): string {
  const groups = MEMBER.exec(text)?.groups;
  const port = Number(groups?.['port'] ?? DEFAULT_PORT);
  if (groups === undefined || port < 1 || port > 65_535) throw invalid(`${JSON.stringify(text)} is no host:port`);
  return `${groups['host']}:${port}`;
}

function parseQuery(query: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const part of query.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? '' : decode(part.slice(equals + 1));
    if (!OPTIONS.has(name)) throw invalid(`${JSON.stringify(name)} is none of ${[...OPTIONS].join(', ')}`);
    if (value === '') throw invalid(`${name} has no value`);
    if (options.has(name)) throw invalid(`${name} is given twice`);
    options.set(name, value);
  }
  return options;
}

function parseTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const timeoutMs = Number(text);
  if (/^\d{1,7}$/.test(text) && timeoutMs >= TIMEOUT_MS_MIN && timeoutMs <= TIMEOUT_MS_MAX) return timeoutMs;
  throw invalid(`timeout-ms is ${TIMEOUT_MS_MIN} to ${TIMEOUT_MS_MAX}`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('a % in it is not followed by two hexadecimal digits');
  }
}

function invalid(reason: string): BurrowError {
  return new BurrowError('INVALID_CONFIG', `The address of etcd is not valid: ${reason}.`);
}

/**
 * From what was given (flags, BURROW_* variables, a config file, fields of `startBroker`) to checked settings.
 * Precedence: flag, then environment, then file, then default. Reads no file and no environment by itself.
 * Every refusal is INVALID_CONFIG and names the option, where it came from and what is allowed.
 */
import { inspect } from 'node:util';
import { didYouMean } from '../src/closest-name.ts';
import { formatBytes, formatDuration, parseBytes, parseDurationMs } from '../src/duration-and-size.ts';
import { BurrowError } from '../src/errors/burrow-error.ts';
import {
  type BrokerOptions,
  type BrokerSettings,
  camelCaseName,
  environmentName,
  OPTION_TABLE,
  type OptionName,
  type OptionRow,
  type Settings,
} from './options.ts';

export type OptionValue = string | number | boolean | readonly string[] | undefined;

export interface GivenOptions {
  /** By option name; texts, or true for a boolean flag. */
  readonly flags?: ReadonlyMap<string, unknown>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly file?: { readonly path: string; readonly values: ReadonlyMap<string, unknown> } | undefined;
}

export interface ResolvedOptions {
  readonly settings: Settings;
  /** The same by option name. */
  readonly values: ReadonlyMap<OptionName, OptionValue>;
  /** Where each value came from, in words: `--port`, `BURROW_PORT`, `burrow.json`, `default`. */
  readonly sources: ReadonlyMap<OptionName, string>;
  /** What looks like a mistake but may be meant for somebody else. */
  readonly warnings: readonly string[];
}

/** Variables of other parts of BurrowMQ: the address that client commands use, and who logs in. */
const OTHER_VARIABLES = new Set(['BURROW_SERVER', 'BURROW_USER', 'BURROW_PASSWORD']);

export function resolveOptions(given: GivenOptions): ResolvedOptions {
  const values = new Map<OptionName, OptionValue>();
  const sources = new Map<OptionName, string>();
  if (given.file) checkFileKeys(given.file);
  for (const [name, row] of OPTION_TABLE) {
    const flag = given.flags?.get(name);
    const variable = given.environment?.[environmentName(name)];
    const inFile = given.file?.values.get(name);
    if (flag !== undefined) set(name, row, flag, `--${name}`);
    else if (variable !== undefined && variable !== '') set(name, row, variable, environmentName(name));
    else if (inFile !== undefined && given.file) set(name, row, inFile, given.file.path);
    else {
      values.set(name, row.default);
      sources.set(name, 'default');
    }
  }
  const settings = settingsOf(values);
  checkTogether(settings, (name) => sources.get(name) ?? 'default');
  return { settings, values, sources, warnings: unknownVariables(given.environment ?? {}) };

  function set(name: OptionName, row: OptionRow, value: unknown, source: string): void {
    values.set(name, checkOption(name, row, value, source));
    sources.set(name, source);
  }
}

/** Checked settings of an embedded broker. A field that no option has is refused, as is an `undefined` storage. */
export function embeddedSettings(options: BrokerOptions): BrokerSettings {
  const given = new Map<string, unknown>(Object.entries(options));
  const known = new Map<string, readonly [OptionName, OptionRow]>();
  for (const [name, row] of OPTION_TABLE) {
    if (row.scope !== 'command' && name !== 'data-dir') known.set(camelCaseName(name), [name, row]);
  }
  for (const field of given.keys()) {
    if (known.has(field) || field === 'storage' || field === 'logger') continue;
    const hint = didYouMean(field, [...known.keys(), 'storage', 'logger']);
    throw new BurrowError('INVALID_CONFIG', `startBroker has no option "${field}".${hint}`);
  }
  if (typeof options.storage !== 'string' || options.storage === '') {
    throw new BurrowError('INVALID_CONFIG', `startBroker needs storage: 'memory' or the path of a data folder.`);
  }
  const values = new Map<OptionName, OptionValue>([['data-dir', options.storage]]);
  for (const [field, [name, row]] of known) {
    const value = given.get(field);
    const fallback = row.type === 'port' ? row.embedded : row.default;
    values.set(name, value === undefined ? fallback : checkOption(name, row, value, 'startBroker'));
  }
  const settings = settingsOf(values);
  checkTogether(settings, () => 'startBroker');
  return settings;
}

function settingsOf(values: ReadonlyMap<OptionName, OptionValue>): Settings {
  const fields = Array.from(values, ([name, value]) => [camelCaseName(name), value] as const);
  // Each value went through checkOption with its own row, which is what the type says.
  return Object.fromEntries(fields) as unknown as Settings;
}

function checkFileKeys(file: { path: string; values: ReadonlyMap<string, unknown> }): void {
  for (const key of file.values.keys()) {
    if (!OPTION_TABLE.has(key as OptionName)) {
      throw new BurrowError(
        'INVALID_CONFIG',
        `Unknown option "${key}" in ${file.path}.${didYouMean(key, OPTION_TABLE.keys())}`,
      );
    }
    if (key === 'config') throw new BurrowError('INVALID_CONFIG', `"config" in ${file.path} cannot name another file.`);
  }
}

function unknownVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set([...OPTION_TABLE.keys()].map(environmentName));
  return Object.keys(environment)
    .filter((name) => name.startsWith('BURROW_') && !known.has(name) && !OTHER_VARIABLES.has(name))
    .map((name) => `Unknown variable ${name} is ignored.${didYouMean(name, known)}`);
}

/** One value, from text or already typed, as its row wants it; INVALID_CONFIG otherwise. */
export function checkOption(name: OptionName, row: OptionRow, value: unknown, source: string): OptionValue {
  switch (row.type) {
    case 'string':
      if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value;
      break;
    case 'boolean':
      if (typeof value === 'boolean') return value;
      if (value === 'true' || value === 'false') return value === 'true';
      break;
    case 'enum':
      if (typeof value === 'string' && row.choices.includes(value)) return value;
      break;
    case 'list': {
      const items = typeof value === 'string' ? value.split(',').map((item) => item.trim()) : value;
      if (Array.isArray(items) && items.every((item) => typeof item === 'string' && item !== '')) return items;
      break;
    }
    case 'port': {
      const port = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
      if (port === 'off' || (Number.isInteger(port) && Number(port) >= 0 && Number(port) <= 65_535)) {
        return port as number | 'off';
      }
      break;
    }
    default: {
      const number = quantity(name, row, value);
      if (number !== undefined && number >= row.min && number <= row.max) return number;
      if (number === -1 && row.unlimited) return -1;
    }
  }
  // Kubernetes sets NAME_PORT=tcp://… for every service called NAME in the pod's namespace.
  const hint =
    row.type === 'port' && typeof value === 'string' && value.startsWith('tcp://')
      ? ' Kubernetes sets this variable for a service of that name: use enableServiceLinks: false.'
      : '';
  throw new BurrowError(
    'INVALID_CONFIG',
    `Option "${name}" from ${source} is ${printable(value)}; allowed: ${allowedValues(row)}.${hint}`,
    { fields: { option: name, source } },
  );
}

function quantity(
  name: string,
  row: OptionRow & { type: 'integer' | 'duration' | 'bytes' },
  value: unknown,
): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  if (typeof value !== 'string') return undefined;
  if (value === '-1' || (row.unlimited && value === 'unlimited')) return -1;
  if (row.type === 'integer') return /^\d{1,15}$/.test(value) ? Number(value) : undefined;
  try {
    return row.type === 'duration' ? parseDurationMs(value, name) : parseBytes(value, name);
  } catch {
    return undefined;
  }
}

/** What a row allows, in words; also the column "allowed" of docs/configuration.md. */
export function allowedValues(row: OptionRow): string {
  switch (row.type) {
    case 'string':
      return `a ${row.value === 'address' ? 'host name or address' : row.value}`;
    case 'boolean':
      return 'true, false';
    case 'enum':
      return row.choices.join(', ');
    case 'list':
      return 'texts separated by commas';
    case 'port':
      return '0 (a free port) to 65535, off';
    default: {
      const range = `${displayQuantity(row, row.min)} to ${displayQuantity(row, row.max)}`;
      return row.unlimited ? `${range}, unlimited` : range;
    }
  }
}

/** A value as one would write it on a command line; empty for none. */
export function displayValue(row: OptionRow, value: OptionValue): string {
  if (typeof value === 'number' && row.type !== 'port' && 'min' in row) return displayQuantity(row, value);
  // A password in an address is nothing to show.
  const text = String(value ?? '').replace(/(:\/\/[^/@:]*:)[^/@]*@/, '$1…@');
  return Array.isArray(value) ? value.join(',') : text;
}

function displayQuantity(row: OptionRow, value: number): string {
  if (value === -1) return 'unlimited';
  // 285 million years in milliseconds help nobody.
  if (value === Number.MAX_SAFE_INTEGER) return String(value);
  if (row.type === 'duration') return formatDuration(value);
  return row.type === 'bytes' ? formatBytes(value) : String(value);
}

function printable(value: unknown): string {
  const text =
    typeof value === 'string' ? `"${value}"` : inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY });
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Rules that concern more than one option. */
function checkTogether(settings: Settings, sourceOf: (name: OptionName) => string): void {
  const { host } = settings;
  if (!isLoopback(host) && !settings.allowInsecure && settings.kafkaPort !== 'off') {
    throw new BurrowError(
      'INVALID_CONFIG',
      `Option "host" from ${sourceOf('host')} is "${host}", but the Kafka listener does not authenticate its clients: everyone who reaches that address could read and delete all topics. Bind 127.0.0.1, switch it off with --kafka-port off, or add --allow-insecure if a firewall or private network guards it.`,
      { fields: { option: 'host' } },
    );
  }
  checkTls(settings, sourceOf);
  if ((settings.defaultUser === undefined) !== (settings.defaultPasswordFile === undefined)) {
    throw new BurrowError('INVALID_CONFIG', 'Options "default-user" and "default-password-file" need each other.');
  }
  if (isWildcard(host) && settings.advertisedHost === undefined) {
    throw new BurrowError(
      'INVALID_CONFIG',
      `Option "host" from ${sourceOf('host')} is "${host}", which clients cannot connect to: say with --advertised-host under which name they reach this broker.`,
      { fields: { option: 'advertised-host' } },
    );
  }
  const { port, tlsPort, kafkaPort, amqpPort, amqpTlsPort } = settings;
  if ([port, tlsPort, kafkaPort, amqpPort, amqpTlsPort].every((each) => each === 'off')) {
    throw new BurrowError(
      'INVALID_CONFIG',
      'Options "port", "kafka-port", "amqp-port", "tls-port" and "amqp-tls-port" are all off: nobody could connect.',
    );
  }
  atLeast('frame-bytes-max', settings.frameBytesMax, 'max-message-bytes', settings.maxMessageBytes);
  atLeast('kafka-request-bytes-max', settings.kafkaRequestBytesMax, 'max-message-bytes', settings.maxMessageBytes);
  atLeast('unwritten-bytes-max', settings.unwrittenBytesMax, 'max-message-bytes', settings.maxMessageBytes);
  // The journal is used in halves, and the largest batch must fit into one with room for its frame.
  atLeast('journal-bytes', settings.journalBytes, 'max-message-bytes', settings.maxMessageBytes * 2 + KIB);
  atLeast('partitions-max', settings.partitionsMax, 'default-partitions', settings.defaultPartitions);
  atLeast(
    'group-max-session-timeout-ms',
    settings.groupMaxSessionTimeoutMs,
    'group-min-session-timeout-ms',
    settings.groupMinSessionTimeoutMs,
  );

  function atLeast(name: OptionName, value: number, other: OptionName, minimum: number): void {
    if (value >= minimum) return;
    throw new BurrowError(
      'INVALID_CONFIG',
      `Option "${name}" from ${sourceOf(name)} is ${value}, but "${other}" (${sourceOf(other)}) needs at least ${minimum}: raise the first or lower the second.`,
      { fields: { option: name } },
    );
  }
}

const KIB = 1024;

function checkTls(settings: Settings, sourceOf: (name: OptionName) => string): void {
  const { tlsCert, tlsKey, tlsCa, tlsPort, amqpTlsPort } = settings;
  const fail = (text: string): never => {
    throw new BurrowError('INVALID_CONFIG', text);
  };
  if ((tlsCert === undefined) !== (tlsKey === undefined)) fail('Options "tls-cert" and "tls-key" need each other.');
  const usesTls = tlsPort !== 'off' || amqpTlsPort !== 'off';
  if (usesTls && tlsCert === undefined) {
    const name = tlsPort === 'off' ? 'amqp-tls-port' : 'tls-port';
    fail(`Option "${name}" from ${sourceOf(name)} needs a certificate and its key: --tls-cert and --tls-key.`);
  }
  if (!usesTls && tlsCert !== undefined) {
    fail(`Option "tls-cert" from ${sourceOf('tls-cert')} is for nothing: set --amqp-tls-port 5671, or --tls-port.`);
  }
  if (settings.tlsRequireClientCert && tlsCa === undefined) {
    fail('Option "tls-require-client-cert" needs to know whose certificates are believed: --tls-ca.');
  }
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

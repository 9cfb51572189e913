/** What the commands about exchanges, queues, bindings and virtual hosts share. */
import { Option } from 'commander';
import type { Client, FieldTable, FieldValue, VirtualHost } from '../../client/index.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { jsonOption, type ServerFlag, serverOption, withClient } from './client-command.ts';

export interface QueueFlags extends ServerFlag {
  readonly json?: boolean;
  readonly vhost: string;
}

/** Of every one of these commands. */
export function queueOptions(): readonly Option[] {
  const vhost = new Option('--vhost <name>', 'Virtual host').env('BURROW_VHOST').default('/');
  return [vhost, serverOption(), jsonOption()];
}

export function argumentOption(): Option {
  return new Option(
    '--argument <name=value>',
    'AMQP argument such as x-max-length=1000; numbers, true and false are taken as such; may be repeated',
  ).argParser(gatherArguments);
}

export type Arguments = Readonly<Record<string, FieldValue>>;

export function gatherArguments(text: string, before: Arguments = {}): Arguments {
  const at = text.indexOf('=');
  if (at < 1) throw new BurrowError('INVALID_ARGUMENT', `"${text}" must be NAME=VALUE.`);
  return { ...before, [text.slice(0, at)]: parseValue(text.slice(at + 1)) };
}

function parseValue(text: string): FieldValue {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}

/** In a table: `x-max-length=1000 x-overflow=reject-publish`. */
export function argumentsText(table: FieldTable): string {
  return [...table].map(([name, value]) => `${name}=${fieldText(value)}`).join(' ');
}

function fieldText(value: FieldValue): string {
  return typeof value === 'string' ? value : JSON.stringify(plainValue(value));
}

/** For JSON. */
export function plainArguments(table: FieldTable): Record<string, unknown> {
  return Object.fromEntries([...table].map(([name, value]) => [name, plainValue(value)]));
}

function plainValue(value: FieldValue): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') };
  if (value instanceof Map) return plainArguments(value);
  if (Array.isArray(value)) return value.map((each: FieldValue) => plainValue(each));
  return value;
}

/** Prints text, or with --json the facts. */
export function report(flags: QueueFlags, text: string, facts: unknown): void {
  process.stdout.write(flags.json ? `${JSON.stringify(facts)}\n` : `${text}\n`);
}

/** Connects, and runs with the virtual host that was asked for. */
export async function withVirtualHost<T>(
  flags: QueueFlags,
  run: (host: VirtualHost, client: Client) => Promise<T>,
): Promise<T> {
  return withClient(flags, (client) => run(client.virtualHost(flags.vhost), client));
}

export function yesOrNo(value: boolean): string {
  return value ? 'yes' : 'no';
}

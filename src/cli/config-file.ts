/** Reads the JSON file that `--config` names. What its keys mean is for resolve-options.ts. */
import fs from 'node:fs';
import { BurrowError } from '../errors/burrow-error.ts';

export interface ConfigFile {
  readonly path: string;
  readonly values: ReadonlyMap<string, unknown>;
}

export function readConfigFile(path: string): ConfigFile {
  let text: string;
  try {
    text = fs.readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BurrowError('INVALID_CONFIG', `Config file ${path} cannot be read: ${reason}.`, { cause });
  }
  return { path, values: parseConfig(text, path) };
}

export function parseConfig(text: string, path: string): ReadonlyMap<string, unknown> {
  let value: unknown;
  try {
    // Windows editors begin files with a byte order mark.
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BurrowError('INVALID_CONFIG', `Config file ${path} is not JSON: ${reason}.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new BurrowError('INVALID_CONFIG', `Config file ${path} must hold one JSON object, such as { "port": 7420 }.`);
  }
  return new Map(Object.entries(value));
}

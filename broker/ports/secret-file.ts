/** A secret in a file of its own, so that it stands in no command line, environment or configuration. */
import { readFile } from 'node:fs/promises';
import { BurrowError } from '../../src/errors/burrow-error.ts';

/** The first line. @throws BurrowError INVALID_CONFIG if the file cannot be read */
export async function readSecretFile(path: string): Promise<string> {
  try {
    const [first = ''] = (await readFile(path, 'utf8')).split(/\r?\n/, 1);
    return first;
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new BurrowError('INVALID_CONFIG', `The file with a secret cannot be read: ${cause}`, { cause: error });
  }
}

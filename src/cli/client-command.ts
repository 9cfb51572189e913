/** What all commands that talk to a broker share. */
import { InvalidArgumentError, Option } from 'commander';
import type { Client } from '../../client/index.ts';

const DEFAULT_SERVER = 'ws://127.0.0.1:7420';

export interface ServerFlag {
  readonly server: string;
}

export function serverOption(): Option {
  return new Option('--server <url>', 'Address of the broker’s native listener; BURROW_USER and BURROW_PASSWORD log in')
    .env('BURROW_SERVER')
    .default(DEFAULT_SERVER);
}

export function jsonOption(): Option {
  return new Option('--json', 'Print JSON');
}

/** Connects, runs, and closes the connection however that ends. */
export async function withClient<T>({ server }: ServerFlag, run: (client: Client) => Promise<T>): Promise<T> {
  // host:port is what people type; the protocol of the native listener is no secret worth an error.
  const url = server.includes('://') ? server : `ws://${server}`;
  // Loaded here, so that help and mistakes need not wait for it.
  const { connect } = await import('../../client/index.ts');
  const client = await connect(url, { clientId: 'burrow-cli', ...credentials() });
  try {
    return await run(client);
  } finally {
    await client.close();
  }
}

/** A password stands better in the environment than in an address, which other processes see. */
function credentials(): { readonly user?: string; readonly password?: string } {
  const { BURROW_USER: user, BURROW_PASSWORD: password } = process.env;
  return user === undefined || user === '' ? {} : { user, password: password ?? '' };
}

/** For commander: a whole number from `min`. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d{1,15}$/.test(text) && number >= min) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${min}.`);
  };
}

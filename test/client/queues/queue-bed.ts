/** A broker in memory, and clients of its queues. */
import { onTestFinished } from 'vitest';
import { type BrokerOptions, startBroker } from '../../../broker/index.ts';
import { type Client, type ConnectOptions, connect } from '../../../client/index.ts';
import { isBurrowError } from '../../../src/errors/burrow-error.ts';

export async function startPair(options: Partial<BrokerOptions> = {}, connectOptions: ConnectOptions = {}) {
  const broker = await startBroker({ storage: 'memory', kafkaPort: 'off', ...options });
  onTestFinished(() => broker.close());
  const address = broker.addresses.native!;
  const client = await connectTo(address, connectOptions);
  return { broker, client, address };
}

export async function connectTo(address: string, options: ConnectOptions = {}): Promise<Client> {
  const client = await connect(address, { reconnectBackoff: { initialMs: 5, maxMs: 50 }, ...options });
  onTestFinished(() => client.close({ timeoutMs: 0 }));
  return client;
}

/** The name of the error with which it fails. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const thrown: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return isBurrowError(thrown) ? thrown.code : `no BurrowError: ${String(thrown)}`;
}

/** What was noted so far, and a way to wait for more. */
export class Notes<T> {
  readonly list: T[] = [];
  #waiting: Array<() => void> = [];

  readonly note = (item: T): void => {
    this.list.push(item);
    for (const resolve of this.#waiting.splice(0)) resolve();
  };

  async until(condition: (list: readonly T[]) => boolean): Promise<readonly T[]> {
    while (!condition(this.list)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.list;
  }

  count(count: number): Promise<readonly T[]> {
    return this.until((list) => list.length >= count);
  }
}

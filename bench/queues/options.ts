/** What the parts of the queues benchmark are asked for, and what a message of it looks like. */
export interface QueuesBenchmarkOptions {
  readonly rounds: number;
  /** Of each way to publish or consume, in each round. */
  readonly messages: number;
  readonly bodyBytes: number;
  readonly confirmsOutstanding: number;
  readonly prefetch: number;
  /** At each rate of messages a second. */
  readonly ratesPerSecond: readonly number[];
  readonly latencySeconds: number;
  /** Published to the fanout exchange, in each round. */
  readonly fanoutMessages: number;
  readonly backlogMessages: number;
  /** To each of the queues with and without message groups, in each round. */
  readonly groupMessages: number;
}

/** CLOCK_MONOTONIC in milliseconds, the same for all processes of a machine. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** A body that begins with a number: when it was due, or which one it is. */
export function bodyWith(number: number, bytes: number): Uint8Array {
  const body = new Uint8Array(bytes);
  new DataView(body.buffer).setFloat64(0, number);
  return body;
}

export function numberIn(body: Uint8Array): number {
  return new DataView(body.buffer, body.byteOffset).getFloat64(0);
}

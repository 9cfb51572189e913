/** A part of the groups benchmark: runs its rounds against a broker, then shows what it found. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Client, connect } from '../../client/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

export interface GroupsBenchmarkOptions {
  readonly rounds: number;
  readonly records: number;
  readonly commitSeconds: number;
  /** Joins that are timed, per size of the group and assignor. */
  readonly joins: number;
  /** Of each way to be pushed to, or to pull. */
  readonly pushRecords: number;
  readonly latencySeconds: number;
}

export interface PartResult {
  /** Markdown. */
  readonly lines: readonly string[];
  readonly data: object;
}

export type Part = (options: GroupsBenchmarkOptions) => Promise<PartResult>;

export interface Bench {
  readonly broker: BrokerProcess;
  readonly client: Client;
}

/** A broker with everything at its default (so with flush=always), in a folder of its own. */
export async function withBroker<T>(run: (bench: Bench) => Promise<T>): Promise<T> {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-bench-'));
  const broker = await BrokerProcess.start({ dataDir, flags: ['--log-level', 'warn'] });
  const client = await connect(broker.nativeUrl);
  try {
    return await run({ broker, client });
  } finally {
    await client.close({ timeoutMs: 1000 });
    await broker.stop();
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
}

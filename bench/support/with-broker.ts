/** A broker and a client for one part of a benchmark. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Client, connect } from '../../client/index.ts';
import { BrokerProcess } from './broker-process.ts';

export interface Bench {
  readonly broker: BrokerProcess;
  readonly client: Client;
}

/** A broker with everything at its default (so with flush=always), in a folder of its own. */
export async function withBroker<T>(run: (bench: Bench) => Promise<T>): Promise<T> {
  return withDataDir(async (dataDir) => {
    const broker = await BrokerProcess.start({ dataDir, flags: ['--log-level', 'warn'] });
    const client = await connect(broker.nativeUrl);
    try {
      return await run({ broker, client });
    } finally {
      await client.close({ timeoutMs: 1000 });
      await broker.stop();
    }
  });
}

/** A folder on the disk that is measured, gone afterwards. */
export async function withDataDir<T>(run: (dataDir: string) => Promise<T>): Promise<T> {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-bench-'));
  try {
    return await run(dataDir);
  } finally {
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
}

/** What the AMQP conformance tests run against: a broker process on a folder of its own, that can be killed and started again. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BrokerProcess } from '../../bench/support/broker-process.ts';

const HOST = '127.0.0.1';
const FLAGS = ['--log-level', 'error', '--disk-free-bytes-min', '0'];

export class AmqpTarget {
  readonly host = HOST;
  readonly port: number;
  readonly #dataDir: string;
  #broker: BrokerProcess;

  private constructor(dataDir: string, broker: BrokerProcess) {
    this.#dataDir = dataDir;
    this.#broker = broker;
    this.port = Number(broker.amqpAddress!.split(':').at(-1));
  }

  /** Needs the built code (`npm test` builds). */
  static async start(): Promise<AmqpTarget> {
    const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-conformance-'));
    return new AmqpTarget(dataDir, await BrokerProcess.start({ dataDir, amqpPort: 0, flags: FLAGS }));
  }

  /** kill -9, and a new process at the same address on the same folder. */
  async killAndStartAgain(): Promise<void> {
    await this.#broker.kill();
    this.#broker = await BrokerProcess.start({ dataDir: this.#dataDir, amqpPort: this.port, flags: FLAGS });
  }

  async close(): Promise<void> {
    await this.#broker.kill();
    fs.rmSync(this.#dataDir, { recursive: true, force: true });
  }
}

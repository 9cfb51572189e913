/**
 * librabbitmq's programs, one process and one connection per call. They declare, publish, get, consume and delete, and have no more than
 * names, bodies and a few properties; amqp-consume acknowledges what its command has taken.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { AmqpTarget } from '../../../support/amqp-target.ts';
import {
  type AmqpClient,
  type ClientChannel,
  type ConnectOptions,
  type Delivery,
  FEATURES,
  type Feature,
  type Publish,
  ReplyError,
} from '../client-adapter.ts';

const WHY = 'amqp-tools have no way to do it';
const CANNOT = Object.fromEntries(Object.keys(FEATURES).map((feature) => [feature, WHY])) as Record<Feature, string>;
/** Of each body a line. */
const CONSUMING_COMMAND = ['--', 'sh', '-c', 'base64 -w0; echo'];
const NOTHING_THERE = 2;

class ToolChannel implements ClientChannel {
  readonly deliveries: Delivery[] = [];
  readonly returns = [];
  readonly cancelled = [];
  /** Every error ends a process, whose call it is the answer to; but those of consumers, which have started by then. */
  readonly closed: Promise<ReplyError>;
  readonly #prefix: string;
  readonly #url: string;
  readonly #consumers = new Map<string, ChildProcess>();
  #onClosed!: (error: ReplyError) => void;

  constructor(
    prefix: string,
    target: AmqpTarget,
    { user = 'guest', password = 'guest', virtualHost = '/' }: ConnectOptions,
  ) {
    this.#prefix = prefix;
    this.#url = `amqp://${user}:${password}@${target.host}:${target.port}/${encodeURIComponent(virtualHost)}`;
    this.closed = new Promise((resolve) => {
      this.#onClosed = resolve;
    });
  }

  #start(
    tool: string,
    words: readonly string[],
  ): { child: ChildProcess; ended: Promise<{ code: number; error: string }> } {
    const child = spawn(`${this.#prefix}${tool}`, [`--url=${this.#url}`, ...words], { stdio: 'pipe' });
    let error = '';
    child.stderr.on('data', (chunk: Buffer) => {
      error += chunk.toString();
    });
    return { child, ended: once(child, 'close').then(([code]) => ({ code: code as number, error })) };
  }

  /** What it prints; undefined if it says by its exit code that there is nothing. */
  async #run(tool: string, words: readonly string[], input: Buffer = Buffer.alloc(0)): Promise<Buffer | undefined> {
    const { child, ended } = this.#start(tool, words);
    const output: Buffer[] = [];
    child.stdout!.on('data', (chunk: Buffer) => output.push(chunk));
    child.stdin!.on('error', () => {});
    child.stdin!.end(input);
    const { code, error } = await ended;
    if (code === 0) return Buffer.concat(output);
    if (code === NOTHING_THERE && error === '') return undefined;
    throw toolError(tool, error);
  }

  async declareQueue(queue: string, { durable = true } = {}) {
    const printed = await this.#run('declare-queue', ['-q', queue, ...(durable ? ['-d'] : [])]);
    return { queue: printed!.toString().trim(), messageCount: 0, consumerCount: 0 };
  }

  async deleteQueue(queue: string, { ifUnused = false, ifEmpty = false } = {}) {
    // The short -u is taken for the URL.
    const flags = [...(ifUnused ? ['--if-unused'] : []), ...(ifEmpty ? ['--if-empty'] : [])];
    return Number(await this.#run('delete-queue', ['-q', queue, ...flags]));
  }

  async publish({ exchange = '', routingKey, body, properties = {} }: Publish) {
    const persistent = properties.deliveryMode === 2 ? ['-p'] : [];
    await this.#run('publish', ['-e', exchange, '-r', routingKey, ...persistent], body);
    return 'confirmed' as const;
  }

  async get(queue: string) {
    const body = await this.#run('get', ['-q', queue]);
    if (body === undefined) return undefined;
    return { body, exchange: '', routingKey: queue, properties: {}, deliveryTag: 0, redelivered: false };
  }

  async consume(queue: string, { noAck = false } = {}) {
    const flags = ['-q', queue, ...(noAck ? ['-A'] : [])];
    const { child, ended } = this.#start('consume', [...flags, ...CONSUMING_COMMAND]);
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const body = Buffer.from(line, 'base64');
      const nothing = { exchange: '', routingKey: queue, properties: {}, deliveryTag: 0, redelivered: false };
      this.deliveries.push({ ...nothing, body });
    });
    ended
      .then(({ error }) => this.#onClosed(toolError('consume', error) as ReplyError))
      .catch((thrown: unknown) => this.#onClosed(thrown as ReplyError));
    const tag = String(this.#consumers.size);
    this.#consumers.set(tag, child);
    return tag;
  }

  async cancel(consumerTag: string) {
    this.#consumers.get(consumerTag)!.kill();
  }

  async close() {
    for (const child of this.#consumers.values()) child.kill();
  }

  checkQueue = impossible;
  purgeQueue = impossible;
  bindQueue = impossible;
  unbindQueue = impossible;
  declareExchange = impossible;
  checkExchange = impossible;
  deleteExchange = impossible;
  bindExchange = impossible;
  forward = impossible;
  prefetch = impossible;
  ack = impossible;
  nack = impossible;
  reject = impossible;
  recover = impossible;
  selectTransactions = impossible;
  commit = impossible;
  rollback = impossible;
}

async function impossible(): Promise<never> {
  throw new Error(WHY);
}

/** Such as `opening queue: server channel error 404, message: NOT_FOUND - …`. */
function toolError(tool: string, text: string): Error {
  const code = /server (?:channel|connection) error (\d{3})/.exec(text)?.[1];
  return code === undefined ? new Error(`amqp-${tool} failed: ${text}`) : new ReplyError(Number(code), text);
}

export function amqpTools(prefix: string): AmqpClient {
  return {
    cannot: CANNOT,
    async connect(target, options = {}) {
      const channels: ToolChannel[] = [];
      // As with a connection, what is wrong with the login is heard at once.
      await new ToolChannel(prefix, target, options).declareQueue('amqp-tools');
      return {
        async openChannel() {
          const channel = new ToolChannel(prefix, target, options);
          channels.push(channel);
          return channel;
        },
        async close() {
          for (const channel of channels) await channel.close();
        },
      };
    },
  };
}

/**
 * Clients of other languages: a program per client, which does what it is told in lines of JSON on its standard input and tells what
 * comes of it on its standard output.
 *
 *     → {"id":7,"op":"get","channel":3,"queue":"q","noAck":true}
 *     ← {"id":7,"result":{"body":"YQ==","routingKey":"q",…}}   or   {"id":7,"error":{"code":404,"text":"…"}}
 *     ← {"event":"delivery","channel":3,"message":{…}}         also returned, cancelled, closed, survived
 *
 * Connections, channels and survivors have numbers that this side gives. Bodies are in base64. An error without a code is no word of the
 * broker's.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import {
  type AmqpClient,
  type ClientChannel,
  type DeclaredQueue,
  type Delivery,
  type Headers,
  type Publish,
  ReplyError,
  type ReturnedMessage,
} from '../client-adapter.ts';

interface WireMessage {
  readonly body: string;
}

interface Answer {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly code?: number; readonly text: string };
  readonly event?: 'delivery' | 'returned' | 'cancelled' | 'closed' | 'survived';
  readonly channel?: number;
  readonly survivor?: number;
  readonly message?: WireMessage;
  readonly consumerTag?: string;
  readonly code?: number;
  readonly text?: string;
  readonly body?: string;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

function toMessage<T>({ body, ...rest }: WireMessage): T {
  return { ...rest, body: Buffer.from(body, 'base64') } as T;
}

class Driver {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly channels = new Map<number, DrivenChannel>();
  readonly survived = new Map<number, string[]>();
  #errorOutput = '';
  #calls = 0;
  #numbers = 0;
  #ended = false;

  constructor(command: readonly string[]) {
    const [program, ...words] = command;
    this.#child = spawn(program!, words, { stdio: 'pipe' });
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      this.#errorOutput = (this.#errorOutput + chunk.toString()).slice(-10_000);
    });
    this.#child.stdin!.on('error', () => {});
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#onAnswer(JSON.parse(line) as Answer));
    const end = (reason: string): void => {
      this.#ended = true;
      for (const { reject } of this.#waiting.values()) reject(new Error(`${reason}:\n${this.#errorOutput}`));
      this.#waiting.clear();
    };
    this.#child.on('error', (error) => end(String(error)));
    this.#child.on('close', () => end(`${program} ended`));
  }

  newNumber(): number {
    return ++this.#numbers;
  }

  call<T>(op: string, options: object): Promise<T> {
    if (this.#ended) return Promise.reject(new Error(`the client has ended:\n${this.#errorOutput}`));
    const id = ++this.#calls;
    this.#child.stdin!.write(`${JSON.stringify({ id, op, ...options })}\n`);
    return new Promise((resolve, reject) =>
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject }),
    );
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  #onAnswer(answer: Answer): void {
    if (answer.id === undefined) {
      this.#onEvent(answer);
      return;
    }
    const { resolve, reject } = this.#waiting.get(answer.id)!;
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) resolve(answer.result);
    else if (answer.error.code === undefined) reject(new Error(answer.error.text));
    else reject(new ReplyError(answer.error.code, answer.error.text));
  }

  #onEvent({ event, channel, survivor, message, consumerTag, code, text, body }: Answer): void {
    if (event === 'survived') {
      this.survived.get(survivor!)!.push(Buffer.from(body!, 'base64').toString());
      return;
    }
    const target = this.channels.get(channel!)!;
    if (event === 'delivery') target.deliveries.push(toMessage(message!));
    else if (event === 'returned') target.returns.push(toMessage(message!));
    else if (event === 'cancelled') target.cancelled.push(consumerTag!);
    else if (event === 'closed') target.onClosed(new ReplyError(code!, text!));
  }
}

class DrivenChannel implements ClientChannel {
  readonly deliveries: Delivery[] = [];
  readonly returns: ReturnedMessage[] = [];
  readonly cancelled: string[] = [];
  readonly closed: Promise<ReplyError>;
  onClosed!: (error: ReplyError) => void;
  readonly #driver: Driver;
  readonly #channel: number;

  constructor(driver: Driver, channel: number) {
    this.#driver = driver;
    this.#channel = channel;
    this.closed = new Promise((resolve) => {
      this.onClosed = resolve;
    });
  }

  #call<T>(op: string, options: object = {}): Promise<T> {
    return this.#driver.call(op, { channel: this.#channel, ...options });
  }

  declareQueue(queue: string, options = {}) {
    const all = { durable: true, exclusive: false, autoDelete: false, arguments: {}, ...options };
    return this.#call<DeclaredQueue>('declareQueue', { queue, ...all });
  }

  checkQueue(queue: string) {
    return this.#call<DeclaredQueue>('checkQueue', { queue });
  }

  deleteQueue(queue: string, options = {}) {
    return this.#call<number>('deleteQueue', { queue, ifUnused: false, ifEmpty: false, ...options });
  }

  purgeQueue(queue: string) {
    return this.#call<number>('purgeQueue', { queue });
  }

  bindQueue(queue: string, exchange: string, routingKey: string, bindingArguments: Headers = {}) {
    return this.#call<void>('bindQueue', { queue, exchange, routingKey, arguments: bindingArguments });
  }

  unbindQueue(queue: string, exchange: string, routingKey: string) {
    return this.#call<void>('unbindQueue', { queue, exchange, routingKey });
  }

  declareExchange(exchange: string, type: string, options = {}) {
    const all = { durable: true, autoDelete: false, internal: false, arguments: {}, ...options };
    return this.#call<void>('declareExchange', { exchange, type, ...all });
  }

  checkExchange(exchange: string) {
    return this.#call<void>('checkExchange', { exchange });
  }

  deleteExchange(exchange: string) {
    return this.#call<void>('deleteExchange', { exchange });
  }

  bindExchange(destination: string, source: string, routingKey: string) {
    return this.#call<void>('bindExchange', { destination, source, routingKey });
  }

  publish({ exchange = '', routingKey, body, properties = {}, mandatory = false }: Publish) {
    const options = { exchange, routingKey, body: body.toString('base64'), properties, mandatory };
    return this.#call<'confirmed' | 'refused'>('publish', options);
  }

  async get(queue: string, options: { noAck: boolean }) {
    const message = await this.#call<WireMessage | null>('get', { queue, ...options });
    return message === null ? undefined : toMessage<Delivery>(message);
  }

  forward(from: string, to: string) {
    return this.#call<void>('forward', { from, to });
  }

  prefetch(count: number, { global = false } = {}) {
    return this.#call<void>('prefetch', { count, global });
  }

  consume(queue: string, options = {}) {
    return this.#call<string>('consume', { queue, noAck: false, exclusive: false, arguments: {}, ...options });
  }

  cancel(consumerTag: string) {
    return this.#call<void>('cancel', { consumerTag });
  }

  ack(deliveryTag: number, { multiple = false } = {}) {
    return this.#call<void>('ack', { deliveryTag, multiple });
  }

  nack(deliveryTag: number, { multiple = false, requeue }: { multiple?: boolean; requeue: boolean }) {
    return this.#call<void>('nack', { deliveryTag, multiple, requeue });
  }

  reject(deliveryTag: number, { requeue }: { requeue: boolean }) {
    return this.#call<void>('reject', { deliveryTag, requeue });
  }

  recover() {
    return this.#call<void>('recover');
  }

  selectTransactions() {
    return this.#call<void>('selectTransactions');
  }

  commit() {
    return this.#call<void>('commit');
  }

  rollback() {
    return this.#call<void>('rollback');
  }

  close() {
    return this.#call<void>('closeChannel');
  }
}

type Peculiarities = Pick<AmqpClient, 'cannot' | 'readsOtherwise' | 'writesOtherwise'>;

/** @param command - the program and its arguments; it is started with the first connection */
export function drivenClient(command: readonly string[], peculiarities: Peculiarities): AmqpClient {
  let started: Driver | undefined;
  const driver = (): Driver => {
    started ??= new Driver(command);
    return started;
  };
  return {
    ...peculiarities,

    async connect({ host, port }, { user = 'guest', password = 'guest', virtualHost = '/' } = {}) {
      const connection = driver().newNumber();
      await driver().call('connect', { connection, host, port, user, password, virtualHost });
      return {
        async openChannel({ confirms = false } = {}) {
          const number = driver().newNumber();
          const channel = new DrivenChannel(driver(), number);
          driver().channels.set(number, channel);
          await driver().call('openChannel', { connection, channel: number, confirms });
          return channel;
        },
        close: () => driver().call('closeConnection', { connection }),
      };
    },

    async survive({ host, port }, queue) {
      const survivor = driver().newNumber();
      const bodies: string[] = [];
      driver().survived.set(survivor, bodies);
      await driver().call('survive', { survivor, host, port, queue });
      return {
        bodies,
        publish: (body) => driver().call('publishSurvivor', { survivor, body: Buffer.from(body).toString('base64') }),
        close: () => driver().call('closeSurvivor', { survivor }),
      };
    },

    async close() {
      started?.close();
    },
  };
}

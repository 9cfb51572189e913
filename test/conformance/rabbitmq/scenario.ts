/** Scenarios, and how one is played on a broker: the result is a transcript that another broker's can be compared with. */
import {
  type ConnectOptions,
  type ScriptContext,
  type ScriptedChannel,
  ScriptedConnection,
} from './scripted-connection.ts';

export interface Scenario {
  /** Unique among all. */
  readonly name: string;
  readonly run: (side: Side) => Promise<void>;
}

/**
 * In names of queues, exchanges and so on, scenarios write `~` where something has to stand that no other scenario uses.
 */
export function scenario(name: string, run: Scenario['run']): Scenario {
  return { name, run };
}

const POLL_MS = 20;
const POLLS_MAX = 1000;

/** What a scenario works with. Connections and channels open when they are first used. */
export class Side {
  readonly #context: ScriptContext;
  readonly #connections: ScriptedConnection[] = [];
  readonly #byName = new Map<string, ScriptedConnection>();
  #watcher: ScriptedConnection | undefined;
  #polls = 0;

  constructor(context: ScriptContext) {
    this.#context = context;
  }

  /** Channel 1 of the first connection. */
  get a(): ScriptedChannel {
    return this.connection('a').channel(1);
  }

  /** Another channel of the first connection. */
  get a2(): ScriptedChannel {
    return this.connection('a').channel(2);
  }

  /** Another connection. */
  get b(): ScriptedChannel {
    return this.connection('b').channel(1);
  }

  get c(): ScriptedChannel {
    return this.connection('c').channel(1);
  }

  connection(name: string): ScriptedConnection {
    return this.#byName.get(name) ?? this.#newConnection(name, {});
  }

  /** A connection whose handshake is the scenario's, or not the usual one. */
  async connect(name: string, options: ConnectOptions): Promise<ScriptedConnection> {
    const connection = this.#newConnection(name, options);
    await connection.open();
    return connection;
  }

  #newConnection(name: string, options: ConnectOptions): ScriptedConnection {
    const connection = new ScriptedConnection(name, this.#context, options);
    this.#connections.push(connection);
    this.#byName.set(name, connection);
    return connection;
  }

  /** A line of the scenario's own. */
  note(line: string): void {
    this.#context.lines.set('notes', [...(this.#context.lines.get('notes') ?? []), line]);
  }

  /** Waits until there is no queue of this name. Looks by publishing, since who declares a queue renews its expiry. */
  async gone(queue: string): Promise<void> {
    const channel = this.#watch().channel(++this.#polls);
    for (let polls = 0; polls < POLLS_MAX; polls++) {
      await channel.put(queue, '', {}, { mandatory: true });
      if (channel.returns > 0) {
        this.note(`${queue} is gone`);
        return;
      }
      await pause();
    }
    this.note(`${queue} is gone: NOT`);
  }

  async exchangeGone(exchange: string): Promise<void> {
    const args = { exchange, passive: true };
    await this.#poll(`${exchange} is gone`, 'exchange.declare', args, (reply) => reply === undefined);
  }

  /** Waits until a queue has so many ready messages and consumers. */
  async counts(queue: string, messages: number, consumers = 0): Promise<void> {
    const line = `${queue} has ${messages} messages and ${consumers} consumers`;
    await this.#poll(line, 'queue.declare', { queue, passive: true }, (reply) => {
      return reply?.['messageCount'] === messages && reply['consumerCount'] === consumers;
    });
  }

  async #poll(
    line: string,
    method: 'queue.declare' | 'exchange.declare',
    args: { passive: boolean; queue?: string; exchange?: string },
    isDone: (reply: { readonly [name: string]: unknown } | undefined) => boolean,
  ): Promise<void> {
    for (let polls = 0; polls < POLLS_MAX; polls++) {
      const channel = this.#watch().channel(++this.#polls);
      const reply = await channel.call(method, args);
      await channel.close();
      if (isDone(reply?.args)) {
        this.note(line);
        return;
      }
      await pause();
    }
    this.note(`${line}: NOT`);
  }

  /** A connection that leaves no lines. */
  #watch(): ScriptedConnection {
    if (this.#watcher === undefined || this.#watcher.isEnding) {
      this.#watcher = new ScriptedConnection('watcher', { ...this.#context, lines: new Map() });
    }
    return this.#watcher;
  }

  /** Ends all connections, in the order in which they began. */
  async close(): Promise<void> {
    for (const connection of this.#connections) await connection.close();
    await this.#watcher?.close();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

/** Plays a scenario on a broker: lines such as `a1 | queue.declare-ok …`, channel by channel. `index` is the scenario's own. */
export async function play({ run }: Scenario, port: number, index: number): Promise<string[]> {
  const prefix = `s${index}_`;
  const lines = new Map<string, string[]>();
  const context: ScriptContext = { port, lines, rename: (text) => text.replaceAll('~', prefix) };
  const side = new Side(context);
  try {
    await run(side);
  } catch (error) {
    side.note(`the script failed: ${(error as Error).stack}`);
  }
  await side.close();
  const normalise = normaliser(prefix);
  return [...lines]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .flatMap(([key, channelLines]) => channelLines.map((line) => normalise(`${key} | ${line}`)));
}

/** Names that a broker makes up. */
const MADE_UP = /amq\.(?:gen-|ctag-|rabbitmq\.reply-to\.)[\w+/=.-]+/g;
/** The time of x-death. */
const RECENT_TIME = /T (1[789]\d{8})(?!\d)/g;

/** What a broker says of itself. */
const OWN_PROPERTY = /\b(cluster_name|copyright|information|platform|product|version): "[^"]*"/g;
const REPLY_TEXT = /(replyText=[A-Z_]+)( - .*)? (classId=|exchange=)/;

/**
 * Writes made-up names as numbers in the order of their appearance, takes away the prefix, the time, what brokers say of themselves and
 * the wording of reply texts, of which the name of the code and everything between quotes stays, but for the virtual host.
 */
function normaliser(prefix: string): (line: string) => string {
  const names = new Map<string, string>();
  return (line) =>
    line
      .replace(MADE_UP, (name) => {
        const kind = /^amq\.(?:gen-|ctag-|rabbitmq\.reply-to\.)/.exec(name)![0];
        const known = names.get(name) ?? `${kind}<${names.size + 1}>`;
        names.set(name, known);
        return known;
      })
      .replace(RECENT_TIME, 'T <now>')
      .replace(OWN_PROPERTY, '$1')
      .replace(REPLY_TEXT, (_, code: string, text: string | undefined, next: string) => {
        const quoted = text?.match(/'[^']*'/g)?.filter((each) => each !== "'/'") ?? [];
        return `${[code, ...quoted].join(' ')} ${next}`;
      })
      .replaceAll(prefix, '~');
}

/**
 * Exchanges, queues and bindings that come and go while the broker is killed. What was answered must hold after every restart; a
 * change whose answer was lost has happened or not, and whichever a restart shows stays so. Names are used again, so that messages
 * or bindings of a deleted queue would show in its successor.
 */
import type { SeededRandom } from '../../broker/ports/seeded-random.ts';
import type { Client, VirtualHost } from '../../client/index.ts';
import { outcomeIsUnknown, pause } from './kill-load.ts';

const NAMES = ['passing-a', 'passing-b', 'Passing.c', '__proto__'];
const BINDING_KEY = 'key';
const KINDS = ['exchange', 'queue', 'binding'] as const;
type Kind = (typeof KINDS)[number];
type Existence = 'absent' | 'present' | 'unknown';

/** An exchange, a queue, and a binding from the one to the other, all of one name. */
interface Visit {
  readonly name: string;
  readonly existence: Record<Kind, Existence>;
  /** Counts the queues of this name; a queue tells it by its x-message-ttl. */
  generation: number;
  /** Bodies that were confirmed of the present queue. */
  messages: string[];
}

export class DeclarationVisits {
  readonly counts = { declared: 0, deleted: 0, published: 0, unknownOutcomes: 0 };
  /** Rejects with the first broken promise. */
  readonly done: Promise<void>;
  readonly #host: VirtualHost;
  readonly #random: SeededRandom;
  readonly #visits: readonly Visit[];
  #stopped: boolean = false;
  #held: boolean = false;
  /** What the visitor does now. Never rejects. */
  #action: Promise<void> = Promise.resolve();

  constructor(client: Client, random: SeededRandom) {
    this.#host = client.virtualHost();
    this.#random = random;
    this.#visits = NAMES.map((name) => ({
      name,
      existence: { exchange: 'absent', queue: 'absent', binding: 'absent' },
      generation: 0,
      messages: [],
    }));
    this.done = this.#run();
    this.done.catch(() => {});
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.done;
  }

  /** Compares everything with what it must be. Changes wait meanwhile. */
  async check(client: Client): Promise<void> {
    this.#held = true;
    await this.#action;
    try {
      const host = client.virtualHost();
      const exchanges = new Set((await host.listExchanges()).map(({ name }) => name));
      const queues = new Map((await host.listQueues()).map((queue) => [queue.name, queue]));
      const bindings = new Set(
        (await host.listBindings()).map(({ source, destination }) => `${source} ${destination}`),
      );
      for (const visit of this.#visits) {
        const { name, generation } = visit;
        const queue = queues.get(name);
        this.#settle(visit, 'exchange', exchanges.has(name));
        this.#settle(visit, 'queue', queue !== undefined);
        this.#settle(visit, 'binding', bindings.has(`${name} ${name}`));
        if (queue === undefined) continue;
        const ttlMs = queue.arguments.get('x-message-ttl');
        if (Number(ttlMs) !== ttlMsOf(generation)) throw broken(visit, `its x-message-ttl is ${ttlMs}`);
        await checkMessages(host, visit);
      }
    } finally {
      this.#held = false;
    }
  }

  /** What is seen of one of them is how it is from now on. */
  #settle(visit: Visit, kind: Kind, isThere: boolean): void {
    const { existence } = visit;
    if (existence[kind] !== 'unknown' && isThere !== (existence[kind] === 'present')) {
      throw broken(visit, isThere ? `its answered ${kind} deletion is lost` : `the answered ${kind} is lost`);
    }
    existence[kind] = isThere ? 'present' : 'absent';
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await pause(this.#random.between(5, 60));
      if (this.#held) continue;
      const visit = this.#random.pick(this.#visits);
      const action = this.#act(visit).catch((error: unknown) => {
        if (!outcomeIsUnknown(error)) throw broken(visit, String(error), error);
        this.counts.unknownOutcomes++;
      });
      this.#action = action.catch(() => {});
      await action;
    }
  }

  /** Only the next restart tells what is unknown: until then such a name is left alone. */
  async #act(visit: Visit): Promise<void> {
    const { existence } = visit;
    if (KINDS.some((kind) => existence[kind] === 'unknown')) return;
    if (existence.queue === 'present' && this.#random.chance(0.5)) return this.#publish(visit);
    const kind = this.#random.pick(KINDS);
    if (existence[kind] === 'present') await this.#delete(visit, kind);
    else if (kind !== 'binding' || (existence.exchange === 'present' && existence.queue === 'present')) {
      await this.#declare(visit, kind);
    }
  }

  async #declare(visit: Visit, kind: Kind): Promise<void> {
    const { name, existence } = visit;
    existence[kind] = 'unknown';
    if (kind === 'exchange') await this.#host.exchange(name).declare();
    else if (kind === 'binding') await this.#host.queue(name).bind(name, BINDING_KEY);
    else {
      visit.generation++;
      visit.messages = [];
      await this.#host.queue(name).declare({ messageTtlMs: ttlMsOf(visit.generation) });
    }
    existence[kind] = 'present';
    this.counts.declared++;
  }

  async #delete(visit: Visit, kind: Kind): Promise<void> {
    const { name, existence } = visit;
    const bindingBefore = existence.binding;
    existence[kind] = 'unknown';
    // The binding goes with either end.
    if (bindingBefore === 'present') existence.binding = 'unknown';
    if (kind === 'exchange') await this.#host.exchange(name).delete();
    else if (kind === 'queue') await this.#host.queue(name).delete();
    else await this.#host.queue(name).unbind(name, BINDING_KEY);
    existence[kind] = 'absent';
    existence.binding = 'absent';
    this.counts.deleted++;
  }

  async #publish(visit: Visit): Promise<void> {
    const { name, generation, existence } = visit;
    const isBound = existence.binding === 'present';
    const body = `${name} ${generation} ${this.counts.published++}`;
    // Through the binding where there is one: it must lead there, not only be listed.
    if (isBound) await this.#host.exchange(name).publish(body, { routingKey: BINDING_KEY, mandatory: true });
    else await this.#host.queue(name).publish(body);
    visit.messages.push(body);
  }
}

async function checkMessages(host: VirtualHost, visit: Visit): Promise<void> {
  const { name, generation } = visit;
  const bodies = (await host.queue(name).browse({ limit: 1_000_000 })).map((message) => message.text());
  const stranger = bodies.find((body) => !body.startsWith(`${name} ${generation} `));
  if (stranger !== undefined) throw broken(visit, `"${stranger}" is in it`);
  const lost = visit.messages.find((body) => !bodies.includes(body));
  if (lost !== undefined) throw broken(visit, `"${lost}", which was confirmed, is lost`);
}

/** Hours: nothing expires here. */
function ttlMsOf(generation: number): number {
  return 3_600_000 + generation;
}

function broken({ name, generation, existence }: Visit, what: string, cause?: unknown): Error {
  return new Error(`${name}, generation ${generation}, ${JSON.stringify(existence)}: ${what}`, { cause });
}

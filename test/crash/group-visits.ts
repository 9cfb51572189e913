/**
 * Committed offsets while the broker is killed: a member of a group that reads and commits, and an administrator who commits
 * for groups without members. A commit that was acknowledged must be there after every restart; one whose answer was lost
 * may be, and nothing that was never asked for.
 */
import type { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { type Client, type ErrorName, isBurrowError } from '../../client/index.ts';
import { outcomeIsUnknown, pause } from './kill-load.ts';

const MEMBER_GROUP = 'readers';
const LONE_GROUPS = ['lone-a', 'lone-b', 'lone-c'];
/** Offsets that the log has for certain once the member has come so far. */
const RESET_OFFSET_MAX = 100;
/** A broker that was away for long has forgotten the member, which joins again. */
const OUT_OF_GROUP: readonly ErrorName[] = ['UNKNOWN_MEMBER', 'ILLEGAL_GENERATION', 'REBALANCE_IN_PROGRESS'];

/** What the broker may say is committed in one partition of a group. */
interface Commitment {
  acknowledged: number;
  /** Asked for since, without an answer yet, or for good. */
  asked: number[];
}

export class GroupVisits {
  readonly counts = { commits: 0, resets: 0 };
  /** Rejects with the first broken promise. */
  readonly done: Promise<void>;
  readonly #client: Client;
  readonly #topic: string;
  readonly #commitments = new Map<string, Commitment>();
  #stopped: boolean = false;

  constructor(client: Client, topic: string, random: SeededRandom) {
    this.#client = client;
    this.#topic = topic;
    this.done = Promise.all([this.#consume(random.fork('member')), this.#reset(random.fork('resets'))]).then(() => {});
    this.done.catch(() => {});
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.done;
  }

  /** Holds what the broker says against what it acknowledged. The load goes on meanwhile. */
  async check(client: Client): Promise<void> {
    const admin = client.admin();
    for (const group of [MEMBER_GROUP, ...LONE_GROUPS]) {
      // What is acknowledged while the answer is under way may be in it or not: only what was before counts.
      const before = new Map(
        Array.from(this.#commitments, ([key, { acknowledged }]) => [key, acknowledged] as const).filter(([key]) =>
          key.startsWith(`${group} `),
        ),
      );
      if (before.size === 0) continue;
      // A first commit whose answer was lost may never have made the group.
      const { partitions } = await admin.describeGroup(group).catch((error: unknown) => {
        if (isBurrowError(error, 'GROUP_ID_NOT_FOUND')) return { partitions: [] };
        throw error;
      });
      for (const [key, acknowledged] of before) {
        const partition = Number(key.split(' ')[1]);
        const committed = partitions.find((each) => each.topic === this.#topic && each.partition === partition);
        const offset = committed?.committedOffset ?? -1;
        const { acknowledged: latest, asked } = this.#commitments.get(key)!;
        if (offset === acknowledged || offset === latest || asked.includes(offset)) continue;
        // A member only ever moves forward: between two of its commits is where a check under load may look.
        if (group === MEMBER_GROUP && offset > acknowledged && offset < latest) continue;
        throw new Error(
          `group ${group}, ${this.#topic}-${partition}: ${offset} is committed, but ${acknowledged} was acknowledged`,
        );
      }
    }
  }

  async #consume(random: SeededRandom): Promise<void> {
    const consumer = this.#client.consumer({
      group: MEMBER_GROUP,
      topics: [this.#topic],
      autoCommit: false,
      from: 'earliest',
    });
    // At least once, so that there is something to check.
    while (!this.#stopped || this.counts.commits === 0) {
      const records = await consumer.poll({ timeoutMs: 50, maxRecords: random.between(1, 500) });
      const next = new Map<number, number>();
      for (const { partition, offset } of records) next.set(partition, offset + 1);
      const offsets = Array.from(next, ([partition, offset]) => ({ topic: this.#topic, partition, offset }));
      if (offsets.length === 0) continue;
      await this.#commit(MEMBER_GROUP, offsets, () => consumer.commit(offsets));
    }
    await consumer.close();
  }

  /** Back and forth, where nobody consumes: the order of commits must be kept, too. */
  async #reset(random: SeededRandom): Promise<void> {
    const admin = this.#client.admin();
    while (!this.#stopped) {
      await pause(random.between(0, 50));
      const group = random.pick(LONE_GROUPS);
      const readTo = this.#commitments.get(`${MEMBER_GROUP} 0`)?.acknowledged ?? 0;
      if (readTo < RESET_OFFSET_MAX) continue;
      const offset = random.between(0, RESET_OFFSET_MAX);
      const offsets = [{ topic: this.#topic, partition: 0, offset }];
      await this.#commit(group, offsets, async () => {
        await admin.resetOffsets(group, { to: { offset }, partitions: [{ topic: this.#topic, partition: 0 }] });
        this.counts.resets++;
      });
    }
  }

  async #commit(
    group: string,
    offsets: ReadonlyArray<{ readonly partition: number; readonly offset: number }>,
    send: () => Promise<void>,
  ): Promise<void> {
    for (const { partition, offset } of offsets) this.#commitmentOf(group, partition).asked.push(offset);
    try {
      await send();
    } catch (error) {
      if (outcomeIsUnknown(error) || OUT_OF_GROUP.some((code) => isBurrowError(error, code))) return;
      throw error;
    }
    for (const { partition, offset } of offsets) {
      const commitment = this.#commitmentOf(group, partition);
      commitment.acknowledged = offset;
      commitment.asked = [];
    }
    this.counts.commits++;
  }

  #commitmentOf(group: string, partition: number): Commitment {
    const key = `${group} ${partition}`;
    let commitment = this.#commitments.get(key);
    if (commitment === undefined) {
      commitment = { acknowledged: -1, asked: [] };
      this.#commitments.set(key, commitment);
    }
    return commitment;
  }
}

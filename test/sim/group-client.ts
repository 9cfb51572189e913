/** A consumer in the simulation: joins, syncs, beats, commits, leaves and dies as the seed says, and tells the ledger. */
import type { GroupService, JoinGroupOutcome } from '../../broker/groups/group-service.ts';
import type { SeededRandom } from '../../broker/ports/seeded-random.ts';
import { type BurrowError, toBurrowError } from '../../src/errors/burrow-error.ts';
import { joinRequest } from '../support/group-script.ts';
import type { GroupLedger } from './group-ledger.ts';

export const TOPIC = 'orders';
export const PARTITIONS = 5;
export const SESSION_TIMEOUT_MS = 8_000;

export interface ClientWorld {
  readonly random: SeededRandom;
  readonly ledger: GroupLedger;
  /** Of the node's current life. */
  readonly groups: GroupService;
  /** Grows with every call. */
  nextOffset(): number;
  note(text: string): void;
  /** The checker found something, in a callback that nobody waits for. */
  fail(error: unknown): void;
  readonly sharesPartitions: boolean;
}

type Phase = 'out' | 'joining' | 'joined' | 'syncing' | 'in';

export class GroupClient {
  readonly name: string;
  readonly groupId: string;
  readonly #world: ClientWorld;
  readonly #instanceId: string | undefined;
  readonly #twoStep: boolean;
  #memberId = '';
  #outcome: JoinGroupOutcome | undefined;
  #owned: readonly number[] = [];
  #phase: Phase = 'out';
  /** Of the process: what an earlier one asked is answered to nobody. */
  #life = 0;

  constructor(world: ClientWorld, name: string, groupId: string) {
    this.name = name;
    this.groupId = groupId;
    this.#world = world;
    this.#instanceId = world.random.chance(0.3) ? `instance-${name}` : undefined;
    this.#twoStep = world.random.chance(0.6);
  }

  get isIn(): boolean {
    return this.#phase === 'in';
  }

  get isWaiting(): boolean {
    return this.#phase === 'joining' || this.#phase === 'syncing';
  }

  get isStatic(): boolean {
    return this.#instanceId !== undefined;
  }

  get owned(): readonly number[] {
    return this.#owned;
  }

  /** The node is gone: nobody answers any more. The client goes on when it is back. */
  onNodeLost(): void {
    this.#life++;
    if (this.#phase === 'joining') this.#phase = 'out';
    if (this.#phase === 'syncing') this.#phase = 'joined';
  }

  /** kill -9 of the client, which begins anew. */
  die(): void {
    this.#life++;
    this.#phase = 'out';
    this.#memberId = '';
  }

  /** The next thing that has to be done; `calm`: without whims. */
  act(calm: boolean): void {
    const { random } = this.#world;
    switch (this.#phase) {
      case 'out':
        this.#join();
        break;
      case 'joined':
        this.#sync();
        break;
      case 'in':
        if (calm) this.#beat();
        else if (random.chance(0.04)) this.#leave();
        else if (random.chance(0.03)) this.#join();
        else if (random.chance(0.5) && this.#owned.length > 0) this.#commit();
        else this.#beat();
        break;
      default:
        if (!calm && random.chance(0.02)) this.die();
    }
  }

  #join(): void {
    this.#phase = 'joining';
    this.#owned = [];
    const request = joinRequest({
      groupId: this.groupId,
      memberId: this.#memberId,
      groupInstanceId: this.#instanceId,
      clientId: this.name,
      requiresKnownMemberId: this.#twoStep,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      rebalanceTimeoutMs: 12_000,
    });
    this.#follow(this.#world.groups.join(request), (outcome) => {
      if (outcome.error !== undefined) {
        this.#onJoinRefused(outcome.error, outcome.memberId);
        return;
      }
      this.#memberId = outcome.memberId;
      this.#outcome = outcome;
      this.#phase = 'joined';
    });
  }

  #onJoinRefused({ code }: BurrowError, memberId: string): void {
    this.#phase = 'out';
    if (code === 'MEMBER_ID_REQUIRED') this.#memberId = memberId;
    else this.#onIdRefused(code);
  }

  #sync(): void {
    const { random, groups, sharesPartitions } = this.#world;
    const { generationId, members, skipAssignment } = this.#outcome!;
    this.#phase = 'syncing';
    const order = random.shuffle(members);
    const assignments = order.map(({ memberId }, index) => {
      const mine = Array.from({ length: PARTITIONS }, (_, partition) => partition).filter(
        (partition) => partition % order.length === index || (sharesPartitions && partition === 0),
      );
      return { memberId, assignment: Buffer.from(mine) };
    });
    const request = {
      ...this.#identity(),
      protocolType: 'consumer',
      protocolName: 'range',
      assignments: skipAssignment ? [] : assignments,
    };
    this.#follow(groups.sync(request), ({ assignment }) => {
      this.#owned = [...assignment];
      this.#phase = 'in';
      this.#world.note(`${this.name} has ${this.#owned.join()} of ${this.groupId} in generation ${generationId}`);
      this.#world.ledger.onAssigned(this.groupId, generationId, this.#instanceId ?? this.#memberId, this.#owned);
    });
  }

  #beat(): void {
    try {
      this.#world.groups.heartbeat(this.#identity());
    } catch (error) {
      this.#onRefused(toBurrowError(error));
    }
  }

  #commit(): void {
    const { ledger, groups, random } = this.#world;
    const offsets = random
      .shuffle(this.#owned)
      .slice(0, random.between(1, 3))
      .map((partition) => ({
        topic: TOPIC,
        partition,
        offset: this.#world.nextOffset(),
        leaderEpoch: -1,
        metadata: '',
      }));
    for (const { partition, offset } of offsets) ledger.onCommitSent(this.groupId, partition, offset);
    this.#follow(groups.commitOffsets({ ...this.#identity(), offsets }), (results) => {
      for (const [index, { error }] of results.entries()) {
        const { partition, offset } = offsets[index]!;
        if (error === undefined) ledger.onCommitted(this.groupId, partition, offset);
      }
    });
  }

  #leave(): void {
    const member = { memberId: this.#memberId, groupInstanceId: this.#instanceId, reason: 'a whim' };
    void this.#world.groups.leave({ groupId: this.groupId, members: [member] }).catch(() => {});
    this.die();
  }

  #identity() {
    const { generationId } = this.#outcome!;
    return { groupId: this.groupId, memberId: this.#memberId, generationId, groupInstanceId: this.#instanceId };
  }

  #onRefused({ code }: BurrowError): void {
    this.#world.note(`${this.name} is refused: ${code}`);
    this.#onIdRefused(code);
    this.#phase = 'out';
  }

  #onIdRefused(code: BurrowError['code']): void {
    if (code === 'UNKNOWN_MEMBER') this.#memberId = '';
    // A process that is fenced ends for good; here, no two run under one instance id at once.
    if (code === 'FENCED_INSTANCE') this.#world.fail(new Error(`${this.name} was fenced, and there is no other`));
  }

  #follow<T>(answer: Promise<T>, onAnswer: (outcome: T) => void): void {
    const life = this.#life;
    answer
      .then(
        (outcome) => {
          if (life === this.#life) onAnswer(outcome);
        },
        (error: unknown) => {
          if (life === this.#life) this.#onRefused(toBurrowError(error));
        },
      )
      .catch((error: unknown) => this.#world.fail(error));
  }
}

/**
 * Divides partitions among members that subscribe to different topics: as evenly as their subscriptions allow (the sum of the
 * squares of the loads is least), and among all such divisions one that takes the fewest partitions from who holds them.
 *
 * Which partition of a topic somebody gets does not matter here, only how many: so the unknowns are the shares, and the
 * problem is a flow of least cost from topics through members to a sink.
 *
 *     topic ──(share of the member; costs a move unless the member holds that many)──> member ──(load; costs 2·load + 1)──> sink
 *
 * It begins with what members hold, hands out the rest greedily, and cancels cycles of negative cost until there are none
 * (Klein's algorithm), which is when a flow is cheapest.
 */
export interface SharedTopic {
  readonly partitions: number;
  /** Numbers of the members that subscribe to it; at least one. */
  readonly subscribers: readonly number[];
  /** How many of its partitions each subscriber holds now. */
  readonly held: readonly number[];
}

/** One unit of balance outweighs all moves that a cycle may have. */
const BALANCE = 2 ** 20;

/**
 * Edges looked at before the search is given up, a few hundred milliseconds: thousands of members with thousands of different
 * subscriptions. What is found until then is a whole assignment, if not the best.
 */
const WORK_MAX = 30_000_000;

/** For each topic, how many partitions each of its subscribers gets. */
export function balanceShares(topics: readonly SharedTopic[], memberCount: number): number[][] {
  const network = new Network(topics, memberCount);
  network.handOut();
  while (network.work < WORK_MAX && network.cancelCycle());
  return network.shares;
}

class Network {
  readonly shares: number[][];
  work = 0;
  readonly #topics: readonly SharedTopic[];
  readonly #loads: number[];
  // Nodes: members, then topics, then the sink. Of the search: the cheapest way found to each node, and its last edge.
  readonly #memberCount: number;
  readonly #sink: number;
  readonly #costs: Float64Array;
  readonly #parents: Int32Array;

  constructor(topics: readonly SharedTopic[], memberCount: number) {
    this.#topics = topics;
    this.#memberCount = memberCount;
    this.#sink = memberCount + topics.length;
    this.#costs = new Float64Array(this.#sink + 1);
    this.#parents = new Int32Array(this.#sink + 1);
    this.shares = topics.map(({ held }) => [...held]);
    this.#loads = new Array<number>(memberCount).fill(0);
    topics.forEach(({ subscribers, held }) => {
      subscribers.forEach((member, place) => {
        this.#loads[member]! += held[place]!;
      });
    });
  }

  /** Gives what nobody holds to whoever has least, topics with the fewest subscribers first. */
  handOut(): void {
    const order = this.#topics.map((_, topic) => topic);
    order.sort((a, b) => this.#topics[a]!.subscribers.length - this.#topics[b]!.subscribers.length || a - b);
    for (const topic of order) {
      const { partitions, subscribers } = this.#topics[topic]!;
      const shares = this.shares[topic]!;
      for (let left = partitions - shares.reduce((sum, share) => sum + share, 0); left > 0; left -= 1) {
        let least = 0;
        for (let place = 1; place < subscribers.length; place += 1) {
          if (this.#loads[subscribers[place]!]! < this.#loads[subscribers[least]!]!) least = place;
        }
        shares[least]! += 1;
        this.#loads[subscribers[least]!]! += 1;
      }
    }
  }

  /** Finds a cycle of negative cost and sends along it what fits. False if there is none. */
  cancelCycle(): boolean {
    this.#costs.fill(0);
    this.#parents.fill(-1);
    // Bellman and Ford, from all nodes at once: a cycle of parents is a cycle of negative cost.
    for (;;) {
      if (!this.#relaxAll()) return false;
      const onCycle = this.#findCycle();
      if (onCycle !== undefined) {
        this.#send(onCycle);
        return true;
      }
      if (this.work >= WORK_MAX) return false;
    }
  }

  #relaxAll(): boolean {
    let relaxed = false;
    for (let topic = 0; topic < this.#topics.length; topic += 1) {
      const topicNode = this.#memberCount + topic;
      const { subscribers, held } = this.#topics[topic]!;
      const shares = this.shares[topic]!;
      this.work += subscribers.length;
      for (let place = 0; place < subscribers.length; place += 1) {
        const member = subscribers[place]!;
        const share = shares[place]!;
        // To take one away is a move unless the member got it just now; to give one back saves a move.
        if (share > 0) relaxed = this.#relax(member, topicNode, share > held[place]! ? 0 : 1) || relaxed;
        relaxed = this.#relax(topicNode, member, share < held[place]! ? -1 : 0) || relaxed;
      }
    }
    for (let member = 0; member < this.#memberCount; member += 1) {
      const load = this.#loads[member]!;
      relaxed = this.#relax(member, this.#sink, BALANCE * (2 * load + 1)) || relaxed;
      if (load > 0) relaxed = this.#relax(this.#sink, member, -BALANCE * (2 * load - 1)) || relaxed;
    }
    return relaxed;
  }

  #relax(from: number, to: number, cost: number): boolean {
    const total = this.#costs[from]! + cost;
    if (total >= this.#costs[to]!) return false;
    this.#costs[to] = total;
    this.#parents[to] = from;
    return true;
  }

  /** A node on a cycle of parents. */
  #findCycle(): number | undefined {
    const seenFrom = new Int32Array(this.#parents.length).fill(-1);
    for (let start = 0; start < this.#parents.length; start += 1) {
      let node = start;
      while (node !== -1 && seenFrom[node] === -1) {
        seenFrom[node] = start;
        node = this.#parents[node]!;
      }
      if (node !== -1 && seenFrom[node] === start) return node;
    }
    return undefined;
  }

  #send(start: number): void {
    const edges: Array<readonly [from: number, to: number]> = [];
    let node = start;
    do {
      edges.push([this.#parents[node]!, node]);
      node = this.#parents[node]!;
    } while (node !== start);
    const units = this.#unitsAlong(edges);
    for (const [from, to] of edges) this.#sendAlong(from, to, units);
  }

  /** As many as keep every edge at its cost, and do not turn the balance around. */
  #unitsAlong(edges: ReadonlyArray<readonly [from: number, to: number]>): number {
    let units = Number.POSITIVE_INFINITY;
    let giver = -1;
    let taker = -1;
    for (const [from, to] of edges) {
      if (to === this.#sink) {
        taker = from;
      } else if (from === this.#sink) {
        giver = to;
      } else if (from < this.#memberCount) {
        const [topic, place] = this.#edge(to, from);
        const share = this.shares[topic]![place]!;
        const held = this.#topics[topic]!.held[place]!;
        units = Math.min(units, share > held ? share - held : share);
      } else {
        const [topic, place] = this.#edge(from, to);
        const missing = this.#topics[topic]!.held[place]! - this.shares[topic]![place]!;
        if (missing > 0) units = Math.min(units, missing);
      }
    }
    if (giver >= 0) units = Math.min(units, Math.max(1, Math.floor((this.#loads[giver]! - this.#loads[taker]!) / 2)));
    return units;
  }

  #sendAlong(from: number, to: number, units: number): void {
    if (to === this.#sink) {
      this.#loads[from]! += units;
    } else if (from === this.#sink) {
      this.#loads[to]! -= units;
    } else if (from < this.#memberCount) {
      const [topic, place] = this.#edge(to, from);
      this.shares[topic]![place]! -= units;
    } else {
      const [topic, place] = this.#edge(from, to);
      this.shares[topic]![place]! += units;
    }
  }

  #edge(topicNode: number, member: number): readonly [topic: number, place: number] {
    const topic = topicNode - this.#memberCount;
    return [topic, this.#topics[topic]!.subscribers.indexOf(member)];
  }
}

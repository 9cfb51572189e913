/**
 * What is known about the records of a soak, and the judge of it. Two kinds of witnesses speak: acknowledgments ("record 7
 * of producer 2 is at offset 40 of orders/1") and readings (the same). What one has said holds for ever: a witness who
 * contradicts another, or himself, shows a broken promise. The ledger asks nobody and waits for nothing.
 *
 * Each record tells who it is in its value: `<producer>:<number>:<padding>`, the padding's size following from the number.
 */

/** Who sent a record: its producer and its running number there. */
interface Sent {
  readonly place: PartitionFacts;
  readonly producer: number;
  readonly number: number;
  /** Undefined until a witness has spoken. */
  offset: number | undefined;
  acknowledged: boolean;
}

export interface LedgerTopic {
  readonly name: string;
  readonly partitions: number;
  /** Its retention.bytes, if it has one: the log may start anywhere as long as that much is left. */
  readonly retentionBytes?: number;
}

/** What a broker says of a partition after a restart. */
export interface ReportedPartition {
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly bytes: number;
}

/** What is known of one partition. */
export interface KnownPartition {
  readonly end: number;
  readonly removedTo: number;
  readonly jumpedTo: number;
}

export class PartitionFacts {
  readonly topic: string;
  readonly partition: number;
  readonly retentionBytes: number | undefined;
  /** By offset. A hole is an offset of which nobody has spoken yet. */
  readonly records: Array<Sent | undefined> = [];
  /** The highest offset below which somebody asked to remove records, and the highest that was acknowledged. */
  removalAsked = 0;
  removalAcknowledged = 0;
  /** The highest offset at which a reader went on because what came before was removed. */
  jumpedTo = 0;
  /** The highest log start offset and high watermark that a broker told. */
  #logStartSeen = 0;
  #highWatermarkSeen = 0;

  constructor({ name, retentionBytes }: LedgerTopic, partition: number) {
    this.topic = name;
    this.partition = partition;
    this.retentionBytes = retentionBytes;
  }

  get key(): string {
    return `${this.topic}-${this.partition}`;
  }

  /** Whether records may vanish from the log's start. */
  get isTrimmed(): boolean {
    return this.retentionBytes !== undefined || this.removalAsked > 0;
  }

  /** What a broker that is asked from now on must know. */
  get known(): KnownPartition {
    return { end: this.records.length, removedTo: this.removalAcknowledged, jumpedTo: this.jumpedTo };
  }

  /**
   * Holds what a broker reports against what is known.
   * @param known - before the broker was asked: the load goes on while its answer is under way
   */
  check({ logStartOffset, highWatermark, bytes }: ReportedPartition, known: KnownPartition): void {
    const { end: knownEnd, removedTo, jumpedTo } = known;
    if (highWatermark < knownEnd) {
      throw new Error(`${this.key} ends at ${highWatermark}, but ${tell(this.records[knownEnd - 1])} is lost`);
    }
    if (highWatermark < this.#highWatermarkSeen || logStartOffset < this.#logStartSeen) {
      throw new Error(
        `${this.key} went back: ${logStartOffset} to ${highWatermark}, before ${this.#logStartSeen} to ${this.#highWatermarkSeen}`,
      );
    }
    if (logStartOffset < jumpedTo) {
      throw new Error(`${this.key} starts at ${logStartOffset}, but a reader found nothing before ${jumpedTo}`);
    }
    if (logStartOffset < removedTo) {
      throw new Error(`${this.key} starts at ${logStartOffset}; its removal to ${removedTo} is lost`);
    }
    if (logStartOffset > this.removalAsked) {
      if (this.retentionBytes === undefined) {
        throw new Error(`${this.key} starts at ${logStartOffset}: records from ${this.removalAsked} on are lost`);
      }
      if (bytes < this.retentionBytes) {
        throw new Error(`${this.key}: retention left ${bytes} bytes of at least ${this.retentionBytes}`);
      }
    }
    this.#logStartSeen = logStartOffset;
    this.#highWatermarkSeen = highWatermark;
  }
}

export class Ledger {
  readonly partitions: readonly PartitionFacts[];
  readonly #byKey = new Map<string, PartitionFacts>();
  readonly #sent: Sent[][] = [];
  acknowledgedCount = 0;

  constructor(topics: readonly LedgerTopic[]) {
    this.partitions = topics.flatMap((topic) =>
      Array.from({ length: topic.partitions }, (_, partition) => new PartitionFacts(topic, partition)),
    );
    for (const facts of this.partitions) this.#byKey.set(facts.key, facts);
  }

  facts(topic: string, partition: number): PartitionFacts {
    const facts = this.#byKey.get(`${topic}-${partition}`);
    if (facts === undefined) throw new Error(`${topic}-${partition} is not in the ledger`);
    return facts;
  }

  /** A record is about to be sent. */
  send(producer: number, place: PartitionFacts): { readonly entry: Sent; readonly value: Buffer } {
    this.#sent[producer] ??= [];
    const entries = this.#sent[producer];
    const entry: Sent = { place, producer, number: entries.length, offset: undefined, acknowledged: false };
    entries.push(entry);
    return { entry, value: recordValue(entry) };
  }

  acknowledged(entry: Sent, offset: number): void {
    if (entry.acknowledged) throw new Error(`${tell(entry)} was acknowledged twice`);
    entry.acknowledged = true;
    this.acknowledgedCount++;
    establish(entry, offset, 'was acknowledged');
  }

  /** Somebody read this value at this place. Per record. */
  read(place: PartitionFacts, offset: number, value: Uint8Array | null): Sent {
    const entry = this.#entryOf(value);
    if (entry === undefined || entry.place !== place) {
      const text = value === null ? 'null' : Buffer.from(value).toString('latin1', 0, 40);
      throw new Error(`${place.key} has "${text}" at offset ${offset}, which was never sent there`);
    }
    const known = place.records[offset];
    if (known !== entry) establish(entry, offset, 'was read');
    return entry;
  }

  /** The record that says so of itself, if it is whole. */
  #entryOf(value: Uint8Array | null): Sent | undefined {
    if (value === null) return undefined;
    const numbers = [0, 0];
    let at = 0;
    for (let i = 0; i < 2; i++) {
      for (; at < value.length && value[at] !== 0x3a; at++) numbers[i] = numbers[i]! * 10 + value[at]! - 0x30;
      at++;
    }
    const entry = this.#sent[numbers[0]!]?.[numbers[1]!];
    return entry !== undefined && value.length - at === paddingBytes(entry.number) ? entry : undefined;
  }
}

/** Reads one partition from one place on, and holds the order of what it meets against the promise. */
export class Reading {
  readonly #ledger: Ledger;
  readonly place: PartitionFacts;
  readonly #lastNumbers: number[] = [];
  nextOffset: number;

  constructor(ledger: Ledger, place: PartitionFacts, from: number) {
    this.#ledger = ledger;
    this.place = place;
    this.nextOffset = from;
  }

  /** Per record. */
  record(offset: number, value: Uint8Array | null): void {
    if (offset !== this.nextOffset) {
      const mayJump = offset > this.nextOffset && this.place.isTrimmed;
      if (!mayJump) throw new Error(`${this.place.key}: offset ${offset} where ${this.nextOffset} comes next`);
      this.place.jumpedTo = Math.max(this.place.jumpedTo, offset);
    }
    const { producer, number } = this.#ledger.read(this.place, offset, value);
    const last = this.#lastNumbers[producer] ?? -1;
    if (number <= last) {
      throw new Error(
        `${this.place.key}: record ${number} of producer ${producer} stands at ${offset}, behind record ${last}`,
      );
    }
    this.#lastNumbers[producer] = number;
    this.nextOffset = offset + 1;
  }
}

function establish(entry: Sent, offset: number, how: string): void {
  const { records } = entry.place;
  if (entry.offset !== undefined && entry.offset !== offset) {
    throw new Error(`${tell(entry)} ${how} at ${offset} too: it is there twice`);
  }
  const other = records[offset];
  if (other !== undefined && other !== entry) throw new Error(`${tell(other)}: ${tell(entry)} ${how} at that offset`);
  entry.offset = offset;
  // Filled, so that the array stays one block of memory.
  while (records.length < offset) records.push(undefined);
  records[offset] = entry;
}

function tell(entry: Sent | undefined): string {
  if (entry === undefined) return 'a record';
  const { producer, number, place, offset, acknowledged } = entry;
  const where = offset === undefined ? 'sent' : `${acknowledged ? 'acknowledged' : 'read'} at ${offset}`;
  return `record ${number} of producer ${producer}, ${where} in ${place.key},`;
}

function paddingBytes(number: number): number {
  return number % 7 === 0 ? 800 : number % 3 === 0 ? 0 : 50;
}

function recordValue({ producer, number }: Sent): Buffer {
  return Buffer.from(`${producer}:${number}:${'.'.repeat(paddingBytes(number))}`, 'latin1');
}

/** Bounds inside a queue that no user sets: how much is done in one go. Tests make them small to reach what lies behind. */
export interface QueueLimits {
  /** A batch of messages is closed when it is this large, so that one large batch does not delay others for long. */
  readonly batchBytes: number;
  /** Messages handed out in one go; then others have their turn. */
  readonly dispatchMax: number;
  /** Dead letters of a queue that are on their way at a time. */
  readonly deadLettersInFlightMax: number;
  /** How long a message stays away whose dead letter found no place, and how long a queue waits that could not be read. */
  readonly retryMs: number;
  /** A snapshot of settlements is written when notes have taken this much since the last one, and several times what it would take. */
  readonly snapshotAfterBytes: number;
  /** Ranges or messages in one note of settlements. */
  readonly noteEntriesMax: number;
}

export const QUEUE_LIMITS_DEFAULTS: QueueLimits = {
  batchBytes: 512 * 1024,
  dispatchMax: 2_048,
  deadLettersInFlightMax: 1_024,
  retryMs: 1_000,
  snapshotAfterBytes: 4 * 1024 * 1024,
  noteEntriesMax: 20_000,
};

/** What one client may take from the native listener. Every limit is an option of `startNativeListener`. */
import { FRAME_BYTES_MAX_DEFAULT } from '../../../src/protocol/version.ts';

export interface NativeLimits {
  /** Largest message of a client. */
  readonly frameBytesMax: number;
  readonly connectionsMax: number;
  readonly connectionsPerIpMax: number;
  /** From the TCP connection to the end of hello. */
  readonly handshakeTimeoutMs: number;
  /** Without a sign of life; the broker pings at half of it. */
  readonly idleTimeoutMs: number;
  /** From one whole message (or pong) to the next, while bytes arrive. */
  readonly requestArrivalTimeoutMs: number;
  /** Requests of one connection that are not answered; beyond it the socket is not read. */
  readonly inFlightRequestsMax: number;
  /** Bytes of such requests; beyond it the socket is not read. */
  readonly inFlightBytesMax: number;
  /** Fetches among them; beyond it they are refused, so that long polls never keep other requests from being read. */
  readonly inFlightFetchesMax: number;
  /** Joins and syncs of groups among them; beyond it they are refused, so that they never keep heartbeats from being read. */
  readonly inFlightJoinsMax: number;
  /** Push streams of one connection. */
  readonly pushStreamsMax: number;
  /** Partitions in all of them together. */
  readonly pushStreamPartitionsMax: number;
  /** Bytes of records or messages in one push; may be exceeded by a batch or a message. */
  readonly pushFrameBytesMax: number;
  /** Channels of one connection. */
  readonly queueChannelsMax: number;
  /** Messages in one publish. They are routed in one go, which is how long others wait. */
  readonly publishMessagesMax: number;
  /** Exchanges, queues or bindings in one answer; there is more by asking again. */
  readonly listedEntriesMax: number;
  /** Messages in one answer to browseQueue. */
  readonly browsedMessagesMax: number;
  /**
   * Answers that the peer has not taken; beyond it its requests wait. Also what all its fetches together may ask for, and what
   * its push streams may have under way.
   */
  readonly writeBufferedBytesMax: number;
  /** A peer that takes nothing for this long is cut off. */
  readonly writeStallTimeoutMs: number;
  /** Longest wait of a fetch. */
  readonly fetchWaitMsMax: number;
}

export const NATIVE_LIMITS: NativeLimits = {
  frameBytesMax: FRAME_BYTES_MAX_DEFAULT,
  connectionsMax: 10_000,
  connectionsPerIpMax: 1_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  requestArrivalTimeoutMs: 120_000,
  inFlightRequestsMax: 1_000,
  inFlightBytesMax: 32 * 1024 * 1024,
  inFlightFetchesMax: 200,
  inFlightJoinsMax: 400,
  pushStreamsMax: 256,
  pushStreamPartitionsMax: 20_000,
  pushFrameBytesMax: 1024 * 1024,
  queueChannelsMax: 2000,
  publishMessagesMax: 10_000,
  listedEntriesMax: 10_000,
  browsedMessagesMax: 1000,
  writeBufferedBytesMax: 8 * 1024 * 1024,
  writeStallTimeoutMs: 60_000,
  fetchWaitMsMax: 300_000,
};

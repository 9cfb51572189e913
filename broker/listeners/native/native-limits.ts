/** Limits of the native listener, each an option of the broker. */
import { FRAME_BYTES_MAX_DEFAULT } from '../../../src/protocol/version.ts';

export interface NativeLimits {
  /** Largest message in either direction. */
  readonly frameBytesMax: number;
  readonly connectionsMax: number;
  readonly connectionsPerIpMax: number;
  /** From the TCP connection to the end of hello. */
  readonly handshakeTimeoutMs: number;
  /** Without a sign of life; the broker pings at half of it. */
  readonly idleTimeoutMs: number;
  /** Requests of one connection that are not answered; beyond it the socket is not read. */
  readonly inFlightRequestsMax: number;
  /** Bytes of such requests; beyond it the socket is not read. */
  readonly inFlightBytesMax: number;
  /** Answers that the peer has not taken; beyond it its requests wait. */
  readonly writeBufferedBytesMax: number;
  /** A peer that takes nothing for this long is cut off. */
  readonly writeStallTimeoutMs: number;
  /** Longest wait of a fetch. */
  readonly fetchWaitMsMax: number;
}

export const NATIVE_LIMITS: NativeLimits = {
  frameBytesMax: FRAME_BYTES_MAX_DEFAULT,
  connectionsMax: 10_000,
  connectionsPerIpMax: 10_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  inFlightRequestsMax: 1024,
  inFlightBytesMax: 64 * 1024 * 1024,
  writeBufferedBytesMax: 32 * 1024 * 1024,
  writeStallTimeoutMs: 60_000,
  fetchWaitMsMax: 300_000,
};

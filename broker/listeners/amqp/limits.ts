/**
 * What one client may take from the AMQP listener. Every limit is an option of `startAmqpListener`; `start-listeners.ts` says which
 * option of the broker it is.
 */
export interface AmqpLimits {
  /** Largest frame that is offered in tune (RabbitMQ: frame_max). At least 4096. */
  readonly frameBytesMax: number;
  /** Largest frame before tune (RabbitMQ: initial_frame_max). */
  readonly handshakeFrameBytesMax: number;
  /** Channels of one connection, offered in tune (RabbitMQ: channel_max). */
  readonly channelsMax: number;
  /** Heartbeat that is suggested in tune; what the client answers counts. */
  readonly heartbeatSeconds: number;
  /** Largest body (RabbitMQ: max_message_size). */
  readonly messageBytesMax: number;
  /** Contents of one connection that have begun to arrive, all channels together. */
  readonly unassembledBytesMax: number;
  /** From the first to the last frame of a content. */
  readonly contentArrivalTimeoutMs: number;
  /** Methods of one connection that wait for an earlier one of their channel; beyond it the socket is not read. */
  readonly waitingMethodsMax: number;
  /** Their contents' bytes; likewise. */
  readonly waitingBytesMax: number;
  /** Bytes that a client has not taken; beyond it nothing is delivered to it and the socket is not read. */
  readonly outgoingBytesMax: number;
  /**
   * Bytes that all connections together hold. Beyond it the connection that holds most is closed, so that one client cannot take
   * the memory that others need.
   */
  readonly bufferedBytesTotalMax: number;
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** From the connection to connection.open-ok (RabbitMQ: handshake_timeout). */
  readonly handshakeTimeoutMs: number;
  /** Without progress of what the client does not take. */
  readonly writeStallTimeoutMs: number;
  /** How long a client may take to answer connection.close, and `close()` to wait for all of them. */
  readonly closeTimeoutMs: number;
}

/** Below it nobody goes: the smallest frame_max of the specification, which old clients ask for. */
export const FRAME_BYTES_MAX_FLOOR = 4096;

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

export const DEFAULT_AMQP_LIMITS: AmqpLimits = {
  frameBytesMax: 128 * KIBIBYTE,
  handshakeFrameBytesMax: 16 * KIBIBYTE,
  channelsMax: 2047,
  heartbeatSeconds: 60,
  messageBytesMax: 16 * MEBIBYTE,
  unassembledBytesMax: 64 * MEBIBYTE,
  contentArrivalTimeoutMs: 120_000,
  waitingMethodsMax: 1000,
  waitingBytesMax: 8 * MEBIBYTE,
  outgoingBytesMax: 8 * MEBIBYTE,
  bufferedBytesTotalMax: 1024 * MEBIBYTE,
  connectionsMax: 4096,
  connectionsPerAddressMax: 1024,
  handshakeTimeoutMs: 10_000,
  writeStallTimeoutMs: 30_000,
  closeTimeoutMs: 5_000,
};

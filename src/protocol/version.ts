/** What both ends of the native protocol agree on before the first message. */

/** WebSocket subprotocol. */
export const SUBPROTOCOL = 'burrow.v1';
/** Versions of the messages that this code speaks. */
export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 1;

/** First element of a message from the broker: an answer, or a push of some kind. */
export const RESPONSE_FRAME = 0;
/** The broker is about to close this connection; body []. */
export const GOING_AWAY_PUSH = 1;
/** Records of a push stream; body: `RECORDS_PUSH_BODY` in messages.ts. */
export const RECORDS_PUSH = 2;
/** Messages of a queue for the consumer of a channel; body: `DELIVERIES_PUSH_BODY`. The stream id is the channel's. */
export const DELIVERIES_PUSH = 3;
/** The broker has ended the consumer of a channel; body: `ENDED_PUSH_BODY`. */
export const CONSUMER_ENDED_PUSH = 4;
/** The broker has closed a channel; body: `ENDED_PUSH_BODY`. */
export const CHANNEL_CLOSED_PUSH = 5;

/** Largest frame by default: a fetch answer of 16 MiB and its frame. */
export const FRAME_BYTES_MAX_DEFAULT = 17 * 1024 * 1024;
/** Largest frame before the handshake is done. */
export const HELLO_FRAME_BYTES_MAX = 4096;

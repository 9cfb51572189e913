/** What one client may take from the Kafka listener. Every limit is an option of `startKafkaListener`. */
export interface KafkaLimits {
  /** Largest request, without its length field (Kafka: socket.request.max.bytes). */
  readonly requestBytesMax: number;
  /** Elements of all arrays, and tagged fields, of one request together. */
  readonly requestElementsMax: number;
  /** Requests of one connection that are being worked on; beyond it the socket is not read. */
  readonly inFlightRequestsMax: number;
  /** Their bytes; a single request may be larger if it is alone. */
  readonly inFlightBytesMax: number;
  /** Bytes of responses that a client has not taken; beyond it the socket is not read. */
  readonly outgoingBytesMax: number;
  /** Records in one fetch response, whatever the client asks for (Kafka: fetch.max.bytes). */
  readonly fetchBytesMax: number;
  /**
   * Bytes that all connections together hold: requests arriving and in flight, responses not taken. Beyond it the connection
   * that holds most is closed, so that one client cannot take the memory that others need.
   */
  readonly bufferedBytesTotalMax: number;
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** From the connection to its first whole request. */
  readonly firstRequestTimeoutMs: number;
  /** From the first to the last byte of one request. */
  readonly requestArrivalTimeoutMs: number;
  /** Without a byte from or to the client and without a request in flight (Kafka: connections.max.idle.ms). */
  readonly idleTimeoutMs: number;
  /** Without progress of a response that the client does not take. */
  readonly writeStallTimeoutMs: number;
  /** How long `close()` waits for requests in flight before it cuts connections. */
  readonly closeTimeoutMs: number;
}

const MEBIBYTE = 1024 * 1024;

export const DEFAULT_KAFKA_LIMITS: KafkaLimits = {
  requestBytesMax: 100 * MEBIBYTE,
  requestElementsMax: 250_000,
  inFlightRequestsMax: 256,
  inFlightBytesMax: 32 * MEBIBYTE,
  outgoingBytesMax: 16 * MEBIBYTE,
  fetchBytesMax: 55 * MEBIBYTE,
  bufferedBytesTotalMax: 1024 * MEBIBYTE,
  connectionsMax: 4096,
  connectionsPerAddressMax: 1024,
  firstRequestTimeoutMs: 10_000,
  requestArrivalTimeoutMs: 120_000,
  idleTimeoutMs: 600_000,
  writeStallTimeoutMs: 30_000,
  closeTimeoutMs: 5_000,
};

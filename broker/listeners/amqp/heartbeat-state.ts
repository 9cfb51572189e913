/**
 * Heartbeats of one connection (AMQP 0-9-1 section 4.2.7), both ways: something is sent at least every half interval, and a peer that
 * sent nothing for two intervals is dead. Pure: time is told. Any traffic counts as a heartbeat.
 */

/** Before dropping: the interval during which the peer is late, twice. */
const MISSED_INTERVALS = 2;

export class HeartbeatState {
  /** 0 for no heartbeats. */
  #intervalMs = 0;
  #lastSentMs = 0;
  #lastReceivedMs = 0;

  /** `intervalSeconds` is what the client asked for; 0 switches heartbeats off. */
  begin(intervalSeconds: number, nowMs: number): void {
    this.#intervalMs = intervalSeconds * 1000;
    this.#lastSentMs = nowMs;
    this.#lastReceivedMs = nowMs;
  }

  onSent(nowMs: number): void {
    this.#lastSentMs = nowMs;
  }

  onReceived(nowMs: number): void {
    this.#lastReceivedMs = nowMs;
  }

  /** Asked at intervals well below half of the shortest one, a second. `isReading`: a peer that we do not read cannot be heard. */
  due(nowMs: number, isReading: boolean): 'nothing' | 'send' | 'dead' {
    if (this.#intervalMs === 0) return 'nothing';
    if (!isReading) this.#lastReceivedMs = nowMs;
    if (nowMs - this.#lastReceivedMs > this.#intervalMs * MISSED_INTERVALS) return 'dead';
    return nowMs - this.#lastSentMs >= this.#intervalMs / 2 ? 'send' : 'nothing';
  }
}

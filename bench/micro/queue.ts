/** What a queue decides per message: which one is next, and that one is settled. No bodies, no disk. */
import { QueueState } from '../../broker/queues/queue-state.ts';
import type { MicroTask } from './micro-task.ts';

const MESSAGES = 1000;
/** As many as 4 consumers with a prefetch of 250 hold. */
const IN_FLIGHT = 1000;

/** A queue that has handed out some messages already, and gets as many more as are settled. */
class RunningQueue {
  readonly state: QueueState;
  #oldest = 0;

  constructor(levels = 1) {
    this.state = new QueueState(0, levels);
    this.#publish(IN_FLIGHT);
    for (let count = 0; count < IN_FLIGHT; count++) this.#take();
  }

  /** Each message is taken, and the oldest one that is in flight is settled. */
  settleInOrder(): number {
    this.#publish(MESSAGES);
    for (let count = 0; count < MESSAGES; count++) {
      this.#take();
      this.state.settle(this.#oldest++);
    }
    return this.state.inFlightCount;
  }

  /** As with several consumers: of those in flight, the settled ones are scattered. */
  settleScattered(): number {
    this.#publish(MESSAGES);
    for (let count = 0; count < MESSAGES; count++) this.#take();
    // 7 and 1000 have no common divisor: each is settled once.
    for (let count = 0; count < MESSAGES; count++) this.state.settle(this.#oldest + ((count * 7) % MESSAGES));
    this.#oldest += MESSAGES;
    return this.state.inFlightCount;
  }

  /** Each message is taken, comes back, is taken again and settled. */
  requeueOnce(): number {
    this.#publish(MESSAGES);
    for (let count = 0; count < MESSAGES; count++) {
      this.state.requeue(this.#take());
      this.#take();
      this.state.settle(this.#oldest++);
    }
    return this.state.inFlightCount;
  }

  #publish(count: number): void {
    this.state.extend(this.state.endOffset + count, (offset) => offset % 10);
  }

  #take(): number {
    this.state.peek();
    return this.state.take();
  }
}

/** With priorities messages are not taken in the order of their offsets, so what was taken is settled at once. */
function settleByPriority(state: QueueState): number {
  state.extend(state.endOffset + MESSAGES, (offset) => offset % 10);
  for (let count = 0; count < MESSAGES; count++) {
    state.peek();
    state.settle(state.take());
  }
  return state.floor;
}

export function queueTasks(): MicroTask[] {
  const inOrder = new RunningQueue();
  const scattered = new RunningQueue();
  const returning = new RunningQueue();
  const priorities = new QueueState(0, 10);
  const perMessage = (name: string, run: () => number): MicroTask => ({ name, unit: 'message', units: MESSAGES, run });
  return [
    perMessage('take and settle, in order', () => inOrder.settleInOrder()),
    perMessage('take and settle, scattered', () => scattered.settleScattered()),
    perMessage('take, requeue, take and settle', () => returning.requeueOnce()),
    perMessage('take and settle, 10 priorities', () => settleByPriority(priorities)),
  ];
}

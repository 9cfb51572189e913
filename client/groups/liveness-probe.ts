/**
 * Whether a connection lives is not seen while it waits for an answer that may take minutes, as those to joins do: a peer that is
 * gone without a word looks like one that waits for other members. So something small is asked meanwhile.
 */
import type { ClientClock, ClientTimer } from '../clock.ts';

export interface LivenessProbe {
  readonly clock: ClientClock;
  readonly intervalMs: number;
  /** Its failure must fail `waiting` too, as that of a request which times out fails all of its connection. */
  readonly ask: () => Promise<unknown>;
}

/** As `waiting`, with a question each interval, the next when the last is answered. */
export async function withProbes<T>(waiting: Promise<T>, { clock, intervalMs, ask }: LivenessProbe): Promise<T> {
  let timer: ClientTimer;
  let isOver = false;
  const schedule = (): void => {
    if (isOver) return;
    timer = clock.schedule(intervalMs, () => {
      ask().then(schedule, schedule);
    });
  };
  schedule();
  try {
    return await waiting;
  } finally {
    isOver = true;
    timer!.cancel();
  }
}

/** Publishing and consuming as fast as it goes, through the SDK. */
import type { Queue, QueueMessage } from '../../client/index.ts';

/** With so many confirms outstanding. Resolves at the last confirm with messages a second. */
export async function publishAll(
  messages: number,
  confirmsOutstanding: number,
  publish: (index: number) => Promise<void>,
): Promise<number> {
  let next = 0;
  const startMs = performance.now();
  const lane = async (): Promise<void> => {
    while (next < messages) await publish(next++);
  };
  await Promise.all(Array.from({ length: confirmsOutstanding }, lane));
  return perSecond(messages, startMs);
}

export interface ConsumeLoad {
  readonly messages: number;
  readonly prefetch: number;
  /** On each queue. Default 1. */
  readonly consumers?: number;
  /** All consumers are there. */
  readonly onStarted?: () => void;
  readonly onMessage?: (message: QueueMessage) => void;
}

/**
 * Acknowledges so many messages of these queues, all together. Resolves with messages a second, from the first subscription until all
 * acknowledgments are durable.
 */
export async function consumeAll(queues: readonly Queue[], load: ConsumeLoad): Promise<number> {
  const { messages, prefetch, consumers = 1, onStarted, onMessage } = load;
  let count = 0;
  let done: () => void = () => {};
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  const handler = (message: QueueMessage): void => {
    onMessage?.(message);
    if (++count === messages) done();
  };
  const startMs = performance.now();
  const started = queues.flatMap((queue) =>
    Array.from({ length: consumers }, () => queue.consume(handler, { prefetch })),
  );
  const running = await Promise.all(started);
  onStarted?.();
  await all;
  await Promise.all(running.map((consumer) => consumer.close()));
  return perSecond(messages, startMs);
}

export function perSecond(messages: number, startMs: number): number {
  return (messages * 1000) / (performance.now() - startMs);
}

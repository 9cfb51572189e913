/**
 * One client process of the queues benchmark's part about latency: takes its task as JSON in argv, tells its parent what it found. Bodies
 * carry the moment from which time counts, or 0 for those that only warm up.
 */
import { connect } from '../../client/index.ts';
import { type LatencyResult, newHistogram, record, summary } from '../support/latencies.ts';
import { consumeAll, perSecond, publishAll } from './load.ts';
import { bodyWith, nowMs, numberIn } from './options.ts';

interface Load {
  readonly url: string;
  readonly queue: string;
  /** Those that warm up come first. */
  readonly warmUpMessages: number;
  readonly messages: number;
}

export type QueueTask =
  | (Load & { readonly role: 'publish-at-rate'; readonly perSecond: number; readonly bodyBytes: number })
  | (Load & { readonly role: 'publish-flat-out'; readonly confirmsOutstanding: number; readonly bodyBytes: number })
  | (Load & { readonly role: 'receive'; readonly prefetch: number });

export type QueueReport =
  | { readonly kind: 'receiving' }
  | { readonly kind: 'published'; readonly perSecond: number; readonly confirms: LatencyResult }
  | { readonly kind: 'received'; readonly deliveries: LatencyResult };

const task = JSON.parse(process.argv[2]!) as QueueTask;
const client = await connect(task.url, { connectWaitMs: 10_000 });
const queue = client.queue(task.queue);
const histogram = newHistogram();
const total = task.warmUpMessages + task.messages;
switch (task.role) {
  case 'publish-at-rate':
    await publishAtRate(task);
    break;
  case 'publish-flat-out':
    await publishFlatOut(task);
    break;
  case 'receive':
    await receive(task);
}
await client.close();
process.disconnect();

function tell(report: QueueReport): void {
  process.send!(report);
}

/** Time counts from the moment a message was due, not from when it was sent: a stall counts for all that it delays. */
async function publishAtRate(work: Extract<QueueTask, { role: 'publish-at-rate' }>): Promise<void> {
  const { warmUpMessages, bodyBytes } = work;
  const startMs = nowMs();
  const startedMs = performance.now();
  const pending: Array<Promise<void>> = [];
  for (let sent = 0; sent < total; ) {
    const dueCount = Math.min(total, Math.floor(((nowMs() - startMs) / 1000) * work.perSecond));
    for (; sent < dueCount; sent++) {
      const dueMs = startMs + (sent / work.perSecond) * 1000;
      const counts = sent >= warmUpMessages;
      const confirmed = queue.publish(bodyWith(counts ? dueMs : 0, bodyBytes), { persistent: true });
      pending.push(counts ? confirmed.then(() => record(histogram, nowMs() - dueMs)) : confirmed);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  tell({ kind: 'published', perSecond: perSecond(total, startedMs), confirms: summary(histogram) });
}

async function publishFlatOut(work: Extract<QueueTask, { role: 'publish-flat-out' }>): Promise<void> {
  const { warmUpMessages, confirmsOutstanding, bodyBytes } = work;
  const publish = async (index: number): Promise<void> => {
    const sentMs = nowMs();
    const counts = index >= warmUpMessages;
    await queue.publish(bodyWith(counts ? sentMs : 0, bodyBytes), { persistent: true });
    if (counts) record(histogram, nowMs() - sentMs);
  };
  const rate = await publishAll(total, confirmsOutstanding, publish);
  tell({ kind: 'published', perSecond: rate, confirms: summary(histogram) });
}

async function receive({ prefetch }: Extract<QueueTask, { role: 'receive' }>): Promise<void> {
  const received = consumeAll([queue], {
    messages: total,
    prefetch,
    onMessage: ({ body }) => {
      const fromMs = numberIn(body);
      if (fromMs > 0) record(histogram, nowMs() - fromMs);
    },
    onStarted: () => tell({ kind: 'receiving' }),
  });
  await received;
  tell({ kind: 'received', deliveries: summary(histogram) });
}

/** A worker: takes one job after the other from a queue, and publishes results. Run as many as you like, anywhere. */
import { connect, type QueueMessage } from '../../../client/index.ts';
import { serviceArguments } from '../../support/service.ts';
import { stopRequested } from '../../support/stop-requested.ts';
import type { JobResult } from '../jobs.ts';
import { declareTopology, RESULTS_QUEUE } from '../topology.ts';

/** Thrown for a job that no retry will make better. */
export class HopelessJob extends Error {}

/** Runs until it is asked to stop. `work` gives the result of a job; what it throws is tried again later, unless it is hopeless. */
export async function runWorker(queueName: string, work: (job: QueueMessage) => Promise<string>): Promise<void> {
  const client = await connect(serviceArguments().url, { clientId: 'worker', connectWaitMs: 60_000 });
  await declareTopology(client);
  const results = client.queue(RESULTS_QUEUE);

  const handle = async (job: QueueMessage): Promise<void> => {
    const takenAtMs = Date.now();
    try {
      const { messageId, priority = 0 } = job.properties;
      const isFirstTry = !job.redelivered && !job.headers.has('x-death');
      const result: JobResult = { jobId: messageId!, result: await work(job), priority, takenAtMs, isFirstTry };
      // Only when the result is stored is the job acknowledged, by returning. A worker that dies between the two has the job done
      // twice, with the same id: whoever takes the results must expect that.
      await results.publish(JSON.stringify(result), { messageId: messageId! });
    } catch (error) {
      if (!(error instanceof HopelessJob)) throw error;
      job.reject();
    }
  };

  const consumer = await client.queue(queueName).consume(handle, {
    // One at a time: what a worker has fetched cannot be given to one that is idle, and urgent jobs cannot overtake it.
    prefetch: 1,
    // What is thrown goes back to the queue, which knows how often and when it is tried again.
    onThrow: 'requeue',
    onError: () => {},
  });
  const ended = consumer.ended.then((error) => {
    if (error !== undefined) throw error;
  });
  await Promise.race([stopRequested(), ended]);
  await consumer.close();
  await client.close();
}

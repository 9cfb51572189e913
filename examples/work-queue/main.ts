/**
 * A work queue, with everything that happens to jobs: `npm run example work-queue [-- --kills 4 --seed N]`. See README.md beside
 * this file.
 *
 * Jobs are published, workers do them, workers and the broker are killed meanwhile. What the first version of a worker cannot do ends
 * as dead letters; a second version is deployed, the dead letters are replayed, and what is left are jobs that nobody can do.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../../client/index.ts';
import { runExample } from '../support/example-run.ts';
import { allResults, openArchive } from './archive/results.ts';
import { audit } from './audit.ts';
import { type Job, makeJobs } from './jobs.ts';
import { deathReason, replayDeadLetters } from './replay.ts';
import {
  DEAD_LETTER_QUEUE,
  declareTopology,
  deleteTopology,
  IMAGE_QUEUE,
  JOBS_EXCHANGE,
  RESULTS_QUEUE,
  TEXT_QUEUE,
} from './topology.ts';

const JOBS = 120;
const TEXT_WORKERS = ['text-worker-a', 'text-worker-b'];

await runExample('work-queue', { kills: 4 }, async (run) => {
  const { supervisor, client, random, tell } = run;
  await declareTopology(client);
  const jobs = makeJobs(JOBS, random);
  await run.waitFor('publishing', publishAll(client, jobs));
  tell(`${JOBS} jobs published and confirmed`);

  supervisor.startService('archive', new URL('./archive/archive.js', import.meta.url));
  supervisor.startService('image-worker', new URL('./worker/image-worker.js', import.meta.url));
  for (const name of TEXT_WORKERS) {
    supervisor.startService(name, new URL('./worker/text-worker-1.js', import.meta.url));
  }
  const victims = [...TEXT_WORKERS, 'image-worker', 'archive', ...(supervisor.hasBroker ? ['broker'] : [])];
  for (let kill = 0; kill < run.kills; kill++) {
    await run.waitFor('the pause', sleep(random.integer(300, 700)));
    await supervisor.kill(random.pick(victims));
  }
  await run.waitFor('the jobs', allDone(client));

  const letters = await client.queue(DEAD_LETTER_QUEUE).browse({ limit: JOBS });
  for (const reason of ['delivery_limit', 'rejected']) {
    const kinds = letters.filter((each) => deathReason(each) === reason).map(({ routingKey }) => routingKey);
    tell(`${kinds.length} dead letters because of ${reason}: ${[...new Set(kinds)].join(', ')}`);
  }

  await run.waitFor('the old workers', supervisor.stop(...TEXT_WORKERS));
  for (const name of TEXT_WORKERS) {
    supervisor.startService(name, new URL('./worker/text-worker-2.js', import.meta.url));
  }
  const replayed = await run.waitFor('the replay', replayDeadLetters(client, 'delivery_limit'));
  tell(`${replayed} dead letters replayed, for the second version of the text worker`);
  await run.waitFor('the replayed jobs', allDone(client));
  await run.waitFor('the workers', supervisor.stop('archive', 'image-worker', ...TEXT_WORKERS));

  const archive = openArchive(run.folder);
  const results = allResults(archive);
  archive.close();
  const left = await client.queue(DEAD_LETTER_QUEUE).browse({ limit: JOBS });
  const deadLetters = left.map(({ properties }) => properties.messageId!);
  await deleteTopology(client);
  tell(`${results.length} results, ${deadLetters.length} dead letters left: images that are torn`);
  const complaints = audit({ jobs, results, deadLetters, workers: TEXT_WORKERS.length });
  if (complaints.length === 0)
    tell('Each job was done once, urgent ones first, or is a dead letter that nobody can do.');
  return complaints;
});

/** All at once, and then one wait for all confirms: much faster than one after the other. */
async function publishAll(client: Client, jobs: readonly Job[]): Promise<void> {
  const exchange = client.exchange(JOBS_EXCHANGE);
  await Promise.all(
    jobs.map(({ jobId, routingKey, priority, body }) =>
      exchange.publish(body, { routingKey, priority, messageId: jobId, mandatory: true }),
    ),
  );
}

/** Resolves when no job and no result is waiting or in work. */
async function allDone(client: Client): Promise<void> {
  const watched = [TEXT_QUEUE, IMAGE_QUEUE, RESULTS_QUEUE];
  for (;;) {
    const queues = await client.virtualHost().listQueues();
    const open = queues
      .filter(({ name }) => watched.includes(name))
      .reduce((sum, { messageCount, unsettledCount }) => sum + messageCount + unsettledCount, 0);
    if (open === 0) return;
    await sleep(50);
  }
}

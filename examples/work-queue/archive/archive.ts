/** The archive: stores results in its database, each once, however often it comes. */
import { connect, type QueueMessage } from '../../../client/index.ts';
import { isFirstTime } from '../../support/inbox.ts';
import { serviceArguments } from '../../support/service.ts';
import { stopRequested } from '../../support/stop-requested.ts';
import type { JobResult } from '../jobs.ts';
import { declareTopology, RESULTS_QUEUE } from '../topology.ts';
import { addResult, openArchive } from './results.ts';

const { url, folder } = serviceArguments();
const database = openArchive(folder);
const client = await connect(url, { clientId: 'archive', connectWaitMs: 60_000 });
await declareTopology(client);

const store = (message: QueueMessage): void => {
  const result = message.json<JobResult>();
  database.transaction(() => {
    if (isFirstTime(database, result.jobId)) addResult(database, result);
  });
};

const consumer = await client.queue(RESULTS_QUEUE).consume(store);
const ended = consumer.ended.then((error) => {
  if (error !== undefined) throw error;
});
await Promise.race([stopRequested(), ended]);
await consumer.close();
await client.close();
database.close();

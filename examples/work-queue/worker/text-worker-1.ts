/** The first version of the text worker. It knows UTF-8 only: other texts fail each time, and end as dead letters. */
import { TEXT_QUEUE } from '../topology.ts';
import { countWords, decodeUtf8 } from './count-words.ts';
import { runWorker } from './worker.ts';

await runWorker(TEXT_QUEUE, (job) => countWords(job, decodeUtf8));

/** The second version of the text worker: it knows UTF-16, too. */
import { TEXT_QUEUE } from '../topology.ts';
import { countWords, decodeAnyUnicode } from './count-words.ts';
import { runWorker } from './worker.ts';

await runWorker(TEXT_QUEUE, (job) => countWords(job, decodeAnyUnicode));

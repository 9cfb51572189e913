/** The jobs, made so that their results are known beforehand. */
import type { SeededRandom } from '../support/seeded-random.ts';
import { URGENT } from './topology.ts';

export interface Job {
  readonly jobId: string;
  /** `text.words` and the encoding, or `image.thumbnail`. */
  readonly routingKey: string;
  readonly priority: number;
  readonly body: Uint8Array;
  /** Undefined: it cannot be done, and has to end as a dead letter. */
  readonly wanted: string | undefined;
}

/** What a worker tells of a job that it has done. */
export interface JobResult {
  readonly jobId: string;
  readonly result: string;
  readonly priority: number;
  readonly takenAtMs: number;
  /** Whether the job was neither tried nor a dead letter before. */
  readonly isFirstTry: boolean;
}

const THUMBNAIL_PIXELS = 4;
const BLOCK_PIXELS = 16;
const WORDS = ['a', 'broker', 'keeps', 'what', 'it', 'has', 'promised', 'straße', 'naïve', '順番'];

/** `count` jobs of all kinds; about every fourth is urgent, some are in UTF-16, and some images are torn. */
export function makeJobs(count: number, random: SeededRandom): Job[] {
  return Array.from({ length: count }, (_, index) => {
    const jobId = `job-${index + 1}`;
    const priority = random.next() < 0.25 ? URGENT : 0;
    // Every 6th a text in UTF-16, every 10th a torn image: there are always some of each.
    if (index % 6 === 5) return { jobId, priority, ...textJob(random, 'utf16') };
    if (index % 10 === 3) return { jobId, priority, ...imageJob(random, true) };
    return { jobId, priority, ...(random.next() < 0.3 ? imageJob(random, false) : textJob(random, 'utf8')) };
  });
}

type JobContent = Pick<Job, 'routingKey' | 'body' | 'wanted'>;

function textJob(random: SeededRandom, encoding: 'utf8' | 'utf16'): JobContent {
  const words = Array.from({ length: random.integer(1, 400) }, () => random.pick(WORDS));
  const text = words.join(' ');
  const body = encoding === 'utf8' ? Buffer.from(text) : Buffer.from(`\ufeff${text}`, 'utf16le');
  return { routingKey: `text.words.${encoding}`, body, wanted: `${words.length} words` };
}

/** A grey image (PGM) of equal squares, so that each pixel of its thumbnail is one of them. */
function imageJob(random: SeededRandom, isTorn: boolean): JobContent {
  const squares = Array.from({ length: THUMBNAIL_PIXELS ** 2 }, () => random.integer(0, 255));
  const side = THUMBNAIL_PIXELS * BLOCK_PIXELS;
  const pixels = Uint8Array.from({ length: side * side }, (_, index) => {
    const row = Math.floor(index / side / BLOCK_PIXELS);
    const column = Math.floor((index % side) / BLOCK_PIXELS);
    return squares[row * THUMBNAIL_PIXELS + column]!;
  });
  const body = Buffer.concat([Buffer.from(`P5 ${side} ${side} 255\n`), pixels]);
  return isTorn
    ? { routingKey: 'image.thumbnail', body: body.subarray(0, body.length / 2), wanted: undefined }
    : { routingKey: 'image.thumbnail', body, wanted: squares.join(' ') };
}

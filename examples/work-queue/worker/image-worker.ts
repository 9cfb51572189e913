/** Makes thumbnails of grey images (PGM, binary), 4 pixels wide. An image that is torn stays torn: no retries for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { IMAGE_QUEUE } from '../topology.ts';
import { HopelessJob, runWorker } from './worker.ts';

const WORK_MS = 15;
const THUMBNAIL_PIXELS = 4;

await runWorker(IMAGE_QUEUE, async (job) => {
  await sleep(WORK_MS);
  return thumbnail(job.body).join(' ');
});

/** Each pixel is the mean of the square that it stands for. */
function thumbnail(image: Uint8Array): number[] {
  const header = /^P5 (\d+) (\d+) 255\n/.exec(Buffer.from(image.subarray(0, 32)).toString('latin1'));
  if (header === null) throw new HopelessJob('this is no PGM image');
  const [all, width, height] = [header[0], Number(header[1]), Number(header[2])];
  const pixels = image.subarray(all.length);
  if (pixels.length !== width * height) throw new HopelessJob('the image is torn');
  const sums = new Array<number>(THUMBNAIL_PIXELS ** 2).fill(0);
  const counts = new Array<number>(THUMBNAIL_PIXELS ** 2).fill(0);
  pixels.forEach((value, index) => {
    const row = Math.floor((Math.floor(index / width) * THUMBNAIL_PIXELS) / height);
    const column = Math.floor(((index % width) * THUMBNAIL_PIXELS) / width);
    sums[row * THUMBNAIL_PIXELS + column]! += value;
    counts[row * THUMBNAIL_PIXELS + column]! += 1;
  });
  return sums.map((sum, index) => Math.round(sum / counts[index]!));
}

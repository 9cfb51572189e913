import fc from 'fast-check';
import { expect, test } from 'vitest';
import { startBed } from './listener-bed.ts';
import { runSpoiltStream } from './spoilt-streams.ts';

const STREAMS = 400;

test('spoilt streams end their connection or a channel, and nothing else', async () => {
  const sums = { frames: 0, messages: 0, channelErrors: 0, connectionErrors: 0 };
  for (let seed = 1; seed <= STREAMS; seed++) {
    const facts = await runSpoiltStream(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    for (const key of Object.keys(sums) as Array<keyof typeof sums>) sums[key] += facts[key];
  }
  // All of it happened, so that the streams test something.
  expect(sums.frames).toBeGreaterThan(STREAMS * 20);
  expect(sums.messages).toBeGreaterThan(STREAMS);
  expect(sums.channelErrors).toBeGreaterThan(STREAMS / 10);
  expect(sums.connectionErrors).toBeGreaterThan(STREAMS / 10);
}, 60_000);

test('any bytes at all leave the listener to others', async () => {
  const { listener, open } = await startBed();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 8, maxLength: 200 }), fc.boolean(), async (bytes, afterHeader) => {
      const client = await open();
      const stranger = await open();
      stranger.send(...(afterHeader ? [bytes] : [Buffer.from([1, 0, 1]), bytes]));
      stranger.socket.end();
      await stranger.closed();
      await client.openChannel(1);
      client.socket.destroy();
    }),
    { numRuns: 30 },
  );
  await expect.poll(() => listener.connections).toBe(0);
});

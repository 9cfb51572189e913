import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PublishAnswers } from '../../../broker/listeners/native/publish-answers.ts';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { errorRow } from '../../../src/errors/table.ts';

type Fate = 'confirmed' | 'refused' | 'thrown' | 'unroutable';

const FULL = new BurrowError('QUEUE_FULL', 'full');

test('each request is answered when all of its messages have come to an end, with their fates', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.array(fc.constantFrom<Fate>('confirmed', 'confirmed', 'refused', 'thrown', 'unroutable'), { maxLength: 8 }),
        {
          minLength: 1,
          maxLength: 5,
        },
      ),
      fc.infiniteStream(fc.nat()),
      fc.boolean(),
      async (requests, draws, inRuns) => {
        const answers = new PublishAnswers();
        const open: Array<{ number: number; fate: Fate; request: number }> = [];
        const left = requests.map(() => 0);
        const answered: number[] = [];
        let next = 1;
        const promises = requests.map((fates, request) => {
          const done = answers.begin();
          for (const fate of fates) {
            answers.publish(() => {
              if (fate === 'thrown') throw new BurrowError('EXCHANGE_NOT_FOUND', 'none');
              const number = next++;
              if (fate === 'unroutable') {
                answers.onReturned();
                answers.onConfirmed(number, false);
              } else {
                open.push({ number, fate, request });
                left[request]!++;
              }
            });
          }
          answers.end();
          void done.then(() => answered.push(request));
          return done;
        });
        // Confirms of several queues come in any order; those of one come in runs, which may tell again what is known.
        let floor = 0;
        while (open.length > 0) {
          const index = inRuns ? 0 : draws.next().value % open.length;
          const [message] = open.splice(index, 1);
          left[message!.request]!--;
          if (message!.fate === 'refused') answers.onRefused(message!.number, FULL);
          else if (inRuns) {
            floor = message!.number;
            answers.onConfirmed(floor, true);
          } else answers.onConfirmed(message!.number, false);
          await Promise.resolve();
          await Promise.resolve();
          // Nobody is answered too early or too late.
          const expected = left.flatMap((count, request) => (count === 0 ? [request] : []));
          expect([...answered].sort()).toEqual(expected);
        }
        const results = await Promise.all(promises);
        results.forEach(({ refused, unroutable }, request) => {
          const fates: Fate[] = requests[request]!.map(() => 'confirmed');
          for (const { start, end, errorNumber } of refused) {
            const fate = errorNumber === errorRow('QUEUE_FULL').number ? 'refused' : 'thrown';
            for (let at = start; at < end; at++) fates[at] = fate;
          }
          for (const { start, end } of unroutable) for (let at = start; at < end; at++) fates[at] = 'unroutable';
          expect(fates).toEqual(requests[request]);
        });
      },
    ),
  );
});

test('messages that are refused alike make one run', async () => {
  const answers = new PublishAnswers();
  const done = answers.begin();
  for (let index = 0; index < 1000; index++) answers.publish(() => {});
  answers.end();
  for (let number = 1; number <= 1000; number++) answers.onRefused(number, FULL);
  expect(await done).toEqual({
    refused: [{ start: 0, end: 1000, errorNumber: errorRow('QUEUE_FULL').number, message: 'full' }],
    unroutable: [],
  });
});

test('what is not answered fails when the channel ends, and late confirms mean nothing', async () => {
  const answers = new PublishAnswers();
  const done = answers.begin();
  answers.publish(() => {});
  answers.end();
  answers.fail(new BurrowError('CONNECTION_LOST'));
  await expect(done).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
  answers.onConfirmed(1, true);
  answers.onRefused(1, FULL);
});

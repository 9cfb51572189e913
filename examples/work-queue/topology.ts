/**
 * Exchanges and queues of the example. A job is published to the topic exchange `jobs` with what it is as its routing key, and lands in
 * the queue of those who can do it.
 */
import type { Client } from '../../client/index.ts';

export const JOBS_EXCHANGE = 'jobs';
export const TEXT_QUEUE = 'jobs.text';
export const IMAGE_QUEUE = 'jobs.image';
export const RESULTS_QUEUE = 'jobs.results';
const DEAD_LETTER_EXCHANGE = 'jobs.dead';
export const DEAD_LETTER_QUEUE = 'jobs.dead-letters';

export const URGENT = 9;

const BINDINGS: readonly (readonly [queue: string, bindingKey: string])[] = [
  [TEXT_QUEUE, 'text.#'],
  [IMAGE_QUEUE, 'image.#'],
];

/** Declaring again what is there the same way changes nothing, so everybody may do it. */
export async function declareTopology(client: Client): Promise<void> {
  const jobs = await client.exchange(JOBS_EXCHANGE).declare({ type: 'topic' });
  const dead = await client.exchange(DEAD_LETTER_EXCHANGE).declare({ type: 'fanout' });
  const deadLetters = client.queue(DEAD_LETTER_QUEUE);
  await deadLetters.declare();
  await deadLetters.bind(dead);
  await client.queue(RESULTS_QUEUE).declare();
  for (const [name, bindingKey] of BINDINGS) {
    const queue = client.queue(name);
    await queue.declare({
      maxPriority: URGENT,
      // A job that fails comes again after 150 ms, then after 300 ms; then it is a dead letter.
      delayedRetryType: 'all',
      delayedRetryMinMs: 150,
      deliveryLimit: 2,
      deadLetterExchange: DEAD_LETTER_EXCHANGE,
      // It leaves the queue when the dead-letter queue has stored it, not before.
      deadLetterStrategy: 'at-least-once',
      overflow: 'reject-publish',
    });
    await queue.bind(jobs, bindingKey);
  }
}

export async function deleteTopology(client: Client): Promise<void> {
  for (const name of [TEXT_QUEUE, IMAGE_QUEUE, RESULTS_QUEUE, DEAD_LETTER_QUEUE]) await client.queue(name).delete();
  for (const name of [JOBS_EXCHANGE, DEAD_LETTER_EXCHANGE]) await client.exchange(name).delete();
}

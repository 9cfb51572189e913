/** Putting dead letters back to where they were published first, once what made them fail is mended. */
import { type Client, isBurrowError, type QueueMessage } from '../../client/index.ts';
import { DEAD_LETTER_QUEUE, JOBS_EXCHANGE } from './topology.ts';

/** Why a message died: `rejected` by a worker, or `delivery_limit`: tried too often. */
export function deathReason(message: Pick<QueueMessage, 'headers'>): string {
  return String(message.headers.get('x-last-death-reason'));
}

/**
 * Replays the dead letters that died of `reason`; the others stay. Resolves with how many. A message is taken out once the exchange has
 * it again; whoever stops this in between has one of them done twice, and none lost.
 */
export async function replayDeadLetters(client: Client, reason: string): Promise<number> {
  const queue = client.queue(DEAD_LETTER_QUEUE);
  const exchange = client.exchange(JOBS_EXCHANGE);
  const { messageCount } = await queue.check();
  const others: QueueMessage[] = [];
  let replayed = 0;
  for (let looked = 0; looked < messageCount; looked++) {
    const message = await queue.get();
    if (message === undefined) break;
    if (deathReason(message) === reason) {
      // With its own routing key and properties.
      await exchange.forward(message, { mandatory: true });
      message.ack();
      replayed++;
    } else others.push(message);
  }
  for (const message of others) message.requeue();
  await client.virtualHost().flush().catch(ignoreLostConnection);
  return replayed;
}

/** What was not settled by then comes again, and its second result is recognized. */
function ignoreLostConnection(error: unknown): void {
  if (!isBurrowError(error, 'CONNECTION_LOST')) throw error;
}

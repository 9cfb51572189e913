/**
 * The inbox: which messages a service has handled. A broker delivers at least once, so a message may come again, after a crash for
 * instance; the inbox makes handling it twice the same as handling it once.
 */
import type { ServiceDatabase } from './database.ts';

export const INBOX_SCHEMA = `
  create table if not exists inbox (
    message_id text primary key,
    handled_at integer not null
  ) strict`;

/**
 * Whether the message comes for the first time; notes that it did. Call it in the transaction that changes what the message is about:
 * then either both are stored or neither is.
 */
export function isFirstTime(database: ServiceDatabase, messageId: string): boolean {
  const sql = 'insert into inbox (message_id, handled_at) values (?, ?) on conflict do nothing';
  return database.run(sql, messageId, Date.now()) === 1;
}

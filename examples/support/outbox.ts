/**
 * The outbox: messages that a service has decided to send. They are stored in the transaction that changes the service's own rows, so
 * there is no moment at which one is done and not the other. A relay publishes them afterwards.
 */
import { randomUUID } from 'node:crypto';
import { type Client, type Producer, stringSerializer } from '../../client/index.ts';
import type { ServiceDatabase } from './database.ts';

/** What every message has, whatever else is in it. */
export interface Message {
  /** Stays the same when the message is published again: the inbox of who gets it goes by it. */
  readonly id: string;
  readonly type: string;
}

export const OUTBOX_SCHEMA = `
  create table if not exists outbox (
    position integer primary key autoincrement,
    topic text not null,
    message_key text not null,
    body text not null,
    published_at integer
  ) strict;
  create index if not exists outbox_unpublished on outbox (position) where published_at is null`;

/** Call it in the transaction that changes what the message tells of. Messages of one key are published in the order of the calls. */
export function addToOutbox(database: ServiceDatabase, topic: string, key: string, content: { type: string }): void {
  const message = { id: randomUUID(), ...content };
  const sql = 'insert into outbox (topic, message_key, body) values (?, ?, ?)';
  database.run(sql, topic, key, JSON.stringify(message));
}

interface OutboxRow {
  readonly position: number;
  readonly topic: string;
  readonly message_key: string;
  readonly body: string;
}

const ROWS_AT_ONCE = 100;
const DAY_MS = 86_400_000;

/**
 * Publishes what is in the outbox, oldest first, and marks it. When it dies between the two, the same messages are published again: so
 * none is ever missing, and some come twice, one run of them after the other.
 *
 * SQLite has one writer at a time, so positions become visible in their order. Where transactions commit side by side (PostgreSQL), a
 * lower position may appear after a higher one: there the relay must look by "not published", as here, never by "above the last".
 */
export class OutboxRelay {
  readonly #database: ServiceDatabase;
  readonly #producer: Producer<string, string>;

  constructor(database: ServiceDatabase, client: Client) {
    this.#database = database;
    this.#producer = client.producer({
      keySerializer: stringSerializer,
      valueSerializer: stringSerializer,
      // It is idempotent (the default), so its own retries neither repeat nor reorder. It must not give a message up and go on
      // with the next: then their order would change when that one is tried again.
      deliveryTimeoutMs: DAY_MS,
      maxBlockMs: DAY_MS,
    });
  }

  /** Resolves with how many were published, when nothing is left. Run one at a time. */
  async publishAll(): Promise<number> {
    let published = 0;
    for (;;) {
      const rows = this.#unpublished();
      if (rows.length === 0) return published;
      await this.#producer.sendMany(
        rows.map(({ topic, message_key, body }) => ({ topic, key: message_key, value: body })),
      );
      this.#markPublished(rows);
      published += rows.length;
    }
  }

  #unpublished(): OutboxRow[] {
    const sql = `select position, topic, message_key, body from outbox where published_at is null order by position limit ?`;
    return this.#database.all<OutboxRow>(sql, ROWS_AT_ONCE);
  }

  #markPublished(rows: readonly OutboxRow[]): void {
    this.#database.transaction(() => {
      for (const { position } of rows) {
        this.#database.run('update outbox set published_at = ? where position = ?', Date.now(), position);
      }
    });
  }
}

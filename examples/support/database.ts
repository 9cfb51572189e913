/**
 * A service's own database: SQLite in a file of its own folder. What a transaction has committed is on the disk (`synchronous =
 * FULL`), so it survives kill -9 and loss of power alike.
 */
import fs from 'node:fs';
import path from 'node:path';
import Sqlite from 'libsql';

export type SqlValue = string | number | null;

export class ServiceDatabase {
  readonly #sqlite: Sqlite.Database;
  readonly #statements = new Map<string, Sqlite.Statement>();

  /** Creates the folder, the file and, where they are missing, the tables of `schemas`. */
  constructor(file: string, schemas: readonly string[] = []) {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    this.#sqlite = new Sqlite(file);
    this.#sqlite.pragma('busy_timeout = 10000');
    this.#sqlite.pragma('journal_mode = WAL');
    this.#sqlite.pragma('synchronous = FULL');
    for (const schema of schemas) this.#sqlite.exec(schema);
  }

  /** Everything that `work` changes, or nothing of it if it throws. */
  transaction<T>(work: () => T): T {
    return this.#sqlite.transaction(work).immediate() as T;
  }

  /** Runs a statement; the number of rows that it changed. */
  run(sql: string, ...values: readonly SqlValue[]): number {
    return this.#prepare(sql).run(...values).changes;
  }

  all<Row>(sql: string, ...values: readonly SqlValue[]): Row[] {
    return this.#prepare(sql).all(...values) as Row[];
  }

  get<Row>(sql: string, ...values: readonly SqlValue[]): Row | undefined {
    return this.all<Row>(sql, ...values)[0];
  }

  close(): void {
    this.#sqlite.close();
  }

  #prepare(sql: string): Sqlite.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

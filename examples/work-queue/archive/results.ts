/** The archive's database. */
import path from 'node:path';
import { ServiceDatabase } from '../../support/database.ts';
import { INBOX_SCHEMA } from '../../support/inbox.ts';
import type { JobResult } from '../jobs.ts';

const RESULTS_SCHEMA = `
  create table if not exists results (
    number integer primary key autoincrement,
    job_id text not null,
    result text not null,
    priority integer not null,
    taken_at_ms integer not null,
    is_first_try integer not null
  ) strict`;

export function openArchive(folder: string): ServiceDatabase {
  return new ServiceDatabase(path.join(folder, 'archive', 'archive.db'), [INBOX_SCHEMA, RESULTS_SCHEMA]);
}

export function addResult(database: ServiceDatabase, result: JobResult): void {
  database.run(
    'insert into results (job_id, result, priority, taken_at_ms, is_first_try) values (?, ?, ?, ?, ?)',
    result.jobId,
    result.result,
    result.priority,
    result.takenAtMs,
    Number(result.isFirstTry),
  );
}

export function allResults(database: ServiceDatabase): JobResult[] {
  const sql = `select job_id as jobId, result, priority, taken_at_ms as takenAtMs, is_first_try as firstTry from results order by number`;
  return database
    .all<JobResult & { firstTry: number }>(sql)
    .map(({ firstTry, ...result }) => ({ ...result, isFirstTry: firstTry === 1 }));
}

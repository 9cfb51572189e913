/**
 * Preloaded into the services of the examples (NODE_OPTIONS=--import=…): their inbox takes every message for a new one. A checker
 * that does not notice that checks nothing.
 */
import Sqlite from 'libsql';

const { prepare } = Sqlite.prototype;
Sqlite.prototype.prepare = function (this: typeof Sqlite.prototype, sql: string) {
  const forgetful = 'on conflict do update set handled_at = excluded.handled_at';
  return prepare.call(
    this,
    sql.startsWith('insert into inbox') ? sql.replace('on conflict do nothing', forgetful) : sql,
  );
} as typeof prepare;

/**
 * Preloaded into the services of the examples (NODE_OPTIONS=--import=…): kills the process right before or right after it commits a
 * transaction of its database. What a service does to the outside lies between two commits, so these are the points that matter.
 *
 * CRASH_PLAN is a list of {@link CrashPoint}s in JSON; each strikes once, those of a program one after the other, in one start each.
 * CRASH_FOLDER is where the strikes are noted, as files named after their place in the list.
 */
import fs from 'node:fs';
import path from 'node:path';
import Sqlite from 'libsql';

export interface CrashPoint {
  /** End of the program's path, such as `payment/choreography.js`. */
  readonly program: string;
  readonly when: 'before' | 'after';
  /** Counted from 1 in each start. */
  readonly commit: number;
}

const folder = process.env['CRASH_FOLDER'] ?? '';
const points = JSON.parse(process.env['CRASH_PLAN'] ?? '[]') as readonly CrashPoint[];
const markOf = (point: CrashPoint): string => path.join(folder, String(points.indexOf(point)));
const next = points.find(({ program }, index) => {
  return process.argv[1]?.endsWith(program) === true && !fs.existsSync(path.join(folder, String(index)));
});

function strike(point: CrashPoint): void {
  fs.writeFileSync(markOf(point), '');
  process.kill(process.pid, 'SIGKILL');
}

if (next !== undefined) {
  const { exec } = Sqlite.prototype;
  let commits = 0;
  Sqlite.prototype.exec = function (sql) {
    if (sql !== 'COMMIT') return exec.call(this, sql);
    commits += 1;
    if (commits === next.commit && next.when === 'before') strike(next);
    exec.call(this, sql);
    if (commits === next.commit && next.when === 'after') strike(next);
    return this;
  };
}

/** How many files and sockets this process may have open at a time. */
import fs from 'node:fs';

/** Undefined where the system does not tell or has no limit. Node raises the soft limit to the hard one when it starts. */
export function openFilesMax(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/**
 * Whether a process that wrote itself down still lives. A number is not enough: pids are used again, at once in containers,
 * where every main process is number 1.
 */
import fs from 'node:fs';
import os from 'node:os';

export interface ProcessDescription {
  readonly pid: number;
  readonly host: string;
  /** Where the pid means something: this boot of the machine and this pid namespace. Undefined where that is not told. */
  readonly scope?: string | undefined;
  /** When the process started, by the kernel's clock. */
  readonly started?: string | undefined;
}

export function describeThisProcess(): ProcessDescription {
  return { pid: process.pid, host: os.hostname(), scope: pidScope(), started: statusOf(process.pid)?.started };
}

/** `unknown`: it ran somewhere we cannot look. */
export function processState(described: ProcessDescription): 'alive' | 'dead' | 'unknown' {
  if (described.host !== os.hostname() || described.scope !== pidScope()) return 'unknown';
  try {
    process.kill(described.pid, 0);
  } catch (error) {
    // EPERM: somebody else's process, but a living one.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return 'dead';
  }
  const status = statusOf(described.pid);
  if (status === undefined || described.started === undefined) return 'unknown';
  return status.started === described.started && !status.ended ? 'alive' : 'dead';
}

function pidScope(): string | undefined {
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${fs.readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return undefined;
  }
}

/** From /proc/<pid>/stat: `pid (name) state … starttime …`, where the name may hold anything. */
function statusOf(pid: number): { started: string; ended: boolean } | undefined {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const started = fields[19];
    // Z: it has ended, and nobody has asked for its exit code yet.
    return started === undefined ? undefined : { started, ended: fields[0] === 'Z' || fields[0] === 'X' };
  } catch {
    return undefined;
  }
}

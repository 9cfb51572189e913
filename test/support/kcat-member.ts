/** kcat as a member of a group, in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { onTestFinished } from 'vitest';

export interface KcatMemberOptions {
  readonly program: string;
  readonly address: string;
  readonly group: string;
  readonly topic: string;
  /** What it prints of each record, in kcat's words: `%p/%o`, `%s`. */
  readonly format: string;
  /** librdkafka's, as `name=value`. */
  readonly settings: readonly string[];
}

/** Starts it; gone at the end of the test. `onLine` gets what it prints of each record. */
export function startKcatMember(options: KcatMemberOptions, onLine: (line: string) => void): ChildProcess {
  const { program, address, group, topic, format, settings } = options;
  const flags = ['-b', address, ...settings.flatMap((each) => ['-X', each]), '-u', '-f', `${format}\n`];
  const child = spawn(program, [...flags, '-G', group, topic]);
  onTestFinished(() => void child.kill('SIGKILL'));
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (text + chunk.toString()).split('\n');
    text = lines.pop()!;
    for (const line of lines) onLine(line);
  });
  return child;
}

#!/usr/bin/env node
/** Entry of the `burrow` command. */
import { runCommandLine } from './program.ts';

for (const stream of [process.stdout, process.stderr]) {
  // `burrow … | head`: a reader that has seen enough is no failure. Commands that print much look for it themselves.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

process.exitCode = await runCommandLine(process.argv.slice(2));

/** The `burrow` command: its subcommands, and how any failure becomes one line and an exit code. */
import { Command, CommanderError } from 'commander';
import { BurrowError, toBurrowError } from '../errors/burrow-error.ts';
import { addBindingCommand } from './binding.ts';
import { addConsumeCommand } from './consume.ts';
import { addDlqCommand } from './dlq.ts';
import { addExchangeCommand } from './exchange.ts';
import { EXIT_USAGE, errorLine, exitCodeOf } from './exit-codes.ts';
import { addGroupCommand } from './group.ts';
import { addLogCommand } from './log.ts';
import { addPolicyCommand } from './policy.ts';
import { addProduceCommand } from './produce.ts';
import { addQueueCommand } from './queue.ts';
import { addStartCommand } from './start.ts';
import { addTopicCommand } from './topic.ts';
import { addUserCommand } from './user.ts';
import { packageVersion } from './version.ts';
import { addVirtualHostCommand } from './vhost.ts';

/** Runs a command line (without `node` and the script) and resolves to the process's exit code. */
export async function runCommandLine(words: readonly string[]): Promise<number> {
  const program = new Command('burrow')
    .description('A log broker and a queue broker in one process')
    .version(packageVersion(), '-V, --version', 'Print the version')
    .helpOption('-h, --help', 'Print help')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(usageLine(text)) });
  // Subcommands take exitOverride and output over when they are added.
  addStartCommand(program);
  addTopicCommand(program);
  addProduceCommand(program);
  addConsumeCommand(program);
  addGroupCommand(program);
  addDlqCommand(program);
  addExchangeCommand(program);
  addQueueCommand(program);
  addBindingCommand(program);
  addPolicyCommand(program);
  addVirtualHostCommand(program);
  addUserCommand(program);
  addLogCommand(program);
  try {
    await program.parseAsync(words, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : EXIT_USAGE;
    const error = toBurrowError(thrown);
    process.stderr.write(errorLine(error));
    // Only our own mistakes come without a name; whoever reports them needs the place.
    if (!(thrown instanceof BurrowError) && thrown instanceof Error) process.stderr.write(`${thrown.stack}\n`);
    return exitCodeOf(error);
  }
}

/** Commander's text (`error: unknown option '--prot'\n(Did you mean --port?)`) as one line in our form. */
function usageLine(text: string): string {
  const line = text
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .trim();
  return `burrow: ${line}${/[.?)]$/.test(line) ? '' : '.'} See burrow --help.\n`;
}

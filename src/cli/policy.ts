/** `burrow policy list|set|delete`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { PolicyOptions } from '../../client/index.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import {
  type Arguments,
  argumentsText,
  gatherArguments,
  plainArguments,
  type QueueFlags,
  queueOptions,
  report,
  withVirtualHost,
} from './queue-flags.ts';
import { formatTable } from './table.ts';

const SCOPES = ['all', 'queues', 'exchanges', 'classic_queues', 'quorum_queues', 'streams'];

export function addPolicyCommand(program: Command): void {
  const policy = program.command('policy').description('List, set and delete policies of queues and exchanges');
  policy.command('list').description('List the policies, those that are tried first on top').action(listPolicies);
  policy
    .command('set')
    .description('Set or replace a policy; it takes effect at once')
    .argument('<policy>')
    .argument('<settings...>', 'Such as max-length=1000 message-ttl=60000, or a JSON object')
    .requiredOption('--pattern <expression>', 'Regular expression, searched for in names')
    .addOption(new Option('--apply-to <scope>', 'What it is for').choices(SCOPES).default('all'))
    .addOption(
      new Option('--priority <n>', 'Of the policies that match, only the one with the highest applies')
        .argParser(parsePriority)
        .default(0),
    )
    .action(setPolicy);
  policy
    .command('delete')
    .description('Delete policies; what they set ends')
    .argument('<policies...>')
    .action(deletePolicies);
  for (const command of policy.commands) for (const option of queueOptions()) command.addOption(option);
}

async function listPolicies(flags: QueueFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    const policies = (await host.listPolicies()).sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1));
    const rows = policies.map((each) => [
      each.name,
      each.pattern,
      each.applyTo,
      each.priority,
      argumentsText(each.definition),
    ]);
    const facts = policies.map((each) => ({ ...each, definition: plainArguments(each.definition) }));
    const table = formatTable(['POLICY', 'PATTERN', 'APPLY-TO', 'PRIORITY', 'SETTINGS'], rows);
    report(flags, rows.length === 0 ? 'No policies.' : table, facts);
  });
}

interface SetFlags extends QueueFlags {
  readonly pattern: string;
  readonly applyTo: NonNullable<PolicyOptions['applyTo']>;
  readonly priority: number;
}

async function setPolicy(name: string, settings: readonly string[], flags: SetFlags): Promise<void> {
  const definition = settings.reduce<Arguments>(gatherSettings, {});
  const { pattern, applyTo, priority } = flags;
  await withVirtualHost(flags, async (host) => {
    await host.setPolicy(name, { pattern, applyTo, priority, definition });
    report(flags, `Set policy ${name}.`, { policy: name });
  });
}

async function deletePolicies(names: readonly string[], flags: QueueFlags): Promise<void> {
  await withVirtualHost(flags, async (host) => {
    // Deleting what is not there is fine for the broker; who types a name wants to know.
    const known = new Set((await host.listPolicies()).map((each) => each.name));
    const unknown = names.find((name) => !known.has(name));
    if (unknown !== undefined) {
      throw new BurrowError('INVALID_ARGUMENT', `There is no policy '${unknown}' in vhost '${flags.vhost}'.`);
    }
    for (const name of names) await host.deletePolicy(name);
    report(flags, `Deleted ${names.join(', ')}.`, { deleted: names });
  });
}

/** One word of the settings. JSON can say what NAME=VALUE cannot: that "10" is a text. */
function gatherSettings(before: Arguments, word: string): Arguments {
  if (!word.startsWith('{')) return gatherArguments(word, before);
  try {
    return { ...before, ...(JSON.parse(word) as Arguments) };
  } catch (error) {
    throw new BurrowError('INVALID_ARGUMENT', `The settings ${word} are not valid JSON.`, { cause: error });
  }
}

function parsePriority(text: string): number {
  const priority = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(priority)) throw new InvalidArgumentError('It is a whole number.');
  return priority;
}

/** `burrow topic create|list|describe|alter|delete`. */
import type { Command } from 'commander';
import type { Admin } from '../../client/index.ts';
import { BurrowError, isBurrowError } from '../errors/burrow-error.ts';
import { jsonOption, type ServerFlag, serverOption, wholeNumber, withClient } from './client-command.ts';
import { formatTable } from './table.ts';
import { count } from './totals.ts';

interface JsonFlag extends ServerFlag {
  readonly json?: boolean;
}

export function addTopicCommand(program: Command): void {
  const topic = program.command('topic').description('Create, list, describe, alter and delete topics');
  topic
    .command('create')
    .description('Create a topic')
    .argument('<topic>')
    .option('--partitions <number>', 'Number of partitions (default: the broker’s)', wholeNumber(1))
    .option('--replication-factor <number>', 'Copies of each partition (default: the broker’s)', wholeNumber(1))
    .option('--config <key=value>', 'Topic config such as retention.ms=3600000; may be repeated', gatherConfigs)
    .option('--if-not-exists', 'Succeed if there is such a topic')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(create);
  topic
    .command('list')
    .description('List the topics')
    .option('--internal', 'Include the broker’s own topics')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(list);
  topic
    .command('describe')
    .description('Show partitions, offsets and configs')
    .argument('<topics...>')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(describe);
  topic
    .command('alter')
    .description('Add partitions, change configs')
    .argument('<topic>')
    .option('--partitions <number>', 'Raise the number of partitions to this', wholeNumber(1))
    .option('--config <key=value>', 'Set a topic config; may be repeated', gatherConfigs)
    .option('--unset-config <key>', 'Go back to the default; may be repeated', gatherKeys)
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(alter);
  topic
    .command('delete')
    .description('Delete topics with all their records')
    .argument('<topics...>')
    .option('--if-exists', 'Succeed if there is no such topic')
    .addOption(serverOption())
    .addOption(jsonOption())
    .action(remove);
}

type Configs = ReadonlyMap<string, string>;

function gatherConfigs(text: string, before: Configs = new Map()): Configs {
  const at = text.indexOf('=');
  if (at < 1) throw new BurrowError('INVALID_ARGUMENT', `--config is "${text}"; it must be KEY=VALUE.`);
  return new Map([...before, [text.slice(0, at), text.slice(at + 1)]]);
}

function gatherKeys(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** Prints a sentence, or with --json what happened as an object. */
function report(flags: JsonFlag, text: string, facts: object): void {
  process.stdout.write(flags.json ? `${JSON.stringify(facts)}\n` : `${text}\n`);
}

interface CreateFlags extends JsonFlag {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly config?: Configs;
  readonly ifNotExists?: boolean;
}

async function create(name: string, flags: CreateFlags): Promise<void> {
  await withClient(flags, async (client) => {
    const admin = client.admin();
    const { partitions, replicationFactor } = flags;
    const configs = Object.fromEntries(flags.config ?? []);
    let created = true;
    try {
      await admin.createTopic({ name, partitions, replicationFactor, configs });
    } catch (error) {
      if (!flags.ifNotExists || !isBurrowError(error, 'ALREADY_EXISTS')) throw error;
      created = false;
    }
    const [topic] = await admin.describeTopics([name]);
    const total = topic?.partitions.length ?? 0;
    report(
      flags,
      created
        ? `Created ${name} with ${count(total, 'partition')}.`
        : `${name} exists, with ${count(total, 'partition')}.`,
      { topic: name, partitions: total, created },
    );
  });
}

async function list(flags: JsonFlag & { readonly internal?: boolean }): Promise<void> {
  await withClient(flags, async (client) => {
    const admin = client.admin();
    const topics = (await admin.describeTopics(await admin.listTopics()))
      .filter((topic) => flags.internal || !topic.internal)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const rows = topics.map(({ name, partitions }) => [name, partitions.length] as const);
    const facts = topics.map(({ name, partitions, internal }) => ({
      topic: name,
      partitions: partitions.length,
      internal,
    }));
    const text =
      rows.length === 0 ? 'No topics yet: burrow topic create NAME' : formatTable(['TOPIC', 'PARTITIONS'], rows);
    report(flags, text, facts);
  });
}

async function describe(names: readonly string[], flags: JsonFlag): Promise<void> {
  await withClient(flags, async (client) => {
    const admin = client.admin();
    const topics = [];
    for (const name of names) topics.push(await describeOne(admin, name));
    if (flags.json) process.stdout.write(`${JSON.stringify(topics)}\n`);
    else process.stdout.write(`${topics.map(describeText).join('\n\n')}\n`);
  });
}

type TopicFacts = Awaited<ReturnType<typeof describeOne>>;

async function describeOne(admin: Admin, name: string) {
  const [topic] = await admin.describeTopics([name]);
  if (topic === undefined) throw new BurrowError('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic "${name}".`);
  const status = new Map((await admin.partitionStatus(name)).map((entry) => [entry.partition, entry]));
  return {
    topic: name,
    topicId: topic.topicId,
    internal: topic.internal,
    partitions: topic.partitions.map((partition) => ({ ...partition, ...status.get(partition.partition) })),
    configs: await admin.describeTopicConfigs(name),
  };
}

function describeText({ topic, partitions, configs }: TopicFacts): string {
  const table = formatTable(
    ['PARTITION', 'LEADER', 'REPLICAS', 'IN SYNC', 'START OFFSET', 'END OFFSET', 'BYTES', 'STATE'],
    partitions.map((partition) => [
      partition.partition,
      partition.leader,
      partition.replicas.join(','),
      partition.inSyncReplicas.join(','),
      partition.logStartOffset ?? '?',
      partition.highWatermark ?? '?',
      partition.bytes ?? '?',
      partition.failure === undefined ? 'ok' : partition.failure.message,
    ]),
  );
  const changed = configs.filter((entry) => !entry.isDefault).map(({ key, value }) => `  ${key} = ${value}`);
  const configText =
    changed.length === 0 ? 'Configs: all default' : `Configs that are not default:\n${changed.join('\n')}`;
  return `${topic}: ${count(partitions.length, 'partition')}\n${table}\n${configText}`;
}

interface AlterFlags extends JsonFlag {
  readonly partitions?: number;
  readonly config?: Configs;
  readonly unsetConfig?: readonly string[];
}

async function alter(name: string, flags: AlterFlags): Promise<void> {
  const changes: Record<string, string | undefined> = {
    ...Object.fromEntries(flags.config ?? []),
    ...Object.fromEntries((flags.unsetConfig ?? []).map((key) => [key, undefined])),
  };
  const keys = Object.keys(changes);
  if (flags.partitions === undefined && keys.length === 0) {
    throw new BurrowError('INVALID_ARGUMENT', 'Nothing to alter: give --partitions, --config or --unset-config.');
  }
  await withClient(flags, async (client) => {
    const admin = client.admin();
    // Configs first: they are checked as a whole, while partitions cannot be taken back.
    if (keys.length > 0) await admin.alterTopicConfigs(name, changes);
    if (flags.partitions !== undefined) await admin.createPartitions(name, flags.partitions);
    const done = [...keys, ...(flags.partitions === undefined ? [] : [count(flags.partitions, 'partition')])];
    report(flags, `Altered ${name}: ${done.join(', ')}.`, { topic: name, configs: keys, partitions: flags.partitions });
  });
}

async function remove(names: readonly string[], flags: JsonFlag & { readonly ifExists?: boolean }): Promise<void> {
  await withClient(flags, async (client) => {
    const admin = client.admin();
    const deleted: string[] = [];
    for (const name of names) {
      try {
        await admin.deleteTopic(name);
        deleted.push(name);
      } catch (error) {
        if (!flags.ifExists || !isBurrowError(error, 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
      }
    }
    report(flags, deleted.length === 0 ? 'Nothing to delete.' : `Deleted ${deleted.join(', ')}.`, { deleted });
  });
}

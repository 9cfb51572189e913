/** `burrow start`: a broker in this process, until a signal stops it. */
import path from 'node:path';
import { type Command, Option } from 'commander';
import type { Broker } from '../../broker/index.ts';
import { environmentName, OPTION_TABLE, type OptionName, type OptionRow, type Settings } from '../../broker/options.ts';
import { displayValue, type ResolvedOptions, resolveOptions } from '../../broker/resolve-options.ts';
import { BurrowError } from '../errors/burrow-error.ts';
import { readConfigFile } from './config-file.ts';
import { EXIT_FAILED } from './exit-codes.ts';
import { onStopSignal } from './stop-signals.ts';
import { packageVersion } from './version.ts';

/** Stopping syncs and closes files; a disk that takes longer is stuck, and what was acknowledged is safe already. */
const STOP_TIMEOUT_MS = 8_000;

export function addStartCommand(program: Command): void {
  const command = program
    .command('start')
    .description('Start a broker')
    .addHelpText(
      'after',
      '\nEach option is also a variable (BURROW_KAFKA_PORT) and a key of the --config file; a flag wins over a variable, a variable over the file.',
    );
  for (const [name, row] of OPTION_TABLE) command.addOption(commandOption(name, row));
  command
    .addOption(new Option('--print-config', 'Print the resulting configuration and end').helpGroup('Command:'))
    .action(async (flags: Record<string, unknown>) => {
      const resolved = resolveFromProcess(flags);
      if (flags['printConfig'] === true) process.stdout.write(describeConfig(resolved));
      else await run(resolved);
    });
}

function commandOption(name: OptionName, row: OptionRow): Option {
  const shown = displayValue(row, row.default);
  const description = shown === '' || shown === 'false' ? row.sentence : `${row.sentence} (default: ${shown})`;
  // No default for commander: it would hide the variable and the file.
  const value = row.type === 'boolean' ? '[true|false]' : `<${placeholder(row)}>`;
  return new Option(`--${name} ${value}`, description).helpGroup(`${row.group}:`);
}

function placeholder(row: OptionRow): string {
  switch (row.type) {
    case 'string':
    case 'list':
      return row.value;
    case 'enum':
      return row.choices.join('|');
    default:
      return row.type;
  }
}

function resolveFromProcess(flags: Record<string, unknown>): ResolvedOptions {
  const given = new Map<string, unknown>();
  for (const [name, row] of OPTION_TABLE) {
    const value = flags[commandOption(name, row).attributeName()];
    if (value !== undefined) given.set(name, value);
  }
  const file = given.get('config') ?? process.env[environmentName('config')];
  return resolveOptions({
    flags: given,
    environment: process.env,
    file: typeof file === 'string' && file !== '' ? readConfigFile(file) : undefined,
  });
}

/** With --json a file for --config, else one line an option with its source. */
export function describeConfig({ values, sources, settings }: ResolvedOptions): string {
  const rows = Array.from(OPTION_TABLE).filter(([name]) => name !== 'config');
  if (settings.json) {
    const given = rows.filter(([name]) => values.get(name) !== undefined).map(([name]) => [name, values.get(name)]);
    return `${JSON.stringify(Object.fromEntries(given), undefined, 2)}\n`;
  }
  return rows
    .map(([name, row]) => `${configLine(name, displayValue(row, values.get(name)))}# ${sources.get(name)}\n`)
    .join('');
}

function configLine(name: string, value: string): string {
  return `${name} = ${value}`.padEnd(44);
}

async function run({ settings, warnings }: ResolvedOptions): Promise<void> {
  // Loaded here: the other commands need none of it and should answer at once.
  const { createLogger } = await import('./logger.ts');
  const { startBroker } = await import('../../broker/index.ts');
  const logger = createLogger(settings);
  for (const warning of warnings) logger.warn(warning);
  const stopping = onStopSignal();
  const { dataDir, config: _config, json: _json, logLevel: _level, logFormat: _format, ...options } = settings;
  const broker = await startBroker({ ...options, storage: path.resolve(dataDir), logger });
  const ready = settings.json
    ? `${JSON.stringify({ ready: true, ports: broker.ports, pid: process.pid })}\n`
    : banner(broker, settings);
  process.stdout.write(ready);
  const signal = await Promise.race([stopping, broker.stopped]);
  // Not a signal: the broker had to stop by itself, and has said why in its log.
  if (typeof signal !== 'string') throw signal ?? new BurrowError('INTERNAL_ERROR', 'The broker stopped by itself.');
  logger.info({ signal }, 'stopping');
  const deadline = setTimeout(() => {
    logger.error({ timeoutMs: STOP_TIMEOUT_MS }, 'could not stop in time; what was acknowledged is safe');
    process.exit(EXIT_FAILED);
  }, STOP_TIMEOUT_MS);
  await broker.close();
  clearTimeout(deadline);
  logger.info('stopped');
  // Whatever else is still open (a log stream, a keep-alive timer of a library) must not keep a stopped broker alive.
  process.exit();
}

function banner({ ports, dataDir }: Broker, { host, flush, advertisedHost }: Settings): string {
  const at = advertisedHost ?? host;
  const urlHost = at.includes(':') ? `[${at}]` : at;
  const durability =
    flush === 'always'
      ? 'An acknowledgment means: synced to disk.'
      : `flush is ${flush}: what was acknowledged can be lost with the power.`;
  const lines = [`BurrowMQ ${packageVersion()} is ready. ${durability}`, '', `  data     ${dataDir}`];
  if (ports.native !== undefined) lines.push(`  native   ws://${urlHost}:${ports.native}`);
  if (ports.kafka !== undefined) lines.push(`  Kafka    ${urlHost}:${ports.kafka}`);
  if (ports.amqp !== undefined) lines.push(`  AMQP     ${urlHost}:${ports.amqp}`);
  if (ports.nativeTls !== undefined) lines.push(`  native   wss://${urlHost}:${ports.nativeTls}`);
  if (ports.amqpTls !== undefined) lines.push(`  AMQP     ${urlHost}:${ports.amqpTls} (TLS)`);
  const server = ports.native === 7420 && at === '127.0.0.1' ? '' : ` --server ws://${urlHost}:${ports.native}`;
  if (ports.native !== undefined) {
    lines.push(
      '',
      'Try this in another terminal, in this folder (Ctrl-C here stops the broker):',
      '',
      `  echo hello | ${commandName()} produce greetings${server}`,
      `  ${commandName()} consume greetings${server}`,
    );
  }
  return `${lines.join('\n')}\n\n`;
}

/** How this command was called: by name where it is installed, by path in a clone. */
function commandName(): string {
  const script = process.argv[1] ?? '';
  if (path.basename(script) === 'burrow') return 'burrow';
  const relative = path.relative(process.cwd(), script);
  return `node ${relative.startsWith('..') ? script : relative}`;
}

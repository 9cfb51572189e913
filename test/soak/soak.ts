/**
 * Long runs of what the suite runs briefly:
 *
 *     npm run soak -- crash [--rounds 200] [--seed N]            kill -9 of a real broker under load
 *     npm run soak -- groups [--seconds 60] [--seed N]           members of a group come and go, and are killed
 *     npm run soak -- connections [--connections 10000] [--channels 2000] [--seconds 300] [--heartbeat 10]   idle AMQP connections
 *     npm run soak -- message-groups [--seconds 60] [--seed N]   message groups: consumers come, go, break; the broker is killed
 *     npm run soak -- outbox [--kills 50] [--seed N]             the example outbox: its parts and the broker are killed
 *     npm run soak -- amqp [--seeds 2000] [--first 1]           spoilt streams of AMQP frames
 *     npm run soak -- engine|compaction|coordinator|queues [--seeds 2000] [--first 1]   simulations; also `npm run sim -- …`
 *
 * Prints what it does, one line of JSON at the end, and with what a failure is run again. `--record` appends the line to
 * bench/results/soak.ndjson.
 */
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machineFacts } from '../../bench/support/machine.ts';
import { runKillRounds } from '../crash/kill-rounds.ts';
import { runSpoiltStream } from '../listeners/amqp/spoilt-streams.ts';
import { simulateCompaction } from '../sim/compaction-simulation.ts';
import { simulateGroups } from '../sim/groups-simulation.ts';
import { simulateLogEngine } from '../sim/log-engine-simulation.ts';
import { simulateQueues } from '../sim/queue-simulation.ts';
import { runGroupChurn } from './group-churn.ts';
import { holdConnections } from './idle-connections.ts';
import { runMessageGroupsStorm } from './message-groups-storm.ts';
import { runOutboxKills } from './outbox-kills.ts';

const ROOT = fileURLToPath(new URL(import.meta.url.includes('/dist/') ? '../../../' : '../../', import.meta.url));
const USAGE = `usage: npm run soak -- crash [--rounds N] [--seed N] [--record]
       npm run soak -- groups [--seconds N] [--seed N] [--record]
       npm run soak -- connections [--connections N] [--channels N] [--seconds N] [--heartbeat SECONDS] [--record]
       npm run soak -- message-groups [--seconds N] [--seed N] [--record]
       npm run soak -- outbox [--kills N] [--seed N] [--record]
       npm run soak -- amqp [--seeds N] [--first N] [--record]
       npm run sim -- [engine|compaction|coordinator|queues] [--seeds N] [--first N] [--record]
`;
const SHOW_EVERY_SEEDS = 500;
const SHOW_EVERY_ROUNDS = 10;

type Facts = Readonly<Record<string, unknown>>;

async function crash(rounds: number, seed: number): Promise<Facts> {
  print(`${rounds} rounds with seed ${seed}`);
  const startedMs = performance.now();
  const result = await runKillRounds({
    rounds,
    seed,
    readAllEvery: 10,
    onRound: (round, restartMs) => {
      if (round % SHOW_EVERY_ROUNDS === 0) print(`round ${round}: ready again after ${Math.round(restartMs)} ms`);
    },
  }).catch((error: unknown) => {
    throw failed(`npm run soak -- crash --rounds ${rounds} --seed ${seed}`, error);
  });
  print(
    `all ${result.acknowledged} acknowledged records are there once, in order; ` +
      `restarts took ${result.restartMsMedian} ms (median), ${result.restartMsMax} ms at most`,
  );
  return { ...result, tookSeconds: secondsSince(startedMs) };
}

async function groups(seconds: number, seed: number): Promise<Facts> {
  print(`${seconds} seconds with seed ${seed}`);
  const result = await runGroupChurn({ seed, durationMs: seconds * 1000 }).catch((error: unknown) => {
    throw failed(`npm run soak -- groups --seconds ${seconds} --seed ${seed}`, error);
  });
  print(
    `all ${result.produced} records were processed, ${result.repeated} of them again after a kill or in the midst of closing`,
  );
  return { ...result, seconds };
}

async function connections(sizes: {
  connections: number;
  channels: number;
  seconds: number;
  heartbeatSeconds: number;
}): Promise<Facts> {
  const { seconds, ...rest } = sizes;
  print(`${rest.connections} connections with a heartbeat of ${rest.heartbeatSeconds} s for ${seconds} s`);
  const result = await holdConnections({ ...rest, durationMs: seconds * 1000, onProgress: print });
  print(`all are alive and usable; ${result.bytesPerConnection} bytes each, ${result.bytesPerChannel} for a channel`);
  return { ...result, seconds };
}

async function messageGroups(seconds: number, seed: number): Promise<Facts> {
  print(`${seconds} seconds with seed ${seed}`);
  const result = await runMessageGroupsStorm({ seed, durationMs: seconds * 1000 }).catch((error: unknown) => {
    throw failed(`npm run soak -- message-groups --seconds ${seconds} --seed ${seed}`, error);
  });
  print(`all ${result.published} messages were settled, each key in order, over ${result.kills} kills of the broker`);
  return { ...result, seconds };
}

async function outbox(kills: number, seed: number): Promise<Facts> {
  print(`${kills} kills with seed ${seed}`);
  const startedMs = performance.now();
  const result = await runOutboxKills({ kills, seed }).catch((error: unknown) => {
    throw failed(`npm run soak -- outbox --kills ${kills} --seed ${seed}`, error);
  });
  const { orders, repeated } = result;
  print(`all ${orders} orders were published and entered once, in order; ${repeated} events came again after a kill`);
  return { ...result, tookSeconds: secondsSince(startedMs) };
}

/** Runs seeds one after another; the sums of what each counts. */
async function simulate(
  name: 'engine' | 'compaction' | 'coordinator' | 'queues' | 'amqp',
  run: (seed: number) => Promise<object>,
  { seeds, first }: { seeds: number; first: number },
): Promise<Facts> {
  print(`${seeds} seeds from ${first} on`);
  const startedMs = performance.now();
  const sums = new Map<string, number>();
  for (let seed = first; seed < first + seeds; seed++) {
    const result = await run(seed).catch((error: unknown) => {
      // The simulation says seed and options itself.
      throw failed(`npm run soak -- ${name} --seeds 1 --first ${seed}`, error);
    });
    for (const [key, value] of Object.entries(result)) {
      if (typeof value === 'number') sums.set(key, (sums.get(key) ?? 0) + value);
    }
    const done = seed - first + 1;
    if (done % SHOW_EVERY_SEEDS === 0) print(`${done} seeds: ${JSON.stringify(Object.fromEntries(sums))}`);
  }
  return { seeds, first, ...Object.fromEntries(sums), tookSeconds: secondsSince(startedMs) };
}

function failed(again: string, cause: unknown): Error {
  return new Error(`a promise is broken; again with: ${again}`, { cause });
}

function secondsSince(startedMs: number): number {
  return Math.round((performance.now() - startedMs) / 1000);
}

function print(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** A whole number, or the fallback if it was not given. */
function count(option: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  print(`--${option} is "${text}"; it must be a whole number`);
  process.exit(2);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    kills: { type: 'string' },
    seed: { type: 'string' },
    seeds: { type: 'string' },
    first: { type: 'string' },
    connections: { type: 'string' },
    channels: { type: 'string' },
    heartbeat: { type: 'string' },
    record: { type: 'boolean', default: false },
  },
});
const range = { seeds: count('seeds', values.seeds, 2000), first: count('first', values.first, 1) };
// `npm run sim` has engine as its default before what else is given.
const name = positionals.at(-1);
// Before it runs: the commit may be another afterwards.
const { commit, cores, node, fileSystem } = machineFacts(ROOT);
let facts: Facts;
switch (name) {
  case 'crash':
    facts = await crash(count('rounds', values.rounds, 200), count('seed', values.seed, Date.now() % 1_000_000));
    break;
  case 'groups':
    facts = await groups(count('seconds', values.seconds, 60), count('seed', values.seed, Date.now() % 1_000_000));
    break;
  case 'connections':
    facts = await connections({
      connections: count('connections', values.connections, 10_000),
      channels: count('channels', values.channels, 2000),
      seconds: count('seconds', values.seconds, 300),
      heartbeatSeconds: count('heartbeat', values.heartbeat, 10),
    });
    break;
  case 'message-groups':
    facts = await messageGroups(
      count('seconds', values.seconds, 60),
      count('seed', values.seed, Date.now() % 1_000_000),
    );
    break;
  case 'outbox':
    facts = await outbox(count('kills', values.kills, 50), count('seed', values.seed, Date.now() % 1_000_000));
    break;
  case 'engine':
    facts = await simulate(name, (seed) => simulateLogEngine({ seed }), range);
    break;
  case 'compaction':
    facts = await simulate(name, (seed) => simulateCompaction(seed), range);
    break;
  case 'coordinator':
    facts = await simulate(name, (seed) => simulateGroups({ seed }), range);
    break;
  case 'amqp':
    facts = await simulate(name, runSpoiltStream, range);
    break;
  case 'queues':
    facts = await simulate(name, (seed) => simulateQueues({ seed }), range);
    break;
  default:
    process.stderr.write(USAGE);
    process.exit(2);
}
const date = new Date().toISOString().slice(0, 10);
const line = `${JSON.stringify({ soak: name, date, commit, cores, node, fileSystem, ...facts })}\n`;
process.stdout.write(line);
if (values.record) fs.appendFileSync(`${ROOT}bench/results/soak.ndjson`, line);

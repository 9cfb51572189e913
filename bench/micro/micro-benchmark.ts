/**
 * `npm run bench -- micro`: the pieces that run for every record, message or frame, each alone in a loop. Machine and load decide, so
 * compare within one run only; `node --cpu-prof dist/bench/main.js micro --only NAME` tells where the time goes.
 */
import { Bench } from 'tinybench';
import { say } from '../support/figures.ts';
import { amqpTasks } from './amqp.ts';
import { kafkaTasks } from './kafka.ts';
import type { MicroTask } from './micro-task.ts';
import { nativeTasks } from './native.ts';
import { queueTasks } from './queue.ts';
import { recordTasks } from './records.ts';
import { routingTasks } from './routing.ts';

/** Made when they are measured: some hold much memory. */
const SUITES: ReadonlyMap<string, () => MicroTask[]> = new Map([
  ['records', recordTasks],
  ['native', nativeTasks],
  ['kafka', kafkaTasks],
  ['amqp', amqpTasks],
  ['routing', routingTasks],
  ['queue', queueTasks],
]);

export const MICRO_SUITES: readonly string[] = [...SUITES.keys()];

export interface MicroOptions {
  /** How long each task is measured, at least. */
  readonly taskMs: number;
  /** One of {@link MICRO_SUITES}; undefined: all. */
  readonly only: string | undefined;
}

export const FULL_MICRO: MicroOptions = { taskMs: 500, only: undefined };
export const QUICK_MICRO: MicroOptions = { ...FULL_MICRO, taskMs: 50 };

/** Prints a table for each suite. Rejects with a RangeError if there is no such suite, and with what a task throws. */
export async function runMicroBenchmark({ taskMs, only }: MicroOptions): Promise<void> {
  const names = only === undefined ? MICRO_SUITES : [only];
  for (const name of names) {
    const tasks = tasksOf(name);
    say(`${name} …`);
    process.stdout.write(`${table(name, await measure(tasks, taskMs)).join('\n')}\n\n`);
  }
}

export function tasksOf(suite: string): MicroTask[] {
  const makeTasks = SUITES.get(suite);
  if (makeTasks === undefined)
    throw new RangeError(`there is no suite "${suite}"; there are ${MICRO_SUITES.join(', ')}`);
  return makeTasks();
}

interface Measured {
  readonly task: MicroTask;
  /** Of the median run. */
  readonly unitNs: number;
  /** Median deviation of runs from the median run, in percent of that: whether the machine was quiet. */
  readonly deviationPercent: number;
}

async function measure(tasks: readonly MicroTask[], taskMs: number): Promise<Measured[]> {
  const bench = new Bench({ time: taskMs, warmupTime: taskMs / 5, throws: true });
  const sums = new Float64Array(tasks.length);
  tasks.forEach(({ name, run }, index) => {
    bench.add(name, () => {
      sums[index]! += run();
    });
  });
  await bench.run();
  return tasks.map((task, index) => {
    const result = bench.getTask(task.name)?.result;
    if (result?.state !== 'completed' || !(sums[index]! > 0)) throw new Error(`${task.name} did nothing`);
    const { p50, mad } = result.latency;
    return { task, unitNs: (p50 * 1e6) / task.units, deviationPercent: (100 * mad) / p50 };
  });
}

function table(title: string, measured: readonly Measured[]): string[] {
  const width = Math.max(...measured.map(({ task }) => task.name.length));
  const lines = measured.map(({ task, unitNs, deviationPercent }) =>
    [
      task.name.padEnd(width),
      `${nanoseconds(unitNs)} per ${task.unit}`.padStart(24),
      `${rate(1e9 / unitNs)} ${task.unit === 'MB' ? 'MB' : `${task.unit}s`}/s`.padStart(20),
      `± ${deviationPercent.toFixed(1)} %`.padStart(10),
    ].join('  '),
  );
  return [title, ...lines];
}

function nanoseconds(value: number): string {
  return value < 10_000 ? `${value.toFixed(value < 100 ? 1 : 0)} ns` : `${(value / 1000).toFixed(1)} µs`;
}

function rate(value: number): string {
  return value < 1e6 ? value.toFixed(0) : `${(value / 1e6).toFixed(1)} M`;
}

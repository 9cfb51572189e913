/** `npm run bench -- log|queues [--quick] [--rounds N] [--records N] [--large-log-gib N]`. */
import { parseArgs } from 'node:util';
import { FULL, QUICK, runLogBenchmark } from './log/log-benchmark.ts';
import { FULL_QUEUES, QUICK_QUEUES, runQueueBenchmark } from './queues/sdk-benchmark.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    records: { type: 'string' },
    'large-log-gib': { type: 'string' },
  },
});
const base = values.quick ? QUICK : FULL;
switch (positionals[0]) {
  case 'log':
    await runLogBenchmark({
      ...base,
      rounds: Number(values.rounds ?? base.rounds),
      recordsOf100Bytes: Number(values.records ?? base.recordsOf100Bytes),
      largeLogBytes:
        values['large-log-gib'] === undefined ? base.largeLogBytes : Number(values['large-log-gib']) * 2 ** 30,
    });
    break;
  case 'queues': {
    const queues = values.quick ? QUICK_QUEUES : FULL_QUEUES;
    await runQueueBenchmark({
      ...queues,
      rounds: Number(values.rounds ?? queues.rounds),
      messages: Number(values.records ?? queues.messages),
    });
    break;
  }
  default:
    process.stderr.write('usage: npm run bench -- log|queues [--quick] [--rounds N] [--records N] [--large-log-gib N]\n');
    process.exitCode = 2;
}

/** `npm run bench -- <name> [--quick] [--rounds N] [--records N] [--large-log-gib N]`. */
import { parseArgs } from 'node:util';
import { FULL, QUICK, runLogBenchmark } from './log/log-benchmark.ts';
import { PUSH_FULL, PUSH_QUICK, runPushBenchmark } from './push/push-benchmark.ts';

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
  case 'push': {
    const push = values.quick ? PUSH_QUICK : PUSH_FULL;
    await runPushBenchmark({
      ...push,
      rounds: Number(values.rounds ?? push.rounds),
      records: Number(values.records ?? push.records),
    });
    break;
  }
  default:
    process.stderr.write('usage: npm run bench -- log|push [--quick] [--rounds N] [--records N] [--large-log-gib N]\n');
    process.exitCode = 2;
}

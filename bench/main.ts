/** `npm run bench -- <name> [options]`. */
import { parseArgs } from 'node:util';
import { FULL_GROUPS, QUICK_GROUPS, runGroupsBenchmark } from './groups/groups-benchmark.ts';
import { FULL, QUICK, runLogBenchmark } from './log/log-benchmark.ts';
import { FULL_MICRO, MICRO_SUITES, QUICK_MICRO, runMicroBenchmark } from './micro/micro-benchmark.ts';
import { FULL_QUEUES, QUICK_QUEUES, runQueuesBenchmark } from './queues/queues-benchmark.ts';

const USAGE = `usage: npm run bench -- log [--quick] [--rounds N] [--records N] [--large-log-gib N]
       npm run bench -- groups [--quick] [--rounds N] [--records N] [--only throughput|commits|rebalances|push]
                               [--note TEXT] [--results FOLDER]
       npm run bench -- queues [--quick] [--rounds N] [--messages N] [--backlog N]
                               [--only throughput|latency|fanout|backlog|message-groups] [--note TEXT] [--results FOLDER]
       npm run bench -- micro [--quick] [--only ${MICRO_SUITES.join('|')}]
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    records: { type: 'string' },
    messages: { type: 'string' },
    backlog: { type: 'string' },
    'large-log-gib': { type: 'string' },
    note: { type: 'string' },
    only: { type: 'string' },
    results: { type: 'string' },
  },
});
switch (positionals[0]) {
  case 'log': {
    const base = values.quick ? QUICK : FULL;
    await runLogBenchmark({
      ...base,
      rounds: Number(values.rounds ?? base.rounds),
      recordsOf100Bytes: Number(values.records ?? base.recordsOf100Bytes),
      largeLogBytes:
        values['large-log-gib'] === undefined ? base.largeLogBytes : Number(values['large-log-gib']) * 2 ** 30,
    });
    break;
  }
  case 'groups': {
    const base = values.quick ? QUICK_GROUPS : FULL_GROUPS;
    const rounds = Number(values.rounds ?? base.rounds);
    await runGroupsBenchmark({ ...base, rounds, records: Number(values.records ?? base.records) }, values);
    break;
  }
  case 'queues': {
    const base = values.quick ? QUICK_QUEUES : FULL_QUEUES;
    await runQueuesBenchmark(
      {
        ...base,
        rounds: Number(values.rounds ?? base.rounds),
        messages: Number(values.messages ?? base.messages),
        backlogMessages: Number(values.backlog ?? base.backlogMessages),
      },
      values,
    );
    break;
  }
  case 'micro':
    if (values.only !== undefined && !MICRO_SUITES.includes(values.only)) {
      process.stderr.write(USAGE);
      process.exitCode = 2;
      break;
    }
    await runMicroBenchmark({ ...(values.quick ? QUICK_MICRO : FULL_MICRO), only: values.only });
    break;
  default:
    process.stderr.write(USAGE);
    process.exitCode = 2;
}

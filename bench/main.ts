/** `npm run bench -- <name> [--quick]`. */
import { FULL, QUICK, runLogBenchmark } from './log/log-benchmark.ts';

const [name, ...flags] = process.argv.slice(2);
switch (name) {
  case 'log':
    await runLogBenchmark(flags.includes('--quick') ? QUICK : FULL);
    break;
  default:
    process.stderr.write('usage: npm run bench -- log [--quick]\n');
    process.exitCode = 2;
}

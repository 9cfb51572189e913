/** Prints "N passed, N failed" from the file that Vitest's JSON reporter wrote. A test file that did not load is one failure. */
import fs from 'node:fs';

let report;
try {
  report = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
} catch {
  console.log('The test run left no report: it did not get as far as running tests.');
  report = { numPassedTests: 0, numFailedTests: 1, testResults: [] };
}
const unloaded = report.testResults.filter(
  ({ status, assertionResults }) => status === 'failed' && assertionResults.every((test) => test.status !== 'failed'),
);
console.log(`${report.numPassedTests} passed, ${report.numFailedTests + unloaded.length} failed`);

/** The project's habits, checked. Each rule is also shown a few lines that break it, since a rule that never fails checks nothing. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  checkBrowserSafety,
  checkDeterminism,
  checkImportDirections,
  checkLeftovers,
  checkModules,
  checkStatePurity,
  findDeadExports,
  findDeadFiles,
  importedModules,
  missingFromLock,
  type SourceFile,
  withoutComments,
} from './support/tidy-rules.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** These two talk about what they forbid. */
const SELF = new Set(['test/tidy.test.ts', 'test/support/tidy-rules.ts']);
const ENTRY_POINTS = new Set([
  'src/cli/main.ts',
  'broker/index.ts',
  'client/index.ts',
  // Part of the record format, checked against foreign batches; nothing writes transactions yet.
  'src/records/control-record.ts',
  // The side of queues, which no listener serves yet.
  'broker/exchanges/topology.ts',
]);
const FOLDERS = ['.ci', 'src', 'broker', 'client', 'examples', 'bench', 'test', 'docs'];

function readFiles(folder: string): SourceFile[] {
  return fs.readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return name === 'test/golden' || name === 'bench/results' ? [] : readFiles(name);
    return [{ path: name, text: fs.readFileSync(path.join(ROOT, name), 'utf8') }];
  });
}

const ROOT_FILES = fs
  .readdirSync(ROOT, { withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.(?:md|json|ts)$/.test(entry.name))
  .map((entry) => ({ path: entry.name, text: fs.readFileSync(path.join(ROOT, entry.name), 'utf8') }));
const FILES = [
  ...ROOT_FILES,
  ...FOLDERS.filter((folder) => fs.existsSync(path.join(ROOT, folder))).flatMap(readFiles),
].filter((file) => !SELF.has(file.path));
const PATHS = new Set(FILES.map((file) => file.path));

function broken(rule: (file: SourceFile) => string[], name: string, text: string): string[] {
  return rule({ path: name, text });
}

test('imports point one way', () => {
  expect(FILES.flatMap(checkImportDirections)).toEqual([]);
});

test.each([
  ['src/records/a.ts', '../../broker/options.ts', 'src imports src only'],
  ['src/records/a.ts', '../cli/main.ts', 'src imports src only'],
  ['src/cli/main.ts', '../../examples/a.ts', 'not src, broker, client'],
  ['client/a.ts', '../broker/ports/clock.ts', 'client imports src only'],
  ['client/a.ts', '../src/cli/main.ts', 'client imports src only'],
  ['broker/log/a.ts', '../../client/a.ts', 'broker imports src only'],
  ['broker/log/a.ts', '../partitions/a.ts', 'log stands before partitions'],
  ['broker/ports/a.ts', '../log/a.ts', 'ports stands before log'],
  ['broker/partitions/a.ts', '../listeners/kafka/a.ts', 'partitions stands before listeners'],
  ['broker/listeners/kafka/a.ts', '../native/a.ts', 'listeners never import each other'],
  ['broker/log/a.ts', '../index.ts', 'only users of the broker'],
  ['broker/log/a.ts', '../extras/a.ts', 'no place in the order'],
  ['broker/options.ts', './log/a.ts', 'stands before log'],
  ['examples/a.ts', '../src/records/a.ts', 'public entry points'],
  ['bench/a.ts', '../test/a.test.ts', 'nothing imports tests'],
])('%s must not import %s: %s', (from, to, reason) => {
  for (const text of [`import { a } from '${to}';`, `export type {\n  a,\n} from '${to}';`, `await import('${to}')`]) {
    expect(broken(checkImportDirections, from, text), text).toEqual([expect.stringContaining(reason)]);
  }
});

test.each([
  ['broker/partitions/a.ts', '../log/a.ts'],
  ['broker/log/a.ts', '../options.ts'],
  ['broker/log/a.ts', '../../src/records/a.ts'],
  ['broker/listeners/kafka/apis/a.ts', '../connection.ts'],
  ['broker/listeners/kafka/a.ts', '../limits.ts'],
  ['broker/index.ts', './listeners/kafka/a.ts'],
  ['src/cli/start.ts', '../../broker/index.ts'],
  ['examples/a.ts', '../client/index.ts'],
  ['test/broker/a.test.ts', '../../broker/log/a.ts'],
])('%s may import %s', (from, to) => {
  expect(broken(checkImportDirections, from, `import { a } from '${to}';`)).toEqual([]);
});

test('the core of the broker takes time, chance, files and sockets from its ports', () => {
  expect(FILES.flatMap(checkDeterminism)).toEqual([]);
  for (const line of [
    'const now = Date.now();',
    'const now = new Date();',
    'performance.now();',
    'Math.random();',
    'setTimeout(() => {}, 1);',
    'setInterval(tick, 1);',
    'setImmediate(tick);',
    'process.env.PORT;',
    "import fs from 'node:fs';",
    "import { open } from 'node:fs/promises';",
    "import { randomBytes } from 'node:crypto';",
    "import net from 'node:net';",
    "import { WebSocket } from 'ws';",
  ]) {
    expect(broken(checkDeterminism, 'broker/log/a.ts', line), line).not.toEqual([]);
    expect(broken(checkDeterminism, 'broker/ports/a.ts', line), line).toEqual([]);
    expect(broken(checkDeterminism, 'broker/listeners/kafka/a.ts', line), line).toEqual([]);
  }
  expect(broken(checkDeterminism, 'broker/log/a.ts', "// not Date.now()\nlog.info('setTimeout');")).toEqual([]);
});

test('state machines are pure', () => {
  expect(checkStatePurity(FILES)).toEqual([]);
  const machine = 'broker/log/recovery-state.ts';
  for (const text of [
    "import { a } from 'node:events';",
    'async function step() {}',
    'new Promise(() => {});',
    'const now = Date.now();',
  ]) {
    expect(checkStatePurity([{ path: machine, text }]), text).toHaveLength(1);
    const through = { path: machine, text: "import { a } from './pure.ts';" };
    const found = checkStatePurity([through, { path: 'broker/log/pure.ts', text }]);
    expect(found, text).toEqual([expect.stringContaining('imports broker/log/pure.ts, which must not')]);
    expect(checkStatePurity([{ path: 'broker/ports/process-state.ts', text }]), text).toEqual([]);
  }
  const fine = [
    { path: machine, text: "import type { Clock } from '../ports/clock.ts';\nimport { a } from './other-state.ts';" },
    { path: 'broker/log/other-state.ts', text: 'export const a = 1;' },
    { path: 'broker/ports/clock.ts', text: "import fs from 'node:fs';" },
  ];
  expect(checkStatePurity(fine)).toEqual([]);
});

describe('what browsers load', () => {
  test('has no Node modules and no Buffer', () => {
    expect(checkBrowserSafety(FILES, 'client/index.ts')).toEqual([]);
    for (const text of ["import fs from 'node:fs';", "import { WebSocket } from 'ws';", 'Buffer.alloc(1);']) {
      const entry = { path: 'client/index.ts', text: "import { a } from './a.ts';" };
      const files = [entry, { path: 'client/a.ts', text }, { path: 'client/unused.ts', text }];
      expect(checkBrowserSafety(files, entry.path), text).toEqual([expect.stringContaining('client/a.ts')]);
      const twin = { path: 'client/a.browser.ts', text: '' };
      expect(checkBrowserSafety([...files, twin], entry.path), text).toEqual([]);
    }
  });

  test('is named in package.json, file by file', () => {
    const { browser } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
      browser: Record<string, string>;
    };
    const twins = [...PATHS].filter((name) => name.endsWith('.browser.ts')).sort();
    const built = (name: string): string => `./dist/${name.replace(/\.ts$/, '.js')}`;
    expect(Object.values(browser).sort()).toEqual(twins.map(built));
    for (const [from, to] of Object.entries(browser)) expect(to).toBe(from.replace(/\.js$/, '.browser.js'));
  });
});

test('modules are named after what they hold, pass nothing on, and fit in the head', () => {
  expect(FILES.flatMap(checkModules)).toEqual([]);
  expect(broken(checkModules, 'src/utils.ts', 'export const a = 1;\n')).toHaveLength(1);
  expect(broken(checkModules, 'src/log-helpers/a.ts', 'export const a = 1;\n')).toEqual([]);
  expect(broken(checkModules, 'src/helpers/a.ts', 'export const a = 1;\n')).toHaveLength(1);
  expect(broken(checkModules, 'src/a.ts', "export { a } from './b.ts';\nexport { c } from './d.ts';\n")).toHaveLength(
    1,
  );
  expect(broken(checkModules, 'client/index.ts', "export { a } from './b.ts';\n")).toEqual([]);
  expect(broken(checkModules, 'client/index.ts', "export * from './b.ts';\n")).toHaveLength(1);
  expect(broken(checkModules, 'src/a.ts', 'a();\n'.repeat(601))).toHaveLength(1);
  expect(broken(checkModules, 'src/a.ts', 'a();\n'.repeat(600))).toEqual([]);
});

test('nothing is left behind by accident', () => {
  expect(FILES.flatMap(checkLeftovers)).toEqual([]);
  for (const line of [
    '// TODO: later',
    '/* FIXME */',
    'test.only("x", () => {});',
    'describe.skip("x", () => {});',
    'test.concurrent.skip("x", () => {});',
    '  debugger;',
    'console.log(1);',
    "open('/root/file');",
    'See /home/me/notes.md',
    '"resolved": "https://registry.example.com/a.tgz"',
  ]) {
    expect(broken(checkLeftovers, 'src/a.ts', line), line).toHaveLength(1);
  }
  const fine = '// Needs a clock that the platform lacks.\ntest.skip("x", () => {});\nconst prefix = "work/";';
  expect(broken(checkLeftovers, 'test/a.test.ts', fine)).toEqual([]);
});

test('no file and no exported name is dead', () => {
  expect(findDeadFiles(FILES, ENTRY_POINTS)).toEqual([]);
  expect(findDeadExports(FILES, ENTRY_POINTS)).toEqual([]);
  const files = [
    { path: 'src/cli/main.ts', text: "import { a } from '../a.ts';\na();" },
    { path: 'src/a.ts', text: 'export function a() {}\nexport interface Forgotten {}' },
    { path: 'src/a.browser.ts', text: 'export function a() {}' },
    { path: 'src/forgotten.ts', text: 'export const a = 1;' },
    { path: 'test/a.test.ts', text: "import '../src/forgotten.ts';" },
  ];
  expect(findDeadFiles(files, ENTRY_POINTS)).toEqual(['src/forgotten.ts: nothing imports it']);
  expect(findDeadExports(files, ENTRY_POINTS)).toEqual(['src/a.ts: Forgotten is exported but used nowhere']);
});

test('the lock names every platform, so that npm ci works where a registry has only some of them', () => {
  expect(missingFromLock(fs.readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8'))).toEqual([]);
  const packages = {
    'node_modules/a': { version: '1.0.0', optionalDependencies: { 'a-linux': '1.0.0', 'a-mac': '1.0.0' } },
  };
  const lock = JSON.stringify({ packages: { ...packages, 'node_modules/a-linux': { version: '1.0.0' } } });
  expect(missingFromLock(lock)).toEqual(['a-mac, needed by node_modules/a, is not in package-lock.json']);
});

test('comments and strings are told apart', () => {
  const source = "const a = '// not a comment'; // import x from './x.ts'\n/* import './y.ts' */ import './z.ts';";
  expect(withoutComments(source)).toContain("'// not a comment'");
  expect(importedModules(source)).toEqual(['./z.ts']);
});

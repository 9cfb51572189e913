/**
 * Makes a fresh clone runnable, then runs one of the project's commands. Behind every npm script:
 *
 *     node src/cli/bootstrap.mjs [--no-build] burrow|node|vitest|tsc|biome ARGUMENTS…
 *
 * Installs the locked dependencies unless node_modules has exactly those, builds dist unless it is newer than all
 * sources, then runs. Plain JavaScript without dependencies, since it runs before there are any, on any Node that
 * can say that it is too old.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const DIST = path.join(ROOT, 'dist');
const MAIN = path.join(DIST, 'src/cli/main.js');
/** Its time is that of the build's start, so that a source saved during the build counts as newer. */
const BUILT = path.join(DIST, '.built');

const TOOLS = {
  vitest: 'node_modules/vitest/vitest.mjs',
  tsc: 'node_modules/typescript/bin/tsc',
  biome: 'node_modules/@biomejs/biome/bin/biome',
};

const SOURCES = [
  'src',
  'broker',
  'client',
  'examples',
  'bench',
  'test/support',
  'test/crash',
  'test/sim',
  'test/soak',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
];

/** Ends the process with one line for the person in front of it. */
function fail(text) {
  process.stderr.write(`burrow: ${text}\n`);
  process.exit(1);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(
    `Node.js ${process.versions.node} is too old; BurrowMQ needs 20.19 or newer. Get one from https://nodejs.org (or: nvm install 22), then repeat the command.`,
  );
}

/** True if node_modules has every package of package-lock.json in its exact version. */
function dependenciesAreCurrent() {
  let installed;
  try {
    // npm writes this file last, so an install that was cut short has none.
    installed = readPackages('node_modules/.package-lock.json');
  } catch {
    return false;
  }
  return Object.entries(readPackages('package-lock.json')).every(([folder, wanted]) => {
    if (folder === '') return true;
    const found = installed[folder];
    // Optional packages are those of other platforms.
    return found === undefined ? wanted.optional === true : found.version === wanted.version;
  });
}

function readPackages(file) {
  return JSON.parse(fs.readFileSync(path.join(ROOT, file), 'utf8')).packages;
}

function installDependencies() {
  const target = path.join(ROOT, 'node_modules');
  // npm ci empties the folder first: never through a link that others may share.
  if (fs.lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink()) {
    fail(`node_modules is a link to ${fs.realpathSync(target)} and does not match package-lock.json; install there.`);
  }
  process.stderr.write('Installing the locked dependencies (once, and when they change) …\n');
  const arguments_ = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  const result = npm?.endsWith('.js')
    ? spawnSync(process.execPath, [npm, ...arguments_], { cwd: ROOT, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', arguments_, { cwd: ROOT, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (result.status === 0) return;
  if (result.signal) process.kill(process.pid, result.signal);
  fail(
    `the dependencies could not be installed (npm ci: ${result.error?.message ?? `exit code ${result.status}`}). Check the network and \`npm config get registry\` (behind a proxy: HTTPS_PROXY), then repeat the command.`,
  );
}

function buildIsCurrent() {
  const built = fs.statSync(BUILT, { throwIfNoEntry: false });
  return (
    built !== undefined && fs.existsSync(MAIN) && SOURCES.every((name) => newest(path.join(ROOT, name)) < built.mtimeMs)
  );
}

/** Latest change below a path. Folders count too: theirs changes when a file is removed or renamed. */
function newest(entry) {
  const stat = fs.statSync(entry, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return fs.readdirSync(entry).reduce((latest, name) => Math.max(latest, newest(path.join(entry, name))), stat.mtimeMs);
}

function build() {
  process.stderr.write('Building …\n');
  const started = new Date();
  // Built aside and moved into place, so that dist is never half new; a broker running from it keeps its loaded code.
  const aside = path.join(ROOT, `.burrow-build-${process.pid}`);
  const tsc = [path.join(ROOT, TOOLS.tsc), '-p', 'tsconfig.build.json', '--outDir', aside];
  const result = spawnSync(process.execPath, tsc, { cwd: ROOT, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) {
    fs.rmSync(aside, { recursive: true, force: true });
    if (result.signal) process.kill(process.pid, result.signal);
    fail('the build failed; the compiler’s messages stand above.');
  }
  fs.writeFileSync(path.join(aside, '.built'), '');
  fs.utimesSync(path.join(aside, '.built'), started, started);
  fs.rmSync(DIST, { recursive: true, force: true });
  fs.renameSync(aside, DIST);
}

/** Runs a tool of node_modules, or a script, as a child, and ends as it ends. */
function runChild(file, arguments_) {
  const child = spawn(process.execPath, [file, ...arguments_], { cwd: ROOT, stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(`cannot run ${file}: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/**
 * npm passes SIGTERM to the shell between it and this process, and that shell (dash) ends without passing it on, which
 * would leave a broker running that nobody can see. So: when the shell has gone, stop.
 */
function stopWithShell() {
  const shell = process.ppid;
  if (process.env.npm_lifecycle_event === undefined || process.platform === 'win32') return;
  const watch = setInterval(() => {
    if (process.ppid === shell) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 250);
  watch.unref();
}

async function main(words) {
  checkNode();
  stopWithShell();
  const withBuild = words[0] !== '--no-build';
  const [command, ...rest] = withBuild ? words : words.slice(1);
  if (!dependenciesAreCurrent()) installDependencies();
  if (withBuild && !buildIsCurrent()) build();
  if (command === 'burrow') {
    // In this process: signals, terminal and exit code need no passing on.
    process.argv = [process.execPath, MAIN, ...rest];
    await import(pathToFileURL(MAIN).href);
  } else if (command === 'node') {
    runChild(rest[0], rest.slice(1));
  } else if (Object.hasOwn(TOOLS, command)) {
    runChild(path.join(ROOT, TOOLS[command]), rest);
  } else {
    fail(`unknown command "${command}"; known: burrow, node, ${Object.keys(TOOLS).join(', ')}.`);
  }
}

await main(process.argv.slice(2));

/** The self-setup on a project of its own, with stand-ins for npm and the compiler, so that nothing is downloaded. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';

const BOOTSTRAP = fileURLToPath(new URL('../../src/cli/bootstrap.mjs', import.meta.url));

/** Counts its builds in builds.txt; the built command says what it was given. */
const COMPILER = `
const fs = require('node:fs');
const out = process.argv[process.argv.indexOf('--outDir') + 1];
fs.appendFileSync('builds.txt', 'x');
if (fs.readFileSync('src/main.ts', 'utf8').includes('mistake')) { console.error('src/main.ts(1,1): mistake'); process.exit(2); }
fs.mkdirSync(out + '/src/cli', { recursive: true });
fs.writeFileSync(out + '/src/cli/main.js', 'console.log("burrow", ...process.argv.slice(2));');
`;

/** Installs what the lock names, and the compiler. */
const NPM = `
const fs = require('node:fs');
fs.writeFileSync('npm.txt', process.argv.slice(2).join(' '));
if (fs.existsSync('offline')) process.exit(7);
fs.mkdirSync('node_modules/typescript/bin', { recursive: true });
fs.writeFileSync('node_modules/typescript/bin/tsc', ${JSON.stringify(COMPILER)});
fs.writeFileSync('node_modules/typescript/package.json', '{"type":"commonjs"}');
fs.copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
`;

interface Project {
  readonly folder: string;
  run(...words: string[]): { code: number | null; stdout: string; stderr: string };
  write(name: string, text: string): void;
  has(name: string): boolean;
  builds(): number;
}

function makeProject(): Project {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'burrow-bootstrap-'));
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }));
  const at = (name: string): string => path.join(folder, name);
  const write = (name: string, text: string): void => {
    fs.mkdirSync(path.dirname(at(name)), { recursive: true });
    fs.writeFileSync(at(name), text);
  };
  write('package.json', '{"type":"module"}');
  write('npm/package.json', '{"type":"commonjs"}');
  write('npm/npm-cli.js', NPM);
  write('src/main.ts', '');
  write('package-lock.json', lock('1.0.0'));
  fs.mkdirSync(at('src/cli'), { recursive: true });
  fs.copyFileSync(BOOTSTRAP, at('src/cli/bootstrap.mjs'));
  return {
    folder,
    write,
    has: (name) => fs.existsSync(at(name)),
    builds: () => (fs.existsSync(at('builds.txt')) ? fs.readFileSync(at('builds.txt'), 'utf8').length : 0),
    run: (...words) => {
      const result = spawnSync(process.execPath, [at('src/cli/bootstrap.mjs'), ...words], {
        env: { ...process.env, npm_execpath: at('npm/npm-cli.js') },
        encoding: 'utf8',
      });
      return { code: result.status, stdout: result.stdout, stderr: result.stderr };
    },
  };
}

function lock(version: string): string {
  return JSON.stringify({
    packages: {
      '': { name: 'x' },
      'node_modules/a': { version },
      'node_modules/other-platform': { version: '1.0.0', optional: true },
    },
  });
}

test('a fresh clone installs the locked dependencies, builds, and runs the command with its words', () => {
  const project = makeProject();
  const { code, stdout, stderr } = project.run('burrow', 'topic', 'list', '--json');
  expect([code, stdout, stderr]).toEqual([
    0,
    'burrow topic list --json\n',
    'Installing the locked dependencies (once, and when they change) …\nBuilding …\n',
  ]);
  expect(fs.readFileSync(path.join(project.folder, 'npm.txt'), 'utf8')).toBe(
    'ci --include=dev --include=optional --no-audit --no-fund',
  );
});

test('the second run does neither', () => {
  const project = makeProject();
  project.run('burrow');
  fs.rmSync(path.join(project.folder, 'npm.txt'));
  expect(project.run('burrow', 'x')).toEqual({ code: 0, stdout: 'burrow x\n', stderr: '' });
  expect(project.has('npm.txt')).toBe(false);
  expect(project.builds()).toBe(1);
});

test('a changed lock installs again; one that only lacks packages of other platforms does not', () => {
  const project = makeProject();
  project.run('burrow');
  project.write(
    'node_modules/.package-lock.json',
    JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } }),
  );
  expect(project.run('burrow').stderr).toBe('');
  project.write('package-lock.json', lock('1.0.1'));
  expect(project.run('burrow').stderr).toContain('Installing');
});

test('a source that was changed, added or removed builds again', () => {
  const project = makeProject();
  project.run('burrow');
  const later = new Date(Date.now() + 5_000);
  project.write('src/main.ts', '// changed');
  fs.utimesSync(path.join(project.folder, 'src/main.ts'), later, later);
  expect(project.run('burrow').stderr).toBe('Building …\n');
  // Time stamps in the future stay newer than the build; so back to the present for the rest.
  const past = new Date(Date.now() - 60_000);
  fs.utimesSync(path.join(project.folder, 'src/main.ts'), past, past);
  project.run('burrow');
  const before = project.builds();
  project.write('src/deep/new.ts', '');
  project.run('burrow');
  expect(project.builds()).toBe(before + 1);
  fs.rmSync(path.join(project.folder, 'src/deep/new.ts'));
  project.run('burrow');
  expect(project.builds()).toBe(before + 2);
  project.run('burrow');
  expect(project.builds()).toBe(before + 2);
});

test('a failed install says what to do and leaves no half of anything', () => {
  const project = makeProject();
  project.write('offline', '');
  const { code, stderr } = project.run('burrow');
  expect(code).toBe(1);
  expect(stderr).toContain('burrow: the dependencies could not be installed (npm ci: exit code 7). Check the network');
  expect(project.has('dist')).toBe(false);
});

test('a failed build keeps the old one, shows the compiler’s message and does not start the command', () => {
  const project = makeProject();
  project.run('burrow');
  const later = new Date(Date.now() + 5_000);
  project.write('src/main.ts', 'mistake');
  fs.utimesSync(path.join(project.folder, 'src/main.ts'), later, later);
  const { code, stdout, stderr } = project.run('burrow');
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toBe(
    'Building …\nsrc/main.ts(1,1): mistake\nburrow: the build failed; the compiler’s messages stand above.\n',
  );
  expect(project.has('dist/src/cli/main.js')).toBe(true);
  expect(fs.readdirSync(project.folder).filter((name) => name.startsWith('.burrow'))).toEqual([]);
});

test('node_modules that is a link is never emptied', () => {
  const project = makeProject();
  const shared = path.join(project.folder, 'shared');
  project.write('shared/kept.txt', '');
  fs.symlinkSync(shared, path.join(project.folder, 'node_modules'));
  const { code, stderr } = project.run('burrow');
  expect([code, stderr]).toEqual([1, expect.stringContaining('node_modules is a link to')]);
  expect(project.has('shared/kept.txt')).toBe(true);
});

test('a script’s exit code, and a signal to this process, go through', async () => {
  const project = makeProject();
  project.write('exit.cjs', 'process.exit(5);');
  expect(project.run('node', 'exit.cjs').code).toBe(5);

  project.write(
    'wait.cjs',
    'process.on("SIGTERM", () => { console.log("stopping"); process.exit(6); }); setInterval(() => {}, 1000); console.log("waiting");',
  );
  const child = spawn(process.execPath, [path.join(project.folder, 'src/cli/bootstrap.mjs'), 'node', 'wait.cjs']);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output === 'waiting\n') child.kill('SIGTERM');
  });
  expect(await once(child, 'close')).toEqual([6, null]);
  expect(output).toBe('waiting\nstopping\n');
});

test('under npm it stops when the shell between them is gone', async () => {
  const project = makeProject();
  project.run('burrow');
  project.write(
    'wait.cjs',
    'process.on("SIGTERM", () => process.exit(6)); setInterval(() => {}, 1000); console.log(process.pid);',
  );
  const bootstrap = path.join(project.folder, 'src/cli/bootstrap.mjs');
  // The command behind keeps the shell from replacing itself by node.
  const shell = spawn('sh', ['-c', `"${process.execPath}" "${bootstrap}" node wait.cjs; true`], {
    env: { ...process.env, npm_lifecycle_event: 'start' },
  });
  await once(shell.stdout, 'data');
  shell.kill('SIGKILL');
  // The pipe closes only when the last process that holds it has ended.
  await once(shell, 'close');
});

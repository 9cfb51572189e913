/**
 * The project's habits as rules over file texts. Each rule is pure and gives lines "path: what is wrong", so that
 * tidy.test.ts can run it over the repository and over a few lines that break it.
 */
import path from 'node:path';

export interface SourceFile {
  /** From the project's root, with `/`. */
  readonly path: string;
  readonly text: string;
}

const FILE_LINES_MAX = 600;
/** One state with many small methods on it, whose fields would have to leave the class; or a table. */
const LONGER_FILES: ReadonlyMap<string, number> = new Map([
  ['broker/log/partition-log.ts', 800],
  ['broker/queues/queue.ts', 730],
  ['test/sim/queue-simulation.ts', 660],
  ['src/errors/table.ts', 1000],
  ['broker/options.ts', 900],
]);

/** Folders of broker/ in the order of imports: each may import what stands before it. */
const BROKER_FOLDERS = [
  'ports',
  'log',
  'coordinator',
  'definitions',
  'security',
  'quotas',
  'cluster',
  'replication',
  'partitions',
  'groups',
  'transactions',
  'exchanges',
  'queues',
  'listeners',
];

/** What the broker's core takes from its ports instead, so that a run can be replayed from a seed. */
const BANNED_IN_CORE: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bDate\.now\b|\bnew Date\(\)/, 'use Clock.now()'],
  [/\bperformance\b|\bprocess\.hrtime\b/, 'use Clock.monotonic()'],
  [/\bset(?:Timeout|Interval|Immediate)\b/, 'use Clock.schedule()'],
  [/\bMath\.random\b|\bcrypto\b|\brandomUUID\b/, 'use Random'],
  [/\bprocess\.env\b/, 'take an option'],
];
const BANNED_IMPORTS_IN_CORE =
  /^(?:node:)?(?:fs|crypto|net|dns|os|timers|perf_hooks|child_process|worker_threads)(?:\/|$)|^ws$/;

/** The source without comments; strings and templates stay. Line numbers do not change. */
export function withoutComments(source: string): string {
  // A string, template or comment, whichever begins first.
  const tokens = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return source.replace(tokens, (token) =>
    token.startsWith('//') || token.startsWith('/*') ? token.replace(/[^\n]/g, '') : token,
  );
}

/** Modules named by import, export … from, and import(). */
export function importedModules(source: string): string[] {
  const statements = /\b(?:import|export)\s(?:[^'"`;]*?\bfrom\s)?\s*'([^'\n]+)'|\bimport\(\s*'([^'\n]+)'\s*\)/g;
  return Array.from(withoutComments(source).matchAll(statements), (match) => match[1] ?? match[2] ?? '');
}

/** Imports of our own files, as paths from the root. */
function importedFiles(file: SourceFile): string[] {
  return importedModules(file.text)
    .filter((name) => name.startsWith('.'))
    .map((name) => path.posix.join(path.posix.dirname(file.path), name));
}

function isCode(file: SourceFile): boolean {
  return /\.(?:ts|mjs)$/.test(file.path);
}

/** Imports point one way: src ← broker, src ← client; and inside broker as {@link BROKER_FOLDERS}. */
export function checkImportDirections(file: SourceFile): string[] {
  if (!isCode(file)) return [];
  return importedFiles(file).flatMap((target) => {
    const reason = forbiddenImport(file.path, target);
    return reason === undefined ? [] : [`${file.path}: must not import ${target}: ${reason}`];
  });
}

function forbiddenImport(from: string, to: string): string | undefined {
  const [layer, folder = '', subfolder = ''] = from.split('/');
  const [toLayer, toFolder = '', toSubfolder = ''] = to.split('/');
  if (layer !== 'test' && toLayer === 'test' && !to.startsWith('test/support/')) return 'nothing imports tests';
  const toCommandLine = toLayer === 'src' && toFolder === 'cli';
  switch (layer) {
    case 'src':
      if (folder === 'cli')
        return ['src', 'broker', 'client'].includes(toLayer!) ? undefined : 'not src, broker, client';
      return toLayer === 'src' && !toCommandLine ? undefined : 'src imports src only';
    case 'client':
      return toLayer === 'client' || (toLayer === 'src' && !toCommandLine) ? undefined : 'client imports src only';
    case 'examples':
      if (toLayer === 'examples' || to === 'client/index.ts' || to === 'broker/index.ts') return undefined;
      return 'examples use the public entry points';
    case 'broker':
      break;
    default:
      return undefined;
  }
  if (toLayer === 'src' && !toCommandLine) return undefined;
  if (toLayer !== 'broker') return 'broker imports src only';
  if (from === 'broker/index.ts') return undefined;
  if (to === 'broker/index.ts') return 'only users of the broker import its entry point';
  const rank = brokerRank(folder);
  const toRank = brokerRank(toFolder);
  if (rank === undefined || toRank === undefined) return 'its folder has no place in the order of imports';
  if (toRank > rank) return `${folder} stands before ${toFolder}`;
  if (folder !== 'listeners' || toFolder !== 'listeners') return undefined;
  const crossing = subfolder !== toSubfolder && to.split('/').length > 3;
  return crossing ? 'listeners never import each other' : undefined;
}

/** Of the files directly in broker/ the options stand first, with the ports; the others put everything together. */
function brokerRank(folder: string): number | undefined {
  if (folder.endsWith('.ts')) return /options\.ts$/.test(folder) ? 0 : BROKER_FOLDERS.length;
  const rank = BROKER_FOLDERS.indexOf(folder);
  return rank === -1 ? undefined : rank;
}

/** The core of the broker takes time, chance, files and sockets from its ports. */
export function checkDeterminism(file: SourceFile): string[] {
  if (!/^broker\/(?!ports\/|listeners\/).*\.ts$/.test(file.path)) return [];
  const found = importedModules(file.text)
    .filter((name) => BANNED_IMPORTS_IN_CORE.test(name))
    .map((name) => `${file.path}: must not import ${name}: use a port`);
  withoutStrings(file.text).forEach((line, index) => {
    for (const [pattern, instead] of BANNED_IN_CORE) {
      const match = pattern.exec(line);
      if (match) found.push(`${file.path}:${index + 1}: ${match[0]} is not replayable: ${instead}`);
    }
  });
  return found;
}

function withoutStrings(source: string): string[] {
  return withoutComments(source)
    .replace(/'(?:\\.|[^'\\\n])*'/g, "''")
    .split('\n');
}

/**
 * A `-state.ts` file is a pure machine, and so is all that it imports: no module of others, no waiting, no clock, no
 * chance. Types of others do no harm. Ports are exempt: a name that ends so means something else there.
 */
export function checkStatePurity(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return files
    .filter((file) => /^(?:src|client|broker\/(?!ports\/)).*-state\.ts$/.test(file.path))
    .flatMap((machine) => {
      const found = impureParts(machine).map((reason) => `${machine.path}: a state machine ${reason}`);
      const seen = new Set([machine.path]);
      const follow = (file: SourceFile): void => {
        for (const name of importedFiles({ path: file.path, text: withoutTypeImports(file.text) })) {
          const target = byPath.get(name);
          if (target === undefined || seen.has(name)) continue;
          seen.add(name);
          // The shared core is free of input and output, but for codecs and checksums that no machine uses by mistake.
          if (name.startsWith('src/')) continue;
          for (const reason of impureParts(target)) found.push(`${machine.path}: imports ${name}, which ${reason}`);
          follow(target);
        }
      };
      follow(machine);
      return found;
    });
}

function withoutTypeImports(text: string): string {
  return text.replace(/^import type [^;]*;/gm, '');
}

function impureParts(file: SourceFile): string[] {
  const found = importedModules(withoutTypeImports(file.text))
    .filter((name) => !name.startsWith('.'))
    .map((name) => `must not import ${name}`);
  const code = withoutStrings(file.text).join('\n');
  if (/\basync\b|\bawait\b|\bPromise\b/.test(code)) found.push('must not wait');
  for (const [pattern] of BANNED_IN_CORE) {
    const match = pattern.exec(code);
    if (match) found.push(`must not use ${match[0]}`);
  }
  return found;
}

/**
 * What browsers load, from `entry` on, has no Node modules and no Buffer (unless asked for by typeof). A file with a
 * `.browser.ts` twin is replaced by it there, so what only it imports is not loaded.
 */
export function checkBrowserSafety(files: readonly SourceFile[], entry: string): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const loaded = new Set<string>();
  const load = (name: string): void => {
    const twin = name.replace(/\.ts$/, '.browser.ts');
    const file = byPath.get(twin) ?? byPath.get(name);
    if (file === undefined || loaded.has(file.path)) return;
    loaded.add(file.path);
    for (const imported of importedFiles(file)) load(imported);
  };
  load(entry);
  return [...loaded].flatMap((name) => nodeOnlyParts(byPath.get(name)!));
}

function nodeOnlyParts(file: SourceFile): string[] {
  const found = importedModules(file.text)
    .filter((name) => name.startsWith('node:') || name === 'ws' || name === '@node-rs/crc32')
    .map((name) => `${file.path}: browsers have no ${name}; give the file a .browser.ts twin`);
  const lines = withoutStrings(file.text);
  const buffer = lines.findIndex((line) => /\bBuffer\b/.test(line) && !/\btypeof Buffer\b/.test(line));
  if (buffer !== -1) found.push(`${file.path}:${buffer + 1}: browsers have no Buffer; use Uint8Array`);
  return found;
}

/** Names that say nothing, and files that only pass exports on. */
export function checkModules(file: SourceFile): string[] {
  const found: string[] = [];
  if (/(?:^|\/)(?:utils?|helpers?|common|misc|shared)(?:[./-]|$)/.test(file.path)) {
    found.push(`${file.path}: name it after what it holds`);
  }
  if (!isCode(file)) return found;
  const code = withoutComments(file.text);
  if (/^export \* /m.test(code)) found.push(`${file.path}: export * hides what is exported`);
  const statements = code.split(/;\s*\n/).filter((statement) => statement.trim() !== '');
  const passesOn =
    statements.length > 0 && statements.every((statement) => /^\s*export\b[^'"]*\bfrom\s/.test(statement));
  const isEntryPoint = file.path === 'client/index.ts' || file.path === 'broker/index.ts';
  if (passesOn && !isEntryPoint) found.push(`${file.path}: a barrel; import from where things are`);
  const lines = file.text.split('\n').length - 1;
  const linesMax = LONGER_FILES.get(file.path) ?? FILE_LINES_MAX;
  if (lines > linesMax) found.push(`${file.path}: ${lines} lines; at most ${linesMax}, so split it`);
  return found;
}

/** What is left behind by accident. */
export function checkLeftovers(file: SourceFile): string[] {
  const found: string[] = [];
  const lines = file.text.split('\n');
  lines.forEach((line, index) => {
    const where = `${file.path}:${index + 1}`;
    if (/\b(?:TODO|FIXME|XXX|HACK)\b/.test(line)) found.push(`${where}: leftover; do it or leave it`);
    if (/\b(?:test|it|describe)(?:\.\w+)*\.only\b/.test(line))
      found.push(`${where}: .only switches the other tests off`);
    if (
      /\b(?:test|it|describe)(?:\.\w+)*\.(?:skip|todo)\b/.test(line) &&
      !/\/\/ \w/.test(`${lines[index - 1]}${line}`)
    ) {
      found.push(`${where}: a skipped test needs a comment that says why`);
    }
    if (/^\s*debugger\b/.test(line)) found.push(`${where}: leftover`);
    if (/^(?:src\/(?!cli\/)|broker\/|client\/)/.test(file.path) && /^\s*console\./.test(line)) {
      found.push(`${where}: use the logger`);
    }
    if (/(?:^|[\s'"`(=:])\/(?:work|root|home\/(?!you\/)\w+|Users)\//.test(line))
      found.push(`${where}: a path of one machine`);
    if (/\bhttps?:\/\/[\w.-]*(?:registry|npmjs|artifactory|nexus|pypi)[\w.-]*/.test(line)) {
      found.push(`${where}: a registry’s address; that is for the user’s own configuration`);
    }
  });
  return found;
}

/** Files of src/, broker/ and client/ that nothing but tests imports. Ports are made for tests too. */
export function findDeadFiles(files: readonly SourceFile[], entryPoints: ReadonlySet<string>): string[] {
  const used = new Set(
    files.filter(isCode).flatMap((file) => {
      const targets = importedFiles(file);
      return file.path.startsWith('test/') ? targets.filter((target) => target.startsWith('broker/ports/')) : targets;
    }),
  );
  return files
    .filter(({ path: name }) => /^(?:src|broker|client)\/.*\.ts$/.test(name))
    .filter(({ path: name }) => !entryPoints.has(name) && !used.has(name.replace(/\.browser\.ts$/, '.ts')))
    .map(({ path: name }) => `${name}: nothing imports it`);
}

/** Exported names of src/, broker/ and client/ that no other file mentions. */
export function findDeadExports(files: readonly SourceFile[], entryPoints: ReadonlySet<string>): string[] {
  const mentions = new Map<string, number>();
  for (const file of files.filter(isCode)) {
    for (const word of withoutComments(file.text).match(/[A-Za-z_$][\w$]*/g) ?? []) {
      mentions.set(word, (mentions.get(word) ?? 0) + 1);
    }
  }
  // What an exported function takes or gives is part of it: only a name that stands nowhere else is dead.
  return files
    .filter(({ path: name }) => /^(?:src|broker|client)\/.*\.ts$/.test(name) && !entryPoints.has(name))
    .flatMap(({ path: name, text }) =>
      Array.from(
        text.matchAll(/^export (?:async )?(?:function\*?|const|let|class|abstract class|interface|type) ([\w$]+)/gm),
      )
        .map((match) => match[1]!)
        .filter((exported) => mentions.get(exported) === 1)
        .map((exported) => `${name}: ${exported} is exported but used nowhere`),
    );
}

/** Optional dependencies that the lock does not mention: npm ci refuses such a lock. */
export function missingFromLock(lock: string): string[] {
  const { packages } = JSON.parse(lock) as {
    packages: Record<string, { version?: string; optionalDependencies?: Record<string, string> }>;
  };
  const folders = Object.keys(packages);
  return Object.entries(packages).flatMap(([parent, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter(
        (name) =>
          !folders.some((folder) => folder === `node_modules/${name}` || folder === `${parent}/node_modules/${name}`),
      )
      .map((name) => `${name}, needed by ${parent}, is not in package-lock.json`),
  );
}

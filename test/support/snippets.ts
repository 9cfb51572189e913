/** The TypeScript on the pages for users, compiled and run as a user's program would be: with BurrowMQ as an installed package. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PACKAGES = ['kafkajs', 'amqplib', '@types'];
const RUN_TIMEOUT_MS = 60_000;

export interface Snippet {
  /** From the project's root, with `/`. */
  readonly page: string;
  /** Of its first line of code on the page, from 1. */
  readonly line: number;
  readonly code: string;
}

/** Every block of a page that is marked as ts. */
export function snippetsOf(page: string, text: string): Snippet[] {
  return Array.from(text.matchAll(/^```ts\n([\s\S]*?)^```$/gm), ({ 1: code, index }) => ({
    page,
    line: text.slice(0, index).split('\n').length + 1,
    code: code!,
  }));
}

/** All of them: README.md and docs/. */
export function readSnippets(): Snippet[] {
  const docs = fs.readdirSync(path.join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' });
  const pages = docs.filter((name) => name.endsWith('.md')).sort();
  return ['README.md', ...pages.map((name) => `docs/${name.replaceAll(path.sep, '/')}`)].flatMap((page) =>
    snippetsOf(page, fs.readFileSync(path.join(ROOT, page), 'utf8')),
  );
}

/** A folder with its own node_modules, where programs are compiled together and run. */
export class SnippetProject {
  readonly #folder: string;

  /** `folder` is to be an empty one. The build is what its programs import, as it is what npm would publish. */
  constructor(folder: string) {
    if (!fs.existsSync(path.join(ROOT, 'dist/client/index.d.ts'))) {
      throw new Error('dist is missing: run npm test, which builds first');
    }
    this.#folder = folder;
    const modules = path.join(folder, 'node_modules');
    fs.mkdirSync(modules);
    fs.symlinkSync(ROOT, path.join(modules, 'burrowmq'), 'dir');
    for (const name of PACKAGES) fs.symlinkSync(path.join(ROOT, 'node_modules', name), path.join(modules, name), 'dir');
    fs.writeFileSync(path.join(folder, 'package.json'), '{ "type": "module" }');
    const compilerOptions = {
      target: 'es2023',
      lib: ['es2023'],
      types: ['node'],
      module: 'nodenext',
      moduleDetection: 'force',
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: true,
      rootDir: '.',
      outDir: 'built',
    };
    fs.writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  }

  /** `before` is one line. The code behind it has the line numbers that it has on its page, so that complaints name these. */
  add(name: string, { line, code }: Snippet, before: string, after: string): void {
    if (before.includes('\n')) throw new Error(`what comes before ${name} must be one line`);
    fs.writeFileSync(path.join(this.#folder, `${name}.ts`), `${before}${'\n'.repeat(line - 1)}${code}${after}\n`);
  }

  /** Compiles all of them; what the compiler complains of, one line each. */
  async compile(): Promise<string[]> {
    const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
    const child = spawn(process.execPath, [tsc, '-p', this.#folder, '--pretty', 'false'], { cwd: this.#folder });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    await once(child, 'close');
    return output.split('\n').filter((each) => /^\S/.test(each));
  }

  /**
   * Runs what was compiled, with other addresses in place of those that it names, until its output has a match of `wanted`; then it is
   * killed. Rejects with the output if it ends before.
   */
  async run(name: string, addresses: ReadonlyMap<string, string>, wanted: RegExp): Promise<void> {
    const program = path.join(this.#folder, 'built', `${name}.js`);
    let code = fs.readFileSync(program, 'utf8');
    for (const [from, to] of addresses) code = code.replaceAll(from, to);
    fs.writeFileSync(program, code);
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe'], timeout: RUN_TIMEOUT_MS });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (wanted.test(output)) child.kill('SIGKILL');
      });
    }
    await once(child, 'close');
    if (!wanted.test(output)) throw new Error(`${name} printed ${JSON.stringify(output)}, and not ${wanted}`);
  }
}

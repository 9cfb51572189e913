/** The built command without a broker: help, mistakes, exit codes, configuration. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { OPTION_TABLE } from '../../broker/options.ts';
import { testBatch } from '../support/batches.ts';
import { runCommand, startCommand, temporaryFolder } from '../support/cli.ts';

async function refused(words: readonly string[], env?: Record<string, string>): Promise<[number | null, string]> {
  const { code, stdout, stderr } = await runCommand(words, env === undefined ? {} : { env });
  expect(stdout.toString()).toBe('');
  return [code, stderr];
}

describe('a command that is used wrongly', () => {
  test.each([
    [['prodcue', 't'], "burrow: unknown command 'prodcue' (Did you mean produce?) See burrow --help.\n"],
    [['topic', 'creat', 't'], "burrow: unknown command 'creat' (Did you mean create?) See burrow --help.\n"],
    [['start', '--prot', '1'], "burrow: unknown option '--prot' (Did you mean --port?) See burrow --help.\n"],
    [['consume'], "burrow: missing required argument 'topic'. See burrow --help.\n"],
    [['consume', 't', '--format', 'xml'], 'Allowed choices are value, json, tsv.'],
    [['consume', 't', '--from', 'yesterday'], 'burrow: --from is "yesterday"; allowed: earliest, latest, an offset'],
    [['consume', 't', '--count', '0'], 'It must be a whole number from 1.'],
    [['produce', 't', '/nonexistent.log'], 'burrow: File /nonexistent.log cannot be read: ENOENT'],
    [['produce', 't', '--key-from', 'filename'], 'Did you mean "file-name"?'],
    [['produce', 't', '--line-bytes-max', 'x'], '--line-bytes-max'],
    [['topic', 'alter', 't'], 'burrow: Nothing to alter'],
    [['topic', 'create', 't', '--config', 'x'], 'burrow: --config is "x"; it must be KEY=VALUE.'],
    [
      ['start', '--port', '70000'],
      'burrow: Option "port" from --port is "70000"; allowed: 0 (a free port) to 65535, off.',
    ],
    [['start', '--host', '0.0.0.0'], '--allow-insecure'],
    [['log', 'verify', '/nonexistent'], 'burrow: Folder /nonexistent cannot be read'],
  ])('%j says so in one line and exits with 2', async (words, text) => {
    const [code, stderr] = await refused(words);
    expect(stderr).toContain(text);
    expect(stderr.split('\n'), stderr).toHaveLength(2);
    expect(code).toBe(2);
  });
});

test('a broker that cannot be reached is one line, soon, and exit code 3', async () => {
  // A port that was free a moment ago.
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const [code, stderr] = await refused(['topic', 'list', '--server', `ws://127.0.0.1:${port}`]);
  expect(stderr).toMatch(new RegExp(`^burrow: .*127\\.0\\.0\\.1:${port}.*\\n$`));
  expect(code).toBe(3);
  expect(await refused(['topic', 'list'], { BURROW_SERVER: `ws://127.0.0.1:${port}` })).toEqual([3, stderr]);
}, 60_000);

test('--version and --help are no failures', async () => {
  const { version } = JSON.parse(fs.readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const shown = await runCommand(['--version']);
  expect([shown.code, shown.stdout.toString()]).toEqual([0, `${version}\n`]);
  const help = await runCommand(['start', '--help']);
  expect(help.code).toBe(0);
  for (const name of OPTION_TABLE.keys()) expect(help.stdout.toString()).toContain(`--${name}`);
});

describe('start --print-config', () => {
  test('shows each value with its source and starts nothing', async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, 'burrow.json');
    fs.writeFileSync(file, '{"kafka-port": "off", "segment-bytes": "64MiB"}');
    const words = [
      'start',
      '--print-config',
      '--salvage',
      '--auto-create-topics',
      'false',
      '--config',
      file,
      '--port',
      '0',
    ];
    const { code, stdout } = await runCommand(words, { env: { BURROW_FLUSH: 'none' }, cwd: folder });
    const lines = stdout
      .toString()
      .split('\n')
      .map((line) => line.replace(/ +/g, ' '));
    expect(lines).toContain('port = 0 # --port');
    expect(lines).toContain('flush = none # BURROW_FLUSH');
    expect(lines).toContain('salvage = true # --salvage');
    expect(lines).toContain('auto-create-topics = false # --auto-create-topics');
    expect(lines).toContain(`segment-bytes = 64MiB # ${file}`);
    expect(lines).toContain('node-id = 1 # default');
    expect(code).toBe(0);
    expect(fs.readdirSync(folder)).toEqual(['burrow.json']);
  });

  test('with --json prints a file for --config that comes to the same', async () => {
    const file = path.join(temporaryFolder(), 'burrow.json');
    const first = await runCommand(['start', '--print-config', '--json', '--port', '0', '--rack', 'a']);
    fs.writeFileSync(file, first.stdout);
    const second = await runCommand(['start', '--print-config', '--config', file]);
    expect(second.stdout).toEqual(first.stdout);
    expect(JSON.parse(first.stdout.toString())).toMatchObject({ port: 0, rack: 'a', flush: 'always' });
  });
});

describe('log', () => {
  function partition(): { folder: string; file: string } {
    const folder = temporaryFolder();
    const file = path.join(folder, `${'0'.repeat(20)}.log`);
    fs.writeFileSync(file, testBatch(['one', 'two\twords'], { key: 'k', timestampMs: 0 }));
    return { folder, file };
  }

  test('verify exits with 0, or with 1 and the place of the damage', async () => {
    const { folder, file } = partition();
    const intact = await runCommand(['log', 'verify', folder]);
    expect([intact.code, intact.stdout.toString().split('\n').at(-2)]).toEqual([0, 'ok: 1 segment without damage']);
    const bytes = fs.readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    fs.writeFileSync(file, bytes);
    const damaged = await runCommand(['log', 'verify', folder]);
    expect(damaged.code).toBe(1);
    expect(damaged.stdout.toString()).toContain(`DAMAGED ${file} at position 0: the CRC-32C does not match the bytes`);
    const json = await runCommand(['log', 'verify', '--json', folder]);
    expect(JSON.parse(json.stdout.toString())).toMatchObject({ ok: false, damage: [{ file, position: 0 }] });
    expect(json.code).toBe(1);
  });

  test('dump prints batches, and their records if asked', async () => {
    const { folder, file } = partition();
    const { stdout } = await runCommand(['log', 'dump', folder, '--records']);
    expect(stdout.toString().split('\n').slice(1)).toEqual([
      '  0\t1970-01-01T00:00:00.000Z\tk\tone\t[]',
      '  1\t1970-01-01T00:00:00.000Z\tk\ttwo\\twords\t[]',
      '',
    ]);
    const json = await runCommand(['log', 'dump', folder, '--json']);
    expect(JSON.parse(json.stdout.toString())).toMatchObject({
      file,
      position: 0,
      baseOffset: 0,
      lastOffset: 1,
      records: 2,
      codec: 'none',
    });
  });

  test('help into a reader that goes away ends quietly', async () => {
    const running = startCommand(['start', '--help']);
    running.child.stdout!.destroy();
    expect((await running.finished).stderr).toBe('');
  });

  test('dump into a reader that goes away ends quietly', async () => {
    const { folder, file } = partition();
    // Much more than a pipe holds.
    fs.writeFileSync(
      file,
      Buffer.concat(
        Array.from({ length: 20_000 }, (_, index) => {
          const batch = testBatch(['x']);
          batch.writeBigInt64BE(BigInt(index), 0);
          return batch;
        }),
      ),
    );
    const running = startCommand(['log', 'dump', folder]);
    running.child.stdout!.once('data', () => running.child.stdout!.destroy());
    const { code, stderr } = await running.finished;
    expect([code, stderr]).toEqual([0, '']);
  });
});

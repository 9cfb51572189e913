import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { parseConfig, readConfigFile } from '../../src/cli/config-file.ts';
import { errorLine, exitCodeOf } from '../../src/cli/exit-codes.ts';
import { LineWriter } from '../../src/cli/line-writer.ts';
import { formatTable } from '../../src/cli/table.ts';
import { count, describeTotals } from '../../src/cli/totals.ts';
import { BurrowError } from '../../src/errors/burrow-error.ts';

describe('totals', () => {
  test('are records, bytes, time and rates', () => {
    expect(describeTotals({ records: 20_000, bytes: 2_300_000, seconds: 0.5 })).toBe(
      '20,000 records, 2300.0 kB in 0.50 s: 40,000 records/s, 4600.0 kB/s',
    );
    expect(describeTotals({ records: 1, bytes: 5, seconds: 0 })).toMatch(/^1 record, 5 B in 0\.00 s: 1,000 records\/s/);
    expect(count(1234, 'record')).toBe('1,234 records');
  });
});

describe('a table', () => {
  test('has aligned columns, numbers to the right, and no space at line ends', () => {
    expect(
      formatTable(
        ['TOPIC', 'PARTITIONS'],
        [
          ['a', 1],
          ['longer', 12],
        ],
      ),
    ).toBe('TOPIC   PARTITIONS\na                1\nlonger          12');
  });
});

describe('an error', () => {
  test('is one line whatever its text', () => {
    expect(errorLine(new BurrowError('STORAGE_ERROR', 'first\n  second\n'))).toBe(
      'burrow: first second [STORAGE_ERROR]\n',
    );
  });

  test('decides the exit code', () => {
    const codes = (['CONNECTION_FAILED', 'INVALID_CONFIG', 'UNKNOWN_TOPIC_OR_PARTITION', 'STORAGE_FULL'] as const).map(
      (code) => exitCodeOf(new BurrowError(code)),
    );
    expect(codes).toEqual([3, 2, 4, 1]);
  });
});

describe('a config file', () => {
  test('is one JSON object, with or without a byte order mark', () => {
    expect(parseConfig('\uFEFF{"port": 1, "__proto__": 2}', 'f').get('__proto__')).toBe(2);
    expect(() => parseConfig('[]', 'f')).toThrow('Config file f must hold one JSON object');
    expect(() => parseConfig('{', 'f')).toThrow('Config file f is not JSON');
    expect(() => readConfigFile('/nonexistent/burrow.json')).toThrow(
      'Config file /nonexistent/burrow.json cannot be read',
    );
  });
});

describe('a line writer', () => {
  test('gathers lines and waits for a slow reader', async () => {
    const output = new PassThrough({ highWaterMark: 4 });
    const writer = new LineWriter(output);
    writer.add('abc');
    writer.add(Uint8Array.of(0xff, 0x00));
    expect(writer.wantsFlush).toBe(false);
    let flushed = false;
    const flushing = writer.flush().then(() => {
      flushed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(flushed).toBe(false);
    expect(output.read()).toEqual(Buffer.from('abc\n\xff\x00\n', 'latin1'));
    await flushing;
  });

  test('ends quietly when its reader goes away, but not on another failure', async () => {
    const gone = new PassThrough();
    const writer = new LineWriter(gone);
    gone.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(writer.closed).toBe(true);
    writer.add('x');
    await writer.flush();

    const full = new PassThrough();
    const failing = new LineWriter(full);
    full.destroy(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
    await new Promise((resolve) => setImmediate(resolve));
    await expect(failing.flush()).rejects.toThrow('no space');
  });
});

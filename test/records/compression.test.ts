import { randomBytes } from 'node:crypto';
import zlib from 'node:zlib';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { isBurrowError } from '../../src/errors/burrow-error.ts';
import { CODECS } from '../../src/records/batch-header.ts';
import * as browser from '../../src/records/compression.browser.ts';
import { compress, compressSync, decompress, decompressSync, loadCodecs } from '../../src/records/compression.ts';
import { fromWasm, fromZlib, type Zstd } from '../../src/records/zstd.ts';
import { zstdFrame } from '../../src/records/zstd-frame.ts';

const COMPRESSORS = CODECS.filter((codec) => codec !== 'none');
const MEBIBYTE = 1024 * 1024;

function limitError() {
  return expect.objectContaining({ code: 'DECOMPRESSION_LIMIT' });
}

function corruptError() {
  return expect.objectContaining({ code: 'CORRUPT_BATCH' });
}

/** Text that compresses, noise that does not, and both mixed. */
const contents = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(20_000)).map(([piece, count]) => {
    const bytes = new Uint8Array(piece.length * count);
    for (let index = 0; index < count; index++) bytes.set(piece, index * piece.length);
    return bytes;
  }),
  fc.nat(200_000).map((count) => new Uint8Array(randomBytes(count))),
);

beforeAll(loadCodecs);

describe.each(CODECS)('codec %s', (codec) => {
  test('gives back what it was given, on the thread pool and without', async () => {
    await fc.assert(
      fc.asyncProperty(contents, async (bytes) => {
        const compressed = await compress(codec, bytes);
        expect(Buffer.compare(await decompress(codec, compressed, bytes.length), bytes)).toBe(0);
        const compressedSync = compressSync(codec, bytes);
        expect(Buffer.compare(decompressSync(codec, compressedSync, bytes.length), bytes)).toBe(0);
        expect(Buffer.compare(decompressSync(codec, compressed, bytes.length), bytes)).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test('holds the limit to the byte', async () => {
    for (const count of [1, 100, 64 * 1024, 70_000, 3 * MEBIBYTE]) {
      for (const bytes of [Buffer.alloc(count, 'abcdefgh'), randomBytes(count)]) {
        const compressed = compressSync(codec, bytes);
        expect((await decompress(codec, compressed, count)).length).toBe(count);
        expect(decompressSync(codec, compressed, count).length).toBe(count);
        if (count === 1) continue;
        await expect(decompress(codec, compressed, count - 1), `${count}`).rejects.toThrow(limitError());
        expect(() => decompressSync(codec, compressed, count - 1), `${count}`).toThrow(limitError());
      }
    }
  });
});

describe.each(COMPRESSORS)('codec %s, given foreign bytes', (codec) => {
  test('refuses a bomb without taking memory for it', async () => {
    const bomb = compressSync(codec, Buffer.alloc(64 * MEBIBYTE));
    expect(bomb.length).toBeLessThan(5 * MEBIBYTE);
    const before = process.memoryUsage().rss;
    await expect(decompress(codec, bomb, 4 * MEBIBYTE)).rejects.toThrow(limitError());
    expect(() => decompressSync(codec, bomb, 4 * MEBIBYTE)).toThrow(limitError());
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * MEBIBYTE);
  });

  test('throws typed errors for bytes that it did not write, and never gives more than the limit', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        await expectTyped(() => decompress(codec, bytes, 1000));
        await expectTyped(async () => decompressSync(codec, bytes, 1000));
      }),
      { numRuns: 300 },
    );
  });

  test('throws typed errors for bytes that were changed or cut, and never gives more than the limit', async () => {
    const original = Buffer.alloc(5000, 'some text that repeats, and ');
    const compressed = compressSync(codec, original);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(compressed.length - 1),
        fc.nat(255),
        fc.nat(compressed.length),
        async (position, value, end) => {
          const changed = Buffer.from(compressed);
          changed[position] = value;
          await expectTyped(() => decompress(codec, changed, 6000));
          await expectTyped(async () => decompressSync(codec, changed.subarray(0, end), 6000));
        },
      ),
      { numRuns: 500 },
    );
  });

  async function expectTyped(run: () => Promise<Uint8Array>): Promise<void> {
    let result: Uint8Array;
    try {
      result = await run();
    } catch (error) {
      if (!isBurrowError(error)) throw error;
      expect(['CORRUPT_BATCH', 'DECOMPRESSION_LIMIT']).toContain(error.code);
      return;
    }
    expect(result.length).toBeLessThanOrEqual(6000);
  }
});

describe('snappy', () => {
  test('is framed as Java does it, in blocks of 32 KiB', () => {
    const compressed = Buffer.from(compressSync('snappy', randomBytes(70_000)));
    expect(compressed.subarray(0, 16).toString('hex')).toBe('82534e41505059000000000100000001');
    let blocks = 0;
    for (let position = 16; position < compressed.length; position += 4 + compressed.readInt32BE(position)) blocks++;
    expect(blocks).toBe(3);
  });

  test('is refused when a header claims more than its bytes could hold', () => {
    // A bare block that says it holds 500 MiB.
    const claim = Uint8Array.of(0x80, 0x80, 0x80, 0xfa, 0x01, 0, 0);
    expect(() => decompressSync('snappy', claim, 2 ** 31)).toThrow(corruptError());
  });

  test('is refused when the framing’s lengths lie', () => {
    const compressed = Buffer.from(compressSync('snappy', Buffer.from('text')));
    for (const length of [-1, 1000, 0x7fffffff]) {
      const lying = Buffer.from(compressed);
      lying.writeInt32BE(length, 16);
      expect(() => decompressSync('snappy', lying, 1000)).toThrow(corruptError());
    }
    expect(() => decompressSync('snappy', compressed.subarray(0, -1), 1000)).toThrow(corruptError());
    expect(() => decompressSync('snappy', Buffer.concat([compressed, Buffer.of(0)]), 1000)).toThrow(corruptError());
  });
});

describe('lz4', () => {
  test('is written in independent blocks, since Java reads no others', () => {
    const compressed = Buffer.from(compressSync('lz4', Buffer.alloc(300_000, 'text ')));
    expect(compressed.readUInt32LE(0)).toBe(0x184d2204);
    expect(compressed[4]! & 0x20).toBe(0x20);
  });

  test('is counted exactly where the sizes of its blocks alone could be too much', () => {
    // 4-MiB blocks with little in them: the bound of the blocks is over the limit, what they hold is not.
    const compressed = compressSync('lz4', Buffer.alloc(1_100_000, 'text '));
    expect(decompressSync('lz4', compressed, 1_100_000).length).toBe(1_100_000);
    expect(() => decompressSync('lz4', compressed, 1_099_999)).toThrow(limitError());
  });

  test('is refused behind its end, without its end, and with a dictionary', () => {
    const compressed = Buffer.from(compressSync('lz4', Buffer.from('text')));
    expect(() => decompressSync('lz4', Buffer.concat([compressed, compressed]), 1000)).toThrow(corruptError());
    expect(() => decompressSync('lz4', compressed.subarray(0, -4), 1000)).toThrow(corruptError());
    const dictionary = Buffer.from(compressed);
    dictionary[4]! |= 1;
    expect(() => decompressSync('lz4', dictionary, 1000)).toThrow(corruptError());
  });
});

describe('zstd', () => {
  const bytes = Buffer.alloc(300_000, 'text that repeats ');
  /** `bytes` as streaming encoders write them: without a content size. */
  let streamed: Buffer;

  beforeAll(async () => {
    const compressed = Buffer.from((await fromWasm()).compressSync(bytes));
    // Frame header: magic, descriptor 0xa0 (single segment, 4-byte size), size. Instead: no size, a window of 512 KiB.
    expect(compressed[4]).toBe(0xa0);
    streamed = Buffer.concat([compressed.subarray(0, 4), Buffer.of(0x00, 0x48), compressed.subarray(9)]);
  });

  const implementations: Array<[string, () => Promise<Zstd>]> = [['WebAssembly', fromWasm]];
  const native = fromZlib(zlib as object);
  if (native !== undefined) implementations.push(['node:zlib', async () => native]);

  test.each(implementations)('from %s reads frames without a content size, and several in a row', async (_, load) => {
    const zstd = await load();
    expect(zstdFrame(streamed, 0).contentBytes).toBe(-1);
    expect(Buffer.compare(zstd.decompressSync(streamed, bytes.length), bytes)).toBe(0);
    expect(Buffer.compare(await zstd.decompress(streamed, 2 ** 31), bytes)).toBe(0);
    const two = Buffer.concat([streamed, await zstd.compress(bytes)]);
    expect(zstd.decompressSync(two, 2 * bytes.length).length).toBe(2 * bytes.length);
    const tooLarge = expect.objectContaining({ code: 'ERR_BUFFER_TOO_LARGE' });
    expect(() => zstd.decompressSync(streamed, bytes.length - 1)).toThrow(tooLarge);
    expect(() => zstd.decompressSync(two, 2 * bytes.length - 1)).toThrow(tooLarge);
    await expect(zstd.decompress(two, bytes.length)).rejects.toThrow(tooLarge);
  });

  test('refuses a content size that the blocks cannot fill, before memory is taken for it', async () => {
    const lying = Buffer.from(compressSync('zstd', bytes));
    lying.writeUInt32LE(0x7fff_ffff, 5);
    await expect(decompress('zstd', lying, 2 ** 31)).rejects.toThrow(corruptError());
  });

  test('refuses nothing at all', () => {
    expect(() => decompressSync('zstd', new Uint8Array(0), 1000)).toThrow(corruptError());
  });
});

describe('in browsers', () => {
  test('gzip goes both ways between here and there, within the limit', async () => {
    const bytes = Buffer.alloc(200_000, 'some text ');
    const theirs = await browser.compress('gzip', bytes);
    expect(Buffer.compare(decompressSync('gzip', theirs, bytes.length), bytes)).toBe(0);
    const ours = await compress('gzip', bytes);
    expect(Buffer.compare(await browser.decompress('gzip', ours, bytes.length), bytes)).toBe(0);
    await expect(browser.decompress('gzip', ours, bytes.length - 1)).rejects.toThrow(limitError());
    await expect(browser.decompress('gzip', ours.subarray(0, -20), bytes.length)).rejects.toThrow(corruptError());
  });

  test('the codecs that browsers do not have are refused by name', async () => {
    for (const codec of ['snappy', 'lz4', 'zstd'] as const) {
      const refused = expect.objectContaining({
        code: 'UNSUPPORTED_COMPRESSION',
        message: expect.stringContaining(codec),
      });
      await expect(browser.compress(codec, new Uint8Array(1))).rejects.toThrow(refused);
      await expect(browser.decompress(codec, new Uint8Array(1), 10)).rejects.toThrow(refused);
      expect(() => browser.decompressSync(codec, new Uint8Array(1), 10)).toThrow(refused);
    }
  });
});

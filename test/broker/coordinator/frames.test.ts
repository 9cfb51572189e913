import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeFrame, type ScannedFrame, scanFrames } from '../../../broker/coordinator/frames.ts';

const VALUE = fc.oneof(fc.string(), fc.array(fc.string({ maxLength: 300 }), { maxLength: 6 }), fc.constant({ a: [0] }));

/** A frame, written as a whole or only in part, as a killed writer or a full disk leaves it. */
const PIECE = fc.record({ value: VALUE, cut: fc.option(fc.nat(), { freq: 3 }) });

interface Piece {
  readonly value: unknown;
  readonly bytes: Buffer;
  readonly whole: boolean;
}

function pieceOf({ value, cut }: { value: unknown; cut: number | null }): Piece {
  const frame = encodeFrame(value);
  const bytes = cut === null ? frame : frame.subarray(0, cut % frame.byteLength);
  return { value, bytes, whole: bytes.byteLength === frame.byteLength };
}

function scan(bytes: Buffer, position = 0): ScannedFrame[] {
  return [...scanFrames(bytes, position)];
}

function valuesIn(frames: readonly ScannedFrame[]): unknown[] {
  return frames.flatMap((each) => (each.kind === 'frame' ? [each.value] : []));
}

test('whole frames are found between those that were cut short, wherever the file is read from', () => {
  fc.assert(
    fc.property(fc.array(PIECE, { maxLength: 12 }), fc.nat(5000), (plans, position) => {
      const pieces = plans.map(pieceOf);
      const frames = scan(Buffer.concat(pieces.map(({ bytes }) => bytes)), position);
      expect(valuesIn(frames)).toEqual(pieces.filter(({ whole }) => whole).map(({ value }) => value));
      expect(frames.some(({ kind }) => kind === 'damaged')).toBe(false);
      let end = position;
      for (const each of frames) {
        if (each.kind === 'damaged') continue;
        expect(each.begin).toBe(end);
        end = each.end;
      }
    }),
  );
});

test('what is decided stays so when the file has grown, and reading on from there finds the rest', () => {
  fc.assert(
    fc.property(fc.array(PIECE, { minLength: 1, maxLength: 8 }), fc.nat(), (plans, cut) => {
      const all = Buffer.concat(plans.map((plan) => pieceOf(plan).bytes));
      const early = scan(all.subarray(0, cut % (all.byteLength + 1)));
      expect(early.every(({ kind }) => kind !== 'damaged')).toBe(true);
      const last = early.at(-1);
      const decided = last === undefined || last.kind === 'damaged' ? 0 : last.end;
      const late = scan(all.subarray(decided), decided);
      expect([...early, ...late]).toEqual(scan(all));
    }),
  );
});

test('a frame that lacks sectors, as a power loss leaves it, is torn and not damage; others behind it count', () => {
  fc.assert(
    fc.property(VALUE, VALUE, fc.nat(3000), fc.nat(), (lost, value, before, which) => {
      const frame = encodeFrame(lost);
      const first = Math.floor(before / 512);
      const last = Math.floor((before + frame.byteLength - 1) / 512);
      const sector = first + (which % (last - first + 1));
      frame.fill(0, Math.max(0, sector * 512 - before), Math.min(frame.byteLength, (sector + 1) * 512 - before));
      const frames = scan(Buffer.concat([frame, encodeFrame(value)]), before);
      expect(frames.map(({ kind }) => kind)).toEqual(['torn', 'frame']);
      expect(scan(frame, before)).toEqual([]);
    }),
  );
});

test('a flipped bit never yields a frame that was not written, and hides none without damage being told', () => {
  fc.assert(
    fc.property(fc.array(VALUE, { minLength: 1, maxLength: 6 }), fc.nat(), fc.nat(7), (values, at, bit) => {
      const bytes = Buffer.concat(values.map(encodeFrame));
      bytes[at % bytes.byteLength]! ^= 1 << bit;
      const frames = scan(bytes);
      expect(values).toEqual(expect.arrayContaining(valuesIn(frames)));
      // A length that is flipped may look as if the writer had been killed; what was synced is known from later frames.
      if (valuesIn(frames).length === values.length) expect.fail('the damage was not noticed');
    }),
    { numRuns: 1000 },
  );
});

test('arbitrary bytes are never taken for frames', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
      expect(valuesIn(scan(Buffer.from(bytes)))).toEqual([]);
    }),
  );
});

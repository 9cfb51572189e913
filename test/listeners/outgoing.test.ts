import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { Outgoing } from '../../broker/listeners/outgoing.ts';

const MEBIBYTE = 1024 * 1024;

/** A socket that keeps what each gathering write brought, and takes it only when told to. */
function slowSocket() {
  const writes: Buffer[][] = [];
  const taken: Array<() => void> = [];
  const socket = new Writable({
    highWaterMark: 1,
    writev(chunks, callback) {
      writes.push(chunks.map(({ chunk }) => chunk as Buffer));
      taken.push(callback);
    },
  }) as Socket;
  return { socket, writes, take: () => taken.shift()!() };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('Outgoing', () => {
  it('sends at once what is to be sent now, behind what was pushed before', async () => {
    const { socket, writes, take } = slowSocket();
    const outgoing = new Outgoing(socket, () => {});
    outgoing.push([Buffer.from('a')]);
    outgoing.pushNow([Buffer.from('b'), Buffer.from('c')]);
    expect(Buffer.concat(writes.flat()).toString()).toBe('abc');
    // While the socket is busy it waits, and goes out with what came meanwhile.
    outgoing.pushNow([Buffer.from('d')]);
    outgoing.pushNow([Buffer.from('e')]);
    expect(outgoing.bytes).toBe(5);
    take();
    await turn();
    expect(Buffer.concat(writes.flat()).toString()).toBe('abcde');
  });

  it('sends all frames of a turn with one gathering write, and copies none', async () => {
    const { socket, writes } = slowSocket();
    const outgoing = new Outgoing(socket, () => {});
    const buffers = ['header', 'records', 'next header', 'next records'].map((text) => Buffer.from(text));
    outgoing.push(buffers.slice(0, 2));
    await Promise.resolve();
    outgoing.push(buffers.slice(2));
    await turn();
    expect(writes).toHaveLength(1);
    expect(writes[0]).toHaveLength(4);
    for (const [index, buffer] of buffers.entries()) expect(writes[0]![index]).toBe(buffer);
  });

  it('hands over a bounded amount at a time, in order, and counts what is not taken', async () => {
    const { socket, writes, take } = slowSocket();
    const progress = vi.fn();
    const outgoing = new Outgoing(socket, progress);
    const large = Buffer.alloc(2.5 * MEBIBYTE, 1);
    const small = Buffer.from('small');
    outgoing.push([large, small]);
    await turn();
    const sizes = () => writes.map((buffers) => Buffer.concat(buffers).length);
    expect(sizes()).toEqual([MEBIBYTE]);
    expect(outgoing.bytes).toBe(large.length + small.length);
    take();
    await turn();
    expect(progress).toHaveBeenCalledTimes(1);
    expect(outgoing.bytes).toBe(1.5 * MEBIBYTE + small.length);
    outgoing.push([Buffer.from('later')]);
    take();
    await turn();
    take();
    await turn();
    expect(outgoing.bytes).toBe(0);
    expect(Buffer.concat(writes.flat()).equals(Buffer.concat([large, small, Buffer.from('later')]))).toBe(true);
    expect(writes.flat().every((part) => part.buffer === large.buffer || part.length < 100)).toBe(true);
  });
});

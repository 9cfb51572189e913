/** Limits and deadlines of the listener, each crossed. */
import { describe, expect, test } from 'vitest';
import { AmqpException } from '../../../broker/listeners/amqp/reply-codes.ts';
import { startBed } from './listener-bed.ts';
import {
  bodyFrame,
  headerFrame,
  heartbeatFrame,
  methodFrame,
  PROTOCOL_HEADER,
  publishArguments,
  publishFrames,
} from './raw-client.ts';

const consume = {
  queue: 'q',
  consumerTag: 'c',
  noLocal: false,
  noAck: true,
  exclusive: false,
  noWait: false,
  arguments: new Map(),
};

describe('connections', () => {
  test('beyond connectionsMax are refused, and reported once', async () => {
    const { listener, clock, lines, connect, open } = await startBed({ limits: { connectionsMax: 1 } });
    await open();
    for (let index = 0; index < 3; index++) await (await connect()).closed();
    expect(listener.connections).toBe(1);
    clock.advance(1000);
    expect(lines.filter(({ text }) => text === 'connections refused').map(({ fields }) => fields['refused'])).toEqual([
      3,
    ]);
  });

  test('beyond connectionsPerAddressMax are refused', async () => {
    const { connect, open, listener } = await startBed({ limits: { connectionsPerAddressMax: 1 } });
    const first = await open();
    await (await connect()).closed();
    first.socket.destroy();
    await expect.poll(() => listener.connections).toBe(0);
    await open();
  });

  test('that do not open in time are cut', async () => {
    const { clock, lines, connect } = await startBed({ limits: { handshakeTimeoutMs: 5000 } });
    const silent = await connect();
    const slow = await connect();
    slow.send(PROTOCOL_HEADER);
    await slow.expect('connection.start');
    clock.advance(5000);
    expect(silent.isClosed || slow.isClosed).toBe(false);
    clock.advance(500);
    await Promise.all([silent.closed(), slow.closed()]);
    expect(lines.filter(({ fields }) => fields['code'] === 'HANDSHAKE_TIMEOUT')).toHaveLength(2);
  });

  test('that do not answer close are cut', async () => {
    const { clock, listener, open } = await startBed();
    const client = await open();
    client.send(bodyFrame(0, Buffer.alloc(1)));
    await client.expect('connection.close');
    clock.advance(4_000);
    expect(listener.connections).toBe(1);
    clock.advance(2_000);
    await client.closed();
  });

  test('are closed with the listener even if they do not answer', async () => {
    const { clock, listener, open } = await startBed();
    const client = await open();
    const closing = listener.close();
    await client.expect('connection.close');
    clock.advance(5_000);
    await closing;
  });
});

describe('heartbeats', () => {
  test('are sent at half the interval, and a silent client is cut at two', async () => {
    const { clock, lines, open } = await startBed();
    const client = await open({ heartbeat: 10 });
    clock.advance(5_250);
    expect(await client.frame()).toMatchObject({ type: 8, channel: 0 });
    clock.advance(14_750);
    expect(client.isClosed).toBe(false);
    clock.advance(500);
    await client.closed();
    expect(lines.at(-1)!.fields['cause']).toBe('The client sent no heartbeats.');
  });

  test('of the client keep it alive', async () => {
    const { clock, backend, open } = await startBed();
    const client = await open({ heartbeat: 10 });
    await client.openChannel(1);
    for (let round = 0; round < 5; round++) {
      clock.advance(15_000);
      client.send(heartbeatFrame, methodFrame(1, 'tx.select', {}));
      await expect.poll(() => backend.events.filter((event) => event === 'tx.select 1').length).toBe(round + 1);
    }
    expect(client.isClosed).toBe(false);
  });
});

describe('memory', () => {
  test('before the login is small: frames are', async () => {
    const { connect, lines } = await startBed({ limits: { handshakeFrameBytesMax: 5000 } });
    const client = await connect();
    client.send(PROTOCOL_HEADER);
    await client.expect('connection.start');
    client.startOk({ response: Buffer.alloc(6000) });
    await expect.poll(() => lines.at(-1)?.fields['reply']).toBe('FRAME_ERROR');
    client.socket.end();
    await client.closed();
    expect(client.pending).toBe(0);
  });

  test('for messages that wait for a handler is bounded: reading stops', async () => {
    const { backend, open } = await startBed({ limits: { waitingBytesMax: 100_000 } });
    const client = await open();
    for (const channel of [1, 2]) await client.openChannel(channel);
    let release = (): void => {};
    backend.intercept = (method) =>
      method === 'tx.select'
        ? new Promise<void>((resolve) => {
            release = resolve;
          })
        : undefined;
    client.method(1, 'tx.select', {});
    for (let index = 0; index < 4; index++) client.send(publishFrames(1, Buffer.alloc(50_000)));
    client.method(2, 'tx.commit', {});
    await expect.poll(() => backend.events.includes('tx.select 1')).toBe(true);
    expect(backend.events).not.toContain('tx.commit 2');
    release();
    await client.expect('tx.select-ok', 1);
    await client.expect('tx.commit-ok', 2);
    expect(backend.messages).toHaveLength(4);
  });

  test('for messages that are not complete is bounded', async () => {
    const { open } = await startBed({ limits: { unassembledBytesMax: 100_000, frameBytesMax: 65_536 } });
    const client = await open();
    for (const channel of [1, 2]) {
      await client.openChannel(channel);
      client.send(
        methodFrame(channel, 'basic.publish', publishArguments),
        headerFrame(channel, 1_000_000),
        bodyFrame(channel, Buffer.alloc(60_000)),
      );
    }
    expect(await client.expect('connection.close')).toMatchObject({ replyCode: 506, classId: 60, methodId: 40 });
  });

  test('is free again when messages are complete, or their channels close', async () => {
    const { backend, open } = await startBed({ limits: { unassembledBytesMax: 100_000, frameBytesMax: 65_536 } });
    const client = await open();
    await client.openChannel(1);
    for (let index = 0; index < 10; index++) client.send(publishFrames(1, Buffer.alloc(60_000)));
    await expect.poll(() => backend.messages.length).toBe(10);
    for (let round = 0; round < 5; round++) {
      const part = Buffer.alloc(60_000);
      client.send(methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 90_000), bodyFrame(1, part));
      // When the other channel answers, the part has been read.
      await client.openChannel(2 + round);
      backend.channels
        .findLast(({ channel }) => channel.number === 1)!
        .channel.fail(new AmqpException('NOT_FOUND', 'x'));
      await client.expect('channel.close', 1);
      client.method(1, 'channel.close-ok', {});
      await client.openChannel(1);
    }
  });

  test('a message that arrives too slowly is given up', async () => {
    const { clock, lines, open, backend } = await startBed();
    const client = await open();
    await client.openChannel(1);
    client.send(methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 100), bodyFrame(1, Buffer.alloc(99)));
    await client.openChannel(2);
    clock.advance(120_000);
    expect(client.isClosed).toBe(false);
    client.send(bodyFrame(1, Buffer.alloc(1)));
    await expect.poll(() => backend.messages.length).toBe(1);
    clock.advance(120_500);
    client.send(methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 100), bodyFrame(1, Buffer.alloc(99)));
    await client.openChannel(3);
    clock.advance(120_500);
    await client.closed();
    expect(lines.at(-1)!.fields['cause']).toMatch(/contentArrivalTimeoutMs/);
  });

  test('is not taken for what cannot be cut into frames any more', async () => {
    const { clock, lines, open } = await startBed({ limits: { bufferedBytesTotalMax: 1_000_000 } });
    const client = await open();
    client.send(Buffer.from([1, 0, 0, 0xff, 0xff, 0xff, 0xff]));
    expect((await client.expect('connection.close')).replyCode).toBe(501);
    client.send(Buffer.alloc(30_000_000, 1));
    await expect.poll(() => client.socket.writableLength).toBe(0);
    expect(lines.some(({ fields }) => fields['code'] === 'IN_FLIGHT_LIMIT')).toBe(false);
    clock.advance(6_000);
    await client.closed();
  });

  test('of all connections is bounded: who holds most is cut', async () => {
    const { open, listener, lines } = await startBed({
      limits: { bufferedBytesTotalMax: 3_000_000, frameBytesMax: 131_072, messageBytesMax: 100_000_000 },
    });
    const small = await open();
    const large = await open();
    for (const [client, frames] of [
      [small, 5],
      [large, 40],
    ] as const) {
      await client.openChannel(1);
      client.send(methodFrame(1, 'basic.publish', publishArguments), headerFrame(1, 50_000_000));
      for (let index = 0; index < frames; index++) client.send(bodyFrame(1, Buffer.alloc(100_000)));
    }
    await large.closed();
    expect(listener.connections).toBe(1);
    expect(small.isClosed).toBe(false);
    expect(lines.some(({ fields }) => fields['code'] === 'IN_FLIGHT_LIMIT')).toBe(true);
  });
});

describe('a client that does not take what it is sent', () => {
  test('is not read and not delivered to, until it does', async () => {
    const { backend, open } = await startBed({ limits: { outgoingBytesMax: 1_000_000 } });
    const client = await open();
    await client.openChannel(1);
    const body = Buffer.alloc(100_000);
    for (let index = 0; index < 200; index++)
      backend.messages.push({ routingKey: 'k', properties: Buffer.alloc(2), body });
    client.socket.pause();
    client.method(1, 'basic.consume', consume);
    client.method(1, 'tx.select', {});
    await expect.poll(() => backend.channels[0]?.channel.isWritable).toBe(false);
    expect(backend.events).not.toContain('tx.select 1');
    expect(backend.channels[0]!.writable).toBe(0);
    client.socket.resume();
    await expect.poll(() => backend.events.includes('tx.select 1')).toBe(true);
    expect(backend.channels[0]!.writable).toBe(1);
    expect(backend.channels[0]!.channel.isWritable).toBe(true);
  });

  test('is cut after a while', async () => {
    const { backend, clock, lines, open } = await startBed({ limits: { outgoingBytesMax: 1_000_000 } });
    const client = await open();
    await client.openChannel(1);
    const body = Buffer.alloc(100_000);
    for (let index = 0; index < 200; index++)
      backend.messages.push({ routingKey: 'k', properties: Buffer.alloc(2), body });
    client.socket.pause();
    client.method(1, 'basic.consume', consume);
    await expect.poll(() => backend.channels[0]?.channel.isWritable).toBe(false);
    await expect
      .poll(() => {
        clock.advance(30_500);
        return lines.at(-1)?.fields['cause'];
      })
      .toMatch(/writeStallTimeoutMs/);
    client.socket.resume();
    await client.closed();
  });
});

describe('publishers that are stopped', () => {
  test('are told, are not read once they publish, and go on', async () => {
    const { listener, backend, open } = await startBed();
    const consumer = await open({ capabilities: ['connection.blocked'] });
    const publisher = await open({ capabilities: ['connection.blocked'] });
    const old = await open();
    for (const client of [consumer, publisher, old]) await client.openChannel(1);
    listener.setBlocked('low on disk');
    for (const client of [consumer, publisher]) {
      expect(await client.expect('connection.blocked')).toEqual({ reason: 'low on disk' });
    }
    // Told when it opens, if it comes later.
    const late = await open({ capabilities: ['connection.blocked'] });
    await late.expect('connection.blocked');
    publisher.send(publishFrames(1, Buffer.from('first')), publishFrames(1, Buffer.from('second')));
    consumer.method(1, 'tx.select', {});
    await consumer.expect('tx.select-ok', 1);
    await expect.poll(() => backend.messages.length).toBe(1);
    old.method(1, 'tx.select', {});
    await old.expect('tx.select-ok', 1);
    expect(backend.messages.length).toBe(1);
    listener.setBlocked(undefined);
    await publisher.expect('connection.unblocked');
    await expect.poll(() => backend.messages.length).toBe(2);
  });
});

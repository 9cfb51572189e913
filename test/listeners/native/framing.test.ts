import { describe, expect, test } from 'vitest';
import { BurrowError } from '../../../src/errors/burrow-error.ts';
import { encodeValue } from '../../../src/protocol/encode-value.ts';
import { decodeServerFrame, encodeRequest } from '../../../src/protocol/frame.ts';
import { testBatch } from '../../support/batches.ts';
import { eventually, HELLO, RawClient, startTarget, TestClient, webSocketFrame } from './native-client.ts';

const METADATA = encodeRequest('metadata', 5, { topics: null, autoCreate: false });

describe('hello', () => {
  test('is answered with version, cluster and limits', async () => {
    const { port } = await startTarget({ limits: { frameBytesMax: 70_000, idleTimeoutMs: 9_000 } });
    const client = await TestClient.connect(port);
    expect(await client.hello()).toEqual({
      loginNeeded: false,
      protocolVersion: 1,
      software: 'burrowmq/test',
      nodeId: 1,
      clusterId: 'fake-cluster-000000000',
      limits: {
        frameBytesMax: 70_000,
        inFlightRequestsMax: 1_000,
        inFlightBytesMax: 33_554_432,
        idleTimeoutMs: 9_000,
        batchBytesMax: 1_048_588,
      },
    });
  });

  test('may be followed by requests before it is answered', async () => {
    const { port } = await startTarget();
    const client = await RawClient.upgraded(port);
    client.write(Buffer.concat([webSocketFrame(HELLO), webSocketFrame(METADATA)]));
    await eventually(() => client.received.includes('fake-cluster', client.received.indexOf('fake-cluster') + 1));
  });

  test.each([
    [1, 0, true],
    [0, 1, true],
    [1, 9, true],
    [2, 9, false],
    [-5, 0, false],
  ])('with versions %i to %i: taken %s', async (protocolVersionMin, protocolVersionMax, isTaken) => {
    const { port } = await startTarget();
    const client = await TestClient.connect(port);
    const answer = client.request('hello', { protocolVersionMin, protocolVersionMax, clientId: '', software: '' });
    if (isTaken && protocolVersionMax > 0) {
      expect((await answer).protocolVersion).toBe(1);
      return;
    }
    await expect(answer).rejects.toMatchObject({ code: 'UNSUPPORTED_VERSION' });
    const { code, reason } = await client.closed;
    expect([code, reason]).toEqual([1002, expect.stringContaining('UNSUPPORTED_VERSION: This broker speaks')]);
  });

  test('that does not come in time closes the connection', async () => {
    const { port, logLines } = await startTarget({ limits: { handshakeTimeoutMs: 80 } });
    const client = await TestClient.connect(port);
    const { code, reason } = await client.closed;
    expect([code, reason]).toEqual([4000, expect.stringContaining('HANDSHAKE_TIMEOUT: ')]);
    expect(logLines).toMatchObject([{ code: 'HANDSHAKE_TIMEOUT', text: 'connection closed' }]);
  });

  test('that comes byte by byte is taken, if in time', async () => {
    const { port } = await startTarget();
    const client = await RawClient.upgraded(port);
    for (const byte of webSocketFrame(HELLO)) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => client.received.includes('fake-cluster'));
  });

  test('larger than 4096 bytes is cut off while it arrives', async () => {
    const { port } = await startTarget();
    const client = await RawClient.upgraded(port);
    client.write(webSocketFrame(Buffer.alloc(6_000), { claimedBytes: 10_000_000 }));
    await eventually(() => client.closeFrame !== undefined);
    expect(client.closeFrame).toEqual({ code: 1009, reason: 'FRAME_TOO_LARGE: The first frame may have 4096 bytes.' });
  });

  test('hidden in thousands of fragments is cut off, too', async () => {
    const { port } = await startTarget();
    const client = await RawClient.upgraded(port);
    const fragment = webSocketFrame(Buffer.alloc(1), { opcode: 0, fin: false });
    client.write(webSocketFrame(Buffer.alloc(1), { fin: false }));
    client.write(Buffer.concat(new Array<Buffer>(1_000).fill(fragment)));
    await eventually(() => client.closeFrame !== undefined);
    expect(client.closeFrame?.code).toBe(1009);
  });

  test('must come first', async () => {
    const { port } = await startTarget();
    const client = await TestClient.connect(port);
    client.webSocket.send(METADATA);
    expect(await client.closed).toEqual({ code: 1002, reason: 'UNEXPECTED_FRAME: The first request must be hello.' });
  });

  test('must come once, and a second one costs only itself', async () => {
    const { port } = await startTarget();
    const client = await TestClient.open(port);
    await expect(client.hello()).rejects.toMatchObject({ code: 'UNEXPECTED_FRAME' });
    await client.request('metadata', { topics: null, autoCreate: false });
  });

  test('with fields that make no sense closes the connection with the path of the field', async () => {
    const { port } = await startTarget();
    const client = await TestClient.connect(port);
    const answer = client.answerTo(0);
    client.webSocket.send(encodeValue([1, 0, [1, 1, 'x'.repeat(256), 's']]));
    await expect(answer).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const { code, reason } = await client.closed;
    expect([code, reason]).toEqual([
      1002,
      'INVALID_ARGUMENT: hello.clientId must be a string of at most 255 characters, not string.',
    ]);
  });
});

test('a client id that would forge lines in a log is refused', async () => {
  const { port, logLines } = await startTarget();
  const client = await TestClient.connect(port);
  const clientId = 'innocent\n{"level":30}';
  const hello = { protocolVersionMin: 1, protocolVersionMax: 1, clientId, software: '' };
  await expect(client.request('hello', hello)).rejects.toMatchObject({ code: 'INVALID_NAME' });
  expect((await client.closed).code).toBe(1002);
  expect(JSON.stringify(logLines)).not.toContain('innocent\\n');
});

describe('a message that breaks a rule closes its connection with a code and a reason', () => {
  test.each<[string, Buffer, number, string]>([
    [
      'text',
      webSocketFrame(Buffer.from('[1,2,[]]'), { opcode: 1 }),
      1002,
      'MALFORMED_FRAME: Messages must be binary, not text.',
    ],
    ['text that is no UTF-8', webSocketFrame(Buffer.from([0xff]), { opcode: 1 }), 1007, ''],
    [
      'a map',
      webSocketFrame(Buffer.from('8101', 'hex')),
      1002,
      'MALFORMED_FRAME: The message is not valid: a value of type 0x81',
    ],
    [
      'no message at all',
      webSocketFrame(Buffer.alloc(0)),
      1002,
      'MALFORMED_FRAME: The message is not valid: it ends in',
    ],
    [
      'a count that lies',
      webSocketFrame(Buffer.from('ddffffffff', 'hex')),
      1002,
      'MALFORMED_FRAME: The message is not valid: an array',
    ],
    ['no request', webSocketFrame(Buffer.from('9101', 'hex')), 1002, 'MALFORMED_FRAME: A request must be'],
    ['no mask', webSocketFrame(METADATA, { mask: undefined }), 1002, ''],
    ['a reserved opcode', webSocketFrame(METADATA, { opcode: 3 }), 1002, ''],
    ['a continuation of nothing', webSocketFrame(METADATA, { opcode: 0 }), 1002, ''],
    ['a ping in fragments', webSocketFrame(Buffer.alloc(1), { opcode: 9, fin: false }), 1002, ''],
    ['more than frameBytesMax', webSocketFrame(Buffer.alloc(70_001)), 1009, ''],
    ['a claim of more than frameBytesMax', webSocketFrame(Buffer.alloc(1), { claimedBytes: 2 ** 40 }), 1009, ''],
    ['a claim of 2^63 bytes', Buffer.from('82ff8000000000000000', 'hex'), 1009, ''],
  ])('%s', async (_, bytes, code, reason) => {
    const { port, logLines } = await startTarget({ limits: { frameBytesMax: 70_000 } });
    const bystander = await TestClient.open(port);
    const client = await RawClient.greeted(port);
    client.write(bytes);
    await eventually(() => client.closeFrame !== undefined);
    expect(client.closeFrame?.code).toBe(code);
    expect(client.closeFrame?.reason).toContain(reason);
    expect(client.closeFrame?.reason.length).toBeLessThanOrEqual(123);
    client.socket.end();
    await client.closed;
    expect(logLines).toHaveLength(1);
    expect(logLines[0]?.['code']).toBe(code === 1009 ? 'FRAME_TOO_LARGE' : 'MALFORMED_FRAME');
    await bystander.request('metadata', { topics: null, autoCreate: false });
  });

  test('also if the peer never answers the close frame', async () => {
    const { port, listener } = await startTarget();
    const client = await RawClient.greeted(port);
    client.write(webSocketFrame(Buffer.from('9101', 'hex')));
    await client.closed;
    expect(client.closeFrame?.code).toBe(1002);
    await eventually(() => listener.connectionCount === 0);
  });

  test('more fragments than are sensible', async () => {
    const { port } = await startTarget();
    const client = await RawClient.greeted(port);
    const fragment = webSocketFrame(Buffer.alloc(1), { opcode: 0, fin: false });
    client.write(webSocketFrame(Buffer.alloc(1), { fin: false }));
    client.write(Buffer.concat(new Array<Buffer>(5_000).fill(fragment)));
    await eventually(() => client.closeFrame !== undefined);
    expect(client.closeFrame?.code).toBe(1008);
  });
});

describe('a message may come', () => {
  test.each<[string, Buffer]>([
    [
      'in fragments',
      Buffer.concat([
        webSocketFrame(METADATA.subarray(0, 2), { fin: false }),
        webSocketFrame(METADATA.subarray(2, 3), { opcode: 0, fin: false }),
        webSocketFrame(Buffer.from('hi'), { opcode: 9 }),
        webSocketFrame(METADATA.subarray(3), { opcode: 0 }),
      ]),
    ],
    ['with a mask of zeros', webSocketFrame(METADATA, { mask: [0, 0, 0, 0] })],
    ['with any mask', webSocketFrame(METADATA, { mask: [0xff, 0, 0x81, 7] })],
  ])('%s', async (_, bytes) => {
    const { port } = await startTarget();
    const client = await RawClient.greeted(port);
    client.write(bytes);
    await eventually(() => client.received.includes('fake-cluster'));
  });

  test('byte by byte, and its records are stored as they were sent', async () => {
    const { port, service } = await startTarget();
    await service.createTopic(
      { name: 't', partitions: 1, replicationFactor: 1, configs: new Map() },
      { validateOnly: false },
    );
    const client = await RawClient.greeted(port);
    const batch = testBatch(['one', 'two']);
    const produce = encodeRequest('produce', 9, {
      acks: 1,
      timeoutMs: 0,
      partitions: [{ topic: 't', partition: 0, records: [batch] }],
    });
    for (const byte of webSocketFrame(produce)) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => service.storedBatches('t', 0).length === 1);
    expect(service.storedBatches('t', 0)[0]!.subarray(16)).toEqual(batch.subarray(16));
  });
});

test('a connection that is reset in the middle of a frame is forgotten', async () => {
  const { port, listener } = await startTarget();
  const bystander = await TestClient.open(port);
  for (let i = 0; i < 50; i++) {
    const client = await RawClient.greeted(port);
    client.write(webSocketFrame(Buffer.alloc(1000), { claimedBytes: 60_000 }));
    client.socket.resetAndDestroy();
  }
  await eventually(() => listener.connectionCount === 1);
  await bystander.request('metadata', { topics: null, autoCreate: false });
});

test('thousands of garbage frames leave another connection as fast as it was', async () => {
  const { port, listener, logLines } = await startTarget();
  const bystander = await TestClient.open(port);
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state % below;
  };
  const slowestMs = { value: 0 };
  let isRunning = true;
  const steady = (async () => {
    while (isRunning) {
      const startMs = performance.now();
      await bystander.request('metadata', { topics: null, autoCreate: false });
      slowestMs.value = Math.max(slowestMs.value, performance.now() - startMs);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const attack = async (): Promise<void> => {
    for (let round = 0; round < 60; round++) {
      const client = await RawClient.greeted(port);
      // Most frames are taken for requests, some end the connection; what follows is ignored.
      for (let i = 0; i < 10 && !client.isClosed; i++) {
        const payload = Buffer.from(encodeValue([random(20), i, [random(9), null, [], 'x']]));
        for (let spoilt = random(3); spoilt > 0; spoilt--) payload[random(payload.length)] = random(256);
        client.write(
          random(4) === 0 ? Buffer.from(Array.from({ length: 40 }, () => random(256))) : webSocketFrame(payload),
        );
      }
      client.socket.end();
      await new Promise((resolve) => setImmediate(resolve));
      client.socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: 8 }, attack));
  isRunning = false;
  await steady;
  await eventually(() => listener.connectionCount === 1);
  expect(logLines.filter(({ code }) => code === 'INTERNAL_ERROR')).toEqual([]);
  expect(logLines.some(({ code }) => code === 'MALFORMED_FRAME')).toBe(true);
  expect(slowestMs.value).toBeLessThan(500);
});

test('an answer that the listener sends is one unmasked binary message', async () => {
  const { port } = await startTarget();
  const client = await RawClient.greeted(port);
  client.write(webSocketFrame(encodeValue([99, 3, []])));
  await eventually(() => client.received.length > 2);
  expect(client.received[0]).toBe(0x82);
  const bytes = client.received.subarray(client.received[1]! < 126 ? 2 : 4);
  const frame = decodeServerFrame(bytes);
  if (frame.kind !== 'response') throw new Error('not a response');
  expect(frame.correlationId).toBe(3);
  expect(frame.error).toBeInstanceOf(BurrowError);
  expect(frame.error?.code).toBe('UNSUPPORTED_VERSION');
});

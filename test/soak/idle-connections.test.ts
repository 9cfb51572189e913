import { expect, test } from 'vitest';
import { holdConnections } from './idle-connections.ts';

test('500 connections keep their heartbeats, and 2000 channels fit on one', async () => {
  const sizes = { connections: 500, channels: 2000, processes: 2, heartbeatSeconds: 1 };
  const held = await holdConnections({ ...sizes, durationMs: 3000 });
  expect(held).toMatchObject({ connections: 500, channels: 2000 });
  // Both ways, at least one a second.
  expect(held.heartbeatsReceived).toBeGreaterThan(1000);
  expect(held.heartbeatsSent).toBeGreaterThan(1000);
  // Measured: 20 KiB and 2 KiB. Zero where the system does not tell.
  expect(held.bytesPerConnection).toBeLessThan(100_000);
  expect(held.bytesPerChannel).toBeLessThan(20_000);
});

test('a connection that is lost is noticed', async () => {
  const sizes = { connections: 60, channels: 1, processes: 1, heartbeatSeconds: 1, durationMs: 0 };
  await expect(holdConnections({ ...sizes, flags: ['--connections-max', '50'] })).rejects.toThrow(
    /of 60 connections were lost: closed by the broker|ECONNRESET/,
  );
});

/** A server of the native protocol that does what a test says. It knows frames and hello, not what requests mean. */
import { Packr, Unpackr } from 'msgpackr';
import { onTestFinished } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ErrorName } from '../../src/errors/table.ts';
import { errorRow } from '../../src/errors/table.ts';

export interface FakeNativeRequest {
  readonly api: number;
  readonly body: unknown;
  answer(body: unknown): void;
  fail(code: ErrorName, message: string): void;
}

export interface FakeNativeServerOptions {
  frameBytesMax?: number;
  inFlightRequestsMax?: number;
}

import { expect, test } from 'vitest';
import { ConnectionState } from '../../client/connection-state.ts';

const backoff = { initialMs: 100, maxMs: 1000 };

test('one address is tried again after growing delays, and from the start once it was ready', () => {
  const state = new ConnectionState(['ws://a'], backoff);
  state.becomeConnecting();
  expect([state.becomeWaiting(0.5), state.becomeWaiting(0.5), state.becomeWaiting(0.5)]).toEqual([100, 200, 400]);
  state.becomeReady();
  expect(state.becomeWaiting(0.5)).toBe(100);
  expect(state.address).toBe('ws://a');
});

test('several addresses are tried in turn, with a delay only after each whole round', () => {
  const state = new ConnectionState(['ws://a', 'ws://b', 'ws://c'], backoff);
  const seen: Array<[string, number]> = [];
  for (let attempt = 0; attempt < 7; attempt += 1) {
    state.becomeConnecting();
    const address = state.address;
    seen.push([address, state.becomeWaiting(0.5)]);
  }
  expect(seen).toEqual([
    ['ws://a', 0],
    ['ws://b', 0],
    ['ws://c', 100],
    ['ws://a', 0],
    ['ws://b', 0],
    ['ws://c', 200],
    ['ws://a', 0],
  ]);
});

import { expect, test } from 'vitest';
import { ConnectionState } from '../../client/connection-state.ts';

test('one address is tried again and again, each failure a round, and counting starts anew once it was ready', () => {
  const state = new ConnectionState(['ws://a']);
  state.becomeConnecting();
  expect([state.becomeWaiting(), state.becomeWaiting(), state.becomeWaiting()]).toEqual([1, 2, 3]);
  state.becomeReady();
  expect(state.becomeWaiting()).toBe(1);
  expect(state.address).toBe('ws://a');
});

test('several addresses are tried in turn, with a pause only after each whole round', () => {
  const state = new ConnectionState(['ws://a', 'ws://b', 'ws://c']);
  const seen: Array<[string, number | undefined]> = [];
  for (let attempt = 0; attempt < 7; attempt += 1) {
    state.becomeConnecting();
    const { address } = state;
    seen.push([address, state.becomeWaiting()]);
  }
  expect(seen).toEqual([
    ['ws://a', undefined],
    ['ws://b', undefined],
    ['ws://c', 1],
    ['ws://a', undefined],
    ['ws://b', undefined],
    ['ws://c', 2],
    ['ws://a', undefined],
  ]);
});

import { expect, test } from 'vitest';
import { HeartbeatState } from '../../../broker/listeners/amqp/heartbeat-state.ts';

function begun(seconds: number): HeartbeatState {
  const state = new HeartbeatState();
  state.begin(seconds, 0);
  return state;
}

test('sends at half the interval, unless something else was sent', () => {
  const state = begun(10);
  state.onReceived(4_000);
  expect(state.due(4_999, true)).toBe('nothing');
  expect(state.due(5_000, true)).toBe('send');
  state.onSent(5_000);
  expect(state.due(9_999, true)).toBe('nothing');
  expect(state.due(10_000, true)).toBe('send');
});

test('a peer that sends nothing for two intervals is dead', () => {
  const state = begun(10);
  state.onSent(19_999);
  expect(state.due(20_000, true)).toBe('nothing');
  expect(state.due(20_001, true)).toBe('dead');
  state.onReceived(20_001);
  expect(state.due(40_001, true)).not.toBe('dead');
});

test('a peer that we do not read is not dead', () => {
  const state = begun(10);
  expect(state.due(30_000, false)).toBe('send');
  expect(state.due(50_000, true)).toBe('send');
  expect(state.due(50_001, true)).toBe('dead');
});

test('no heartbeats were asked for', () => {
  expect(begun(0).due(1_000_000, true)).toBe('nothing');
  expect(new HeartbeatState().due(1_000_000, true)).toBe('nothing');
});

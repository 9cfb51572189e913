import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ManualClock } from '../../../broker/ports/manual-clock.ts';
import { systemClock } from '../../../broker/ports/system-clock.ts';

describe('ManualClock', () => {
  test('stands still until it is advanced, and fires timers in order, each at its own time', () => {
    const clock = new ManualClock(1000);
    const fired: string[] = [];
    const note = (name: string) => () => fired.push(`${name}@${clock.monotonic()}`);
    clock.schedule(30, note('c'));
    clock.schedule(10, note('a'));
    clock.schedule(10, note('b'));
    clock.schedule(31, note('late'));
    expect(clock.nextDelayMs()).toBe(10);
    clock.advance(9);
    expect(fired).toEqual([]);
    clock.advance(21);
    expect(fired).toEqual(['a@10', 'b@10', 'c@30']);
    expect(clock.now()).toBe(1030);
    expect(clock.timers).toBe(1);
  });

  test('fires what callbacks schedule on the way, and not what they cancel', () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    const tick = (): void => {
      fired.push(clock.monotonic());
      if (fired.length < 5) clock.schedule(10, tick);
    };
    clock.schedule(10, tick);
    const doomed = clock.schedule(20, () => fired.push(-1));
    clock.schedule(15, () => doomed.cancel());
    clock.advance(100);
    doomed.cancel();
    expect(fired).toEqual([10, 20, 30, 40, 50]);
    expect(clock.nextDelayMs()).toBeUndefined();
  });

  test('a jump of the wall clock leaves monotonic time and timers alone', () => {
    const clock = new ManualClock(5000);
    let fired: boolean = false;
    clock.schedule(10, () => {
      fired = true;
    });
    clock.jump(-3000);
    expect([clock.now(), clock.monotonic(), fired]).toEqual([2000, 0, false]);
    clock.advance(10);
    expect([clock.now(), fired]).toEqual([2010, true]);
  });
});

describe('systemClock', () => {
  test('tells the time, never goes back, and fires and cancels timers', async () => {
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1000);
    const before = systemClock.monotonic();
    const cancelled = systemClock.schedule(0, () => expect.unreachable());
    cancelled.cancel();
    const keepAlive = setInterval(() => {}, 1000);
    await new Promise<void>((resolve) => systemClock.schedule(1, resolve));
    clearInterval(keepAlive);
    expect(systemClock.monotonic()).toBeGreaterThan(before);
  });

  test('waits out delays longer than Node can', () => {
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const fired = vi.fn();
    const hundredDaysMs = 100 * 86_400_000;
    systemClock.schedule(hundredDaysMs, fired);
    const timer = systemClock.schedule(hundredDaysMs, () => expect.unreachable());
    vi.advanceTimersByTime(hundredDaysMs - 1);
    expect(fired).not.toHaveBeenCalled();
    timer.cancel();
    vi.advanceTimersByTime(1);
    expect(fired).toHaveBeenCalledTimes(1);
  });
});

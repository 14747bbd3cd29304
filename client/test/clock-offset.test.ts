import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ClockOffset } from "../src/service/clock-offset.js";

describe("the server's clock", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date", "performance", "setTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("is not hidden by a link that has become slow in one direction", () => {
    const clock = new ClockOffset();
    clock.add({ seconds: 0.02, offset: 3 });
    for (let trip = 0; trip < 60; trip += 1) {
      vi.advanceTimersByTime(15_000);
      clock.add({ seconds: 24, offset: 3 - 12 }); // all of the delay is on the way back
      expect(clock.seconds).toBe(3);
      expect(clock.roundTrip).toBe(24);
    }
    expect(clock.error).toBeCloseTo(0.01 + 60 * 15 * 1e-4, 6);
  });

  test("is measured again where its drift leaves more open than a slower trip", () => {
    const clock = new ClockOffset();
    clock.add({ seconds: 0.02, offset: 3 });
    vi.advanceTimersByTime(100_000);
    clock.add({ seconds: 0.06, offset: 3.01 });
    expect(clock.seconds).toBe(3);
    vi.advanceTimersByTime(400_000);
    clock.add({ seconds: 0.06, offset: 3.04 });
    expect(clock.seconds).toBe(3.04);
    expect(clock.error).toBeCloseTo(0.03, 6);
  });

  test("that was set is another one at the next trip", () => {
    const clock = new ClockOffset();
    clock.add({ seconds: 0.02, offset: 3 });
    clock.add({ seconds: 0.5, offset: -3597 });
    expect(clock.seconds).toBe(-3597);
    expect(clock.error).toBeCloseTo(0.25, 6);
  });

  test("is not known any more once ours was set", () => {
    const clock = new ClockOffset();
    clock.add({ seconds: 0.02, offset: 3 });
    vi.setSystemTime(Date.now() + 3_600_000);
    expect([clock.seconds, clock.error]).toEqual([null, null]);
    clock.add({ seconds: 0.5, offset: -3597 });
    expect(clock.seconds).toBe(-3597);
  });

  test("that has not been told is null", () => {
    const clock = new ClockOffset();
    clock.add({ seconds: 0.02, offset: null });
    expect([clock.roundTrip, clock.seconds, clock.error]).toEqual([0.02, null, null]);
  });
});

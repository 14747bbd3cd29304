import { describe, expect, it } from "vitest";
import { heartDetectorFor } from "../src/heart-detection.js";
import { type EcgFrame, EcgSignal, NOTHING_TOLD } from "../src/signal.js";

const RATE = 500;
const SAMPLES = 25;
const FRAME = SAMPLES / RATE;
const START = 1.7e9;

/** A beat a second, in a lead, from this moment of the recording on. */
function frame(sequence: number | null, at: number, timestamp: number | null): EcgFrame {
  const first = Math.round(at * RATE);
  const beat = (sample: number): number => Math.exp(-((((sample % RATE) - 100) / 6) ** 2));
  return {
    signal: Float32Array.from({ length: SAMPLES }, (_, index) => beat(first + index)),
    samples: SAMPLES,
    samplingRate: RATE,
    leads: ["II"],
    gain: [1],
    baseline: [0],
    sequence,
    timestamp,
    told: NOTHING_TOLD,
    isGuessed: false,
  };
}

/** The page in front of a server that is away from second 10 to 12, and back with another clock. */
function restarted(clock: number, isNumbered: boolean, isTold: boolean) {
  const signal = new EcgSignal(frame(0, 0, START), heartDetectorFor(frame(0, 0, START)));
  const seen: { now: number; head: number; end: number; rate: number }[] = [];
  let next = 0;
  for (let tick = 0; tick < 60 * 40; tick += 1) {
    const now = tick / 60;
    for (; next * FRAME <= now; next += 1) {
      const at = next * FRAME;
      const isBack = at >= 12;
      if (at >= 10 && !isBack) continue;
      const number = isBack ? next - Math.round(12 / FRAME) : next;
      if (isBack && number === 0 && isTold) signal.interrupt(clock < 0);
      signal.take(frame(isNumbered ? number : null, at, START + at + (isBack ? clock : 0)), at + FRAME);
    }
    signal.head.advance(now);
    seen.push({ now, head: signal.head.position, end: signal.buffer.end, rate: signal.rate });
  }
  return { signal, seen };
}

const CLOCKS = [-2 * 86_400, -3600, -30, -3, -0.5, 0, 0.5, 3, 30, 3600, 2 * 86_400];

describe("a signal whose server is back with another clock", () => {
  describe.each([true, false])("with sequence numbers: %s", (isNumbered) => {
    it.each(CLOCKS)("%d s off: a gap, and the trace goes on at once", (clock) => {
      for (const isTold of [true, false]) {
        const { signal, seen } = restarted(clock, isNumbered, isTold);
        expect(signal.gaps).toBe(1);
        const [gap] = signal.buffer.gaps;
        expect(gap.from).toBe(10 * RATE);
        const seconds = (gap.to - gap.from) / RATE;
        expect(seconds).toBeGreaterThan(0);
        expect(seconds).toBeLessThan(clock > 0 && clock < 60 ? clock + 2.1 : 2.1);
        for (const { head, end } of seen.filter(({ now }) => now > 12 + 3)) {
          expect(head).toBeLessThan(end);
          expect(end - head).toBeLessThan(0.5 * RATE);
        }
        // What is lost is no silence of the heart, and makes no interval.
        for (const { rate } of seen) if (!Number.isNaN(rate)) expect(rate).toBeCloseTo(60, 0);
        expect(seen.at(-1)?.rate).toBeCloseTo(60, 0);
      }
    });
  });

  it("tells when each sample was taken by the clock of its time", () => {
    const { signal } = restarted(-3600, true, true);
    const [gap] = signal.buffer.gaps;
    expect(signal.timeOf(RATE)).toBeCloseTo(START + 1, 3);
    expect(signal.timeOf(gap.to + RATE)).toBeCloseTo(START + 13 - 3600, 3);
    expect(Number.isNaN(new EcgSignal(frame(0, 0, null), null).timeOf(0))).toBe(true);
  });
});

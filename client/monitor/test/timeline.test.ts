import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Placed, Timeline } from "../src/timeline.js";

/** Frames of a player: `k` frames of that many samples on average, at that rate, so many times as fast. */
function frames(count: number, each: number, rate: number, speed = 1): Placed[] {
  return Array.from({ length: count }, (_, sequence) => {
    const first = Math.floor(sequence * each);
    const samples = Math.floor((sequence + 1) * each) - first;
    const timestamp = 1.7e9 + Math.round((first / rate / speed) * 1e6) / 1e6;
    return { samples, samplingRate: rate, sequence, timestamp };
  });
}

function missing(all: readonly Placed[], without: (frame: Placed) => boolean): number[] {
  const timeline = new Timeline();
  return all.filter((frame) => !without(frame)).map((frame) => timeline.follow(frame));
}

describe("the timeline", () => {
  it("finds nothing missing where nothing is", () => {
    for (const [each, rate] of [
      [50, 1000],
      [12.5, 250],
      [18, 360],
      [1, 20],
    ]) {
      expect(new Set(missing(frames(200, each, rate), () => false))).toEqual(new Set([0]));
    }
  });

  it("counts the samples of frames that are missing, to the sample, at any speed", () => {
    fc.assert(
      fc.property(
        fc.constantFrom([50, 1000], [12.5, 250], [18, 360], [7.2, 360]),
        fc.constantFrom(0.5, 1, 10, 60),
        fc.integer({ min: 64, max: 150 }), // before that, at 60 times the speed, 20 ms of timestamps are not over yet
        fc.integer({ min: 1, max: 40 }),
        ([each, rate], speed, from, gone) => {
          const all = frames(200, each, rate, speed);
          const lost = all.slice(from, from + gone);
          const told = missing(all, (frame) => lost.includes(frame));
          expect(told[from]).toBe(lost.reduce((sum, frame) => sum + frame.samples, 0));
          expect(told.filter((samples) => samples > 0)).toHaveLength(1);
        },
      ),
    );
  });

  it("does without sequence numbers", () => {
    const all: Placed[] = frames(100, 50, 1000).map((frame) => ({ ...frame, sequence: null }));
    expect(missing(all, (frame) => all.indexOf(frame) === 40 || all.indexOf(frame) === 41)[40]).toBe(100);
    const jittering = all.map((frame, index) => ({ ...frame, timestamp: frame.timestamp! + 0.003 * Math.sin(index) }));
    expect(new Set(missing(jittering, () => false))).toEqual(new Set([0]));
  });

  it("does without timestamps", () => {
    const all = frames(100, 50, 1000).map((frame) => ({ ...frame, timestamp: null }));
    expect(missing(all, (frame) => frame.sequence === 40)[40]).toBe(50);
  });

  it("sees a stream that begins anew, and for how long it was away", () => {
    const timeline = new Timeline();
    for (const frame of frames(100, 50, 1000)) timeline.follow(frame);
    const later = { samples: 50, samplingRate: 1000, sequence: 0, timestamp: 1.7e9 + 5 + 2.5 };
    expect(timeline.follow(later)).toBe(2500);
    expect(timeline.follow({ ...later, sequence: 0, timestamp: null })).toBe(40);
  });

  it("measures how fast it is played", () => {
    const timeline = new Timeline();
    for (const frame of frames(400, 50, 1000, 20)) timeline.follow(frame);
    expect(timeline.rate).toBeCloseTo(20_000, 0);
  });
});

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

/** When a frame comes that is on its way for no time, in seconds of a clock that began with the stream. */
function arrivalOf({ timestamp, samples, samplingRate }: Placed): number {
  return (timestamp ?? 1.7e9) - 1.7e9 + samples / samplingRate;
}

function missing(all: readonly Placed[], without: (frame: Placed) => boolean): number[] {
  const timeline = new Timeline();
  return all.filter((frame) => !without(frame)).map((frame) => timeline.follow(frame, arrivalOf(frame)));
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
    for (const frame of frames(100, 50, 1000)) timeline.follow(frame, arrivalOf(frame));
    const later = { samples: 50, samplingRate: 1000, sequence: 0, timestamp: 1.7e9 + 5 + 2.5 };
    expect(timeline.follow(later, 7.55)).toBe(2500);
    expect(timeline.follow({ ...later, timestamp: null }, 7.6)).toBe(40);
    expect(timeline.follow({ ...later, timestamp: null }, 8.65)).toBe(1000);
  });

  const numbered = (frame: Placed): Placed => frame;
  const unnumbered = (frame: Placed): Placed => ({ ...frame, sequence: null });

  describe.each([
    ["with sequence numbers", numbered],
    ["without", unnumbered],
  ])("of another clock, %s", (_, told) => {
    it.each([-2 * 86_400, -3600, -30, -3, 61, 3600, 2 * 86_400])(
      "%d s off: a gap is as long as the server was away",
      (seconds) => {
        const timeline = new Timeline();
        for (const frame of frames(100, 50, 1000)) timeline.follow(told(frame), arrivalOf(frame));
        const [first, ...rest] = frames(100, 50, 1000).map(({ timestamp, ...frame }) =>
          told({ ...frame, timestamp: timestamp! + 5 + 0.9 + seconds }),
        );
        // 5 s of signal, 0.9 s of nothing.
        expect(timeline.follow(first, 5.95)).toBe(900);
        expect(rest.map((frame, index) => timeline.follow(frame, 6 + index / 20)).every((lost) => lost === 0)).toBe(
          true,
        );
        expect(timeline.rate).toBeCloseTo(1000, 3);
      },
    );

    it.each([0.5, 3, 30])("%d s ahead: a gap is as long as the timestamps say, since it may be so", (seconds) => {
      const timeline = new Timeline();
      for (const frame of frames(100, 50, 1000)) timeline.follow(told(frame), arrivalOf(frame));
      const first = told({ samples: 50, samplingRate: 1000, sequence: 0, timestamp: 1.7e9 + 5.9 + seconds });
      expect(timeline.follow(first, 5.95)).toBe(900 + 1000 * seconds);
    });
  });

  it("takes the service's word that the clock went back, where timestamps do not show it", () => {
    for (const sequence of [null, 0, 700]) {
      const timeline = new Timeline();
      for (const frame of frames(100, 50, 1000))
        timeline.follow({ ...frame, sequence: sequence && frame.sequence }, arrivalOf(frame));
      timeline.interrupt(true);
      timeline.interrupt(false);
      const first = { samples: 50, samplingRate: 1000, sequence, timestamp: 1.7e9 + 5 + 0.1 };
      expect(timeline.follow(first, 5.95)).toBe(900);
      expect(
        timeline.follow(
          { ...first, timestamp: 1.7e9 + 5 + 0.15, sequence: sequence === null ? null : sequence + 1 },
          6,
        ),
      ).toBe(0);
    }
  });

  it("takes its word that something may be missing only where nothing else tells", () => {
    for (const [sequence, timestamp, missing] of [
      [100, null, 0],
      [null, 1.7e9 + 5, 0],
      [null, null, 900],
    ] as const) {
      const timeline = new Timeline();
      for (const frame of frames(100, 50, 1000)) timeline.follow(frame, arrivalOf(frame));
      timeline.interrupt(false);
      expect(timeline.follow({ samples: 50, samplingRate: 1000, sequence, timestamp }, 5.95)).toBe(missing);
    }
  });

  it.each([-3600, -2, 2, 3600])(
    "goes straight on, at its rate, where a clock is set by %d s and nothing is missing",
    (seconds) => {
      for (const when of [0, 1, 3, 60]) {
        const timeline = new Timeline();
        const stepping = frames(200, 50, 1000).map((frame, index) => ({
          ...frame,
          timestamp: frame.timestamp! + (index > when ? seconds : 0),
        }));
        expect(stepping.map((frame, index) => timeline.follow(frame, index / 20)).every((lost) => lost === 0)).toBe(
          true,
        );
        expect(timeline.rate).toBeCloseTo(1000, 3);
      }
    },
  );

  it("believes no number of frames that nobody could have missed", () => {
    const timeline = new Timeline();
    for (const frame of frames(100, 50, 1000)) timeline.follow(frame, arrivalOf(frame));
    expect(timeline.follow({ samples: 50, samplingRate: 1000, sequence: 1e9, timestamp: 1.7e9 + 5 }, 5.05)).toBe(40);
  });

  it("measures how fast it is played", () => {
    const timeline = new Timeline();
    for (const frame of frames(400, 50, 1000, 20)) timeline.follow(frame, arrivalOf(frame));
    expect(timeline.rate).toBeCloseTo(20_000, 0);
  });
});

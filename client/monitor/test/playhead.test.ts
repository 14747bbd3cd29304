import { describe, expect, it } from "vitest";
import { Playhead } from "../src/playhead.js";

const RATE = 1000;
const FRAME = 50;

interface Look {
  readonly now: number;
  readonly at: number;
  readonly end: number;
}

/** Play with frames that arrive when `arrival` says (null: never); the head's position at each frame of the display. */
function play(seconds: number, arrival: (frame: number) => number | null): Look[] {
  return observe(seconds, arrival).seen;
}

function observe(seconds: number, arrival: (frame: number) => number | null): { seen: Look[]; head: Playhead } {
  const head = new Playhead();
  const due: { at: number; end: number }[] = [];
  for (let frame = 0; frame * 0.05 < seconds; frame += 1) {
    const at = arrival(frame);
    if (at !== null) due.push({ at, end: (frame + 1) * FRAME });
  }
  const seen = [];
  let end = 0;
  for (let tick = 0; tick < seconds * 60; tick += 1) {
    const now = tick / 60;
    while (due.length > 0 && due[0].at <= now) {
      end = due[0].end;
      head.arrived(end, FRAME, RATE, due[0].at);
      due.shift();
    }
    head.advance(now);
    if (!Number.isNaN(head.position)) seen.push({ now, at: head.position, end });
  }
  return { seen, head };
}

/** How often the head stood still, until when and for how long. */
function stands(seen: readonly Look[]): { until: number; seconds: number }[] {
  const found: { until: number; seconds: number }[] = [];
  for (const [index, { now, at }] of seen.entries()) {
    const before = seen[index - 1];
    if (before === undefined || at - before.at > 1e-6) continue;
    const last = found.at(-1);
    if (last !== undefined && before.now - last.until < 1e-6)
      Object.assign(last, { until: now, seconds: last.seconds + now - before.now });
    else found.push({ until: now, seconds: now - before.now });
  }
  return found;
}

describe("the playhead", () => {
  it("runs steadily behind frames that come in jerks, and never beyond them", () => {
    const seen = play(10, (frame) => 1 + frame * 0.05 + 0.015 * Math.abs(Math.sin(frame * 7)));
    for (const { at, end } of seen) {
      expect(at).toBeLessThan(end);
      expect(end - at).toBeLessThan(2.6 * FRAME);
    }
    const steps = seen.slice(1).map(({ at }, index) => at - seen[index].at);
    expect(Math.min(...steps.slice(60))).toBeGreaterThan((RATE / 60) * 0.8);
    expect(Math.max(...steps.slice(60))).toBeLessThan((RATE / 60) * 1.2);
  });

  it("stands still where nothing comes, and is where it should be when the missed frames have come", () => {
    const cut = (at: number): boolean => at > 3 && at < 5;
    const seen = play(8, (frame) => {
      const at = 0.5 + frame * 0.05;
      return cut(at) ? 5 : at;
    });
    for (const { at, end } of seen) expect(at).toBeLessThanOrEqual(end);
    const during = seen.filter(({ now }) => now > 3.5 && now < 4.9);
    for (const { at, end } of during) expect(end - at).toBeLessThan(1e-6);
    for (const { at, end } of seen.filter(({ now }) => now > 5.1)) {
      expect(end - at).toBeGreaterThan(0);
      expect(end - at).toBeLessThan(0.5 * RATE);
    }
    const steps = seen.slice(1).map(({ at }, index) => at - seen[index].at);
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
  });

  it.each([
    [0.39, 0.1],
    [1.5, 0.2],
    [0.15, 0.05],
  ])("follows a latency that rises by %d s for good within 2 s, stands still once, and says so", (rise, tolerance) => {
    const risen = 20;
    const { seen, head } = observe(60, (frame) => 1 + frame * 0.05 + (1 + frame * 0.05 > risen ? rise : 0));
    for (const { at, end } of seen) expect(at).toBeLessThanOrEqual(end);
    const stood = stands(seen.filter(({ now }) => now > risen - 1));
    expect(stood.length).toBe(1);
    expect(stood[0].seconds).toBeLessThan(rise + 0.05);
    expect(stood[0].until).toBeLessThan(risen + rise + 0.1);
    for (const { now, at, end } of seen.filter(({ now }) => now > risen + 2)) {
      expect(end - at, `at ${now}`).toBeLessThan(2.6 * FRAME);
      expect(end - at).toBeGreaterThan(0);
    }
    expect(head.change?.seconds).toBeGreaterThan(rise - tolerance);
    expect(head.change?.seconds).toBeLessThan(rise + tolerance);
    expect(head.change?.at).toBeLessThan(risen + rise + 1.2);
  });

  it("follows a latency that falls for good within 2 s, without a step back, and says so", () => {
    const fallen = 20;
    // In order: what was on its way overtakes nothing.
    const { seen, head } = observe(60, (frame) => {
      const sent = 1 + frame * 0.05;
      return sent > fallen ? Math.max(sent, fallen + 0.39) : sent + 0.39;
    });
    const steps = seen.slice(1).map(({ at }, index) => at - seen[index].at);
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
    for (const { at, end } of seen.filter(({ now }) => now > fallen + 2.4)) {
      expect(at).toBeLessThan(end);
      expect(end - at).toBeLessThan(2.6 * FRAME);
    }
    expect(head.change?.seconds).toBeCloseTo(-0.39, 1);
  });

  it("says nothing of a delay that has not changed", () => {
    const hiccup = (at: number): number => (at > 5 && at < 5.5 ? 5.5 : at);
    for (const arrival of [
      (frame: number) => 1 + frame * 0.05,
      (frame: number) => 1 + frame * 0.05 * 1.001,
      (frame: number) => 1 + frame * 0.05 + 0.06 * Math.abs(Math.sin(frame * 7)),
      (frame: number) => hiccup(1 + frame * 0.05),
      (frame: number) => (frame < 240 ? 1 : 1 + (frame - 239) * 0.05), // twelve seconds of history
    ]) {
      expect(observe(60, arrival).head.change).toBeNull();
    }
  });

  it("gives a network that is late now and then more room, and stands still less and less", () => {
    const { seen } = observe(60, (frame) => 1 + frame * 0.05 + (frame % 10 === 0 ? 0.1 : 0));
    expect(stands(seen.filter(({ now }) => now > 2 && now < 30)).length).toBeLessThan(12);
    for (const { at, end } of seen) expect(end - at).toBeLessThan(0.5 * RATE);
  });

  it("shows what there is of a stream that comes at half its pace, and never runs ahead of it", () => {
    const seen = play(60, (frame) => 1 + frame * 0.1);
    for (const { at, end } of seen) {
      expect(at).toBeLessThanOrEqual(end);
      expect(end - at).toBeLessThan(2.6 * FRAME);
    }
  });

  it("follows a network that has become slower, and the clock of a sender that is", () => {
    const slower = play(120, (frame) => 1 + frame * 0.05 + (frame > 200 ? 0.1 : 0)).slice(-60);
    for (const { at, end } of slower) expect(end - at).toBeLessThan(4 * FRAME);
    const drifting = play(120, (frame) => 1 + frame * 0.05 * 1.001).slice(-60);
    for (const { at, end } of drifting) expect(at).toBeLessThan(end);
  });

  it("comes back to frames that are late for good, and stays with them", () => {
    for (const late of [0.4, 2, 30]) {
      const seen = play(60, (frame) => 1 + frame * 0.05 + (frame > 100 ? late : 0));
      const since = 1 + 100 * 0.05 + late;
      for (const { now, at, end } of seen.filter(({ now }) => now > since + 4)) {
        expect(at).toBeLessThan(end);
        expect(end - at).toBeLessThan(6 * FRAME);
        expect(now).toBeGreaterThan(since);
      }
    }
  });

  it("waits for frames that were held up, and come all at once or one after the other", () => {
    for (const each of [0, 0.01]) {
      const seen = play(8, (frame) => {
        const at = 0.5 + frame * 0.05;
        return at > 3 && at < 5 ? 5 + each * (frame - 51) : at;
      });
      const steps = seen.slice(1).map(({ at }, index) => at - seen[index].at);
      expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
    }
  });

  it("jumps after a pause of the display", () => {
    const head = new Playhead();
    head.arrived(50, FRAME, RATE, 0);
    expect(head.advance(0)).toBe(true);
    expect(head.advance(0.1)).toBe(false);
    head.arrived(30_050, FRAME, RATE, 20);
    expect(head.advance(20)).toBe(true);
    expect(head.position).toBe(30_050 - 75);
    head.arrived(60_050, FRAME, RATE, 50);
    head.advanceUnseen(50);
    expect(head.advance(50.01)).toBe(true); // what moved in a hidden tab has to be drawn anew
    expect(head.advance(50.02)).toBe(false);
  });
});

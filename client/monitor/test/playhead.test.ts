import { describe, expect, it } from "vitest";
import { Playhead } from "../src/playhead.js";

const RATE = 1000;
const FRAME = 50;

/** Play with frames that arrive when `arrival` says (null: never); the head's position at each frame of the display. */
function play(seconds: number, arrival: (frame: number) => number | null): { now: number; at: number; end: number }[] {
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
  return seen;
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

  it("runs on where nothing comes, and is where it should be when the missed frames have come", () => {
    const cut = (at: number): boolean => at > 3 && at < 5;
    const seen = play(8, (frame) => {
      const at = 0.5 + frame * 0.05;
      return cut(at) ? 5 : at;
    });
    const during = seen.filter(({ now }) => now > 4.5 && now < 4.9);
    for (const { at, end } of during) expect(at - end).toBeGreaterThan(1000);
    const after = seen.filter(({ now }) => now > 5.1);
    for (const { at, end } of after) expect(end - at).toBeGreaterThan(0);
    const steps = seen.slice(1).map(({ at }, index) => at - seen[index].at);
    expect(Math.min(...steps)).toBeGreaterThan(0);
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
      expect(Math.min(...steps)).toBeGreaterThan(0);
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
  });
});

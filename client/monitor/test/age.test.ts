import { describe, expect, it } from "vitest";
import { Age, type Arrival, type Seen, type ServerClock } from "../src/age.js";
import { ageInSigns, ageInWords, duration, reasonInWords } from "../src/presence-words.js";

const RATE = 500;
const SAMPLES = 25;
const FRAME = SAMPLES / RATE;
/** The day's time by our clock where the steady clock is at 0. */
const DAY = 1.7e9;

interface Journey {
  /** Seconds by which the clocks of server and source are ahead of ours. */
  readonly server?: number;
  readonly source?: number | null;
  /** Seconds that a frame is on its way, by when it was taken. */
  readonly travel?: (taken: number) => number;
  readonly isTimed?: boolean;
  readonly known?: ServerClock | null;
}

/** What is said of a stream, ten times a second from second 1 on, by a screen that shows all that has come. */
function watched(seconds: number, { server = 0, source = 0, travel = () => 0.01, ...rest }: Journey): Seen[] {
  const { isTimed = true, known = { offset: server, error: 0.02 } } = rest;
  const age = new Age();
  const said: Seen[] = [];
  const due: [number, Arrival][] = [];
  let latest = 0;
  for (let frame = 0; frame * FRAME < seconds; frame += 1) {
    const taken = frame * FRAME;
    latest = Math.max(latest, taken + FRAME + travel(taken)); // nothing overtakes
    due.push([
      latest,
      {
        first: frame * SAMPLES,
        end: (frame + 1) * SAMPLES,
        rate: RATE,
        taken: source === null ? null : DAY + taken + source,
        sent: isTimed ? DAY + taken + FRAME + server : null,
        at: DAY + latest,
      },
    ]);
  }
  let end = 0;
  for (let tick = 0; tick < 10 * seconds; tick += 1) {
    const now = tick / 10;
    for (; due[0]?.[0] <= now; due.shift()) {
      age.arrived(due[0][1], due[0][0]);
      end = due[0][1].end;
    }
    const seen = age.at(end, DAY + now, now, known);
    if (now >= 1 && seen !== null) said.push(seen);
  }
  return said;
}

/** A link with half of what the stream needs: a second of signal takes two. */
const THROTTLED = (taken: number): number => taken;

describe("the age of what is seen", () => {
  it.each([0, -3600, 3.2, 86_400])("is that of the sample by the server's clock, %d s ahead of ours", (server) => {
    for (const seen of watched(10, { server, source: server })) {
      expect(seen.kind).toBe("age");
      if (seen.kind !== "age") continue;
      expect(seen.by).toBe("source");
      expect(seen.seconds).toBeGreaterThanOrEqual(0);
      expect(seen.seconds).toBeLessThan(0.12);
    }
  });

  it("grows on a link that is too slow, though frames arrive all the time", () => {
    for (const source of [0, null]) {
      const last = watched(48, { travel: THROTTLED, source }).at(-1);
      expect(last?.kind === "age" && last.seconds).toBeGreaterThan(23);
      expect(last?.kind === "age" && last.seconds).toBeLessThan(25);
      expect(last && ageInWords(last)).toBe("24 s");
      expect(last && reasonInWords(last, { seen: last, roundTrip: 24, version: 3, change: null })).toBe(
        "What you see is 24 s old. It arrived late from the server: the connection or this page is too slow.",
      );
    }
  });

  it("tells a source whose clock is ahead by how much, and never as an age of 0", () => {
    const slow = watched(20, { source: 3.2, travel: THROTTLED });
    for (const seen of [...watched(5, { source: 3.2 }), ...slow]) {
      expect(seen.kind).toBe("ahead");
      if (seen.kind !== "ahead") continue;
      expect(seen.seconds).toBeCloseTo(3.2, 6);
      expect(reasonInWords(seen, { seen, roundTrip: null, version: 3, change: null })).toMatch(
        /^Clock of the source 3.2 s ahead: the age of the signal is unknown. The server sent it [\d.]+ s ago.$/,
      );
    }
  });

  it.each([-3600, -40])("tells a source whose clock is set by %d s while it sends, and no age", (step) => {
    const age = new Age();
    const known = { offset: 0, error: 0.02 };
    const said: (Seen | null)[] = [];
    const send = (number: number, source: number): void => {
      const taken = DAY + number * FRAME;
      const at = taken + FRAME + 0.01;
      const place = { first: number * SAMPLES, end: (number + 1) * SAMPLES, rate: RATE };
      age.arrived({ ...place, taken: taken + source, sent: taken + FRAME, at }, at - DAY);
      said.push(age.at((number + 1) * SAMPLES, at, at - DAY, known));
    };
    for (let number = 0; number < 20; number += 1) send(number, 0);
    expect(said.every((seen) => seen?.kind === "age")).toBe(true);
    for (let number = 20; number < 40; number += 1) send(number, step);
    const last = said.at(-1);
    expect(last?.kind === "set" && last.seconds).toBeCloseTo(step, 3);
    expect(last && reasonInWords(last, { seen: last, roundTrip: null, version: 3, change: null })).toMatch(
      /^Clock of the source set back by \d+ (s|min): the age of the signal is unknown. The server sent it 0.01 s ago.$/,
    );
    for (let number = 40; number < 60; number += 1) send(number, 0); // set right again
    expect(said.at(-1)?.kind).toBe("age");
  });

  it("tells a source that is behind from a link that is slow", () => {
    const [seen] = watched(2, { source: -40 }).slice(-1);
    expect(seen.kind === "age" && Math.round(seen.seconds)).toBe(40);
    expect(reasonInWords(seen, { seen, roundTrip: null, version: 3, change: null })).toContain("clock of the source");
  });

  it("is unknown without timestamps, and then tells what comes later than it did", () => {
    for (const journey of [{ source: null, isTimed: false }, { known: null }]) {
      expect(watched(10, journey).every((seen) => seen.kind === "unknown" && seen.late < 0.2)).toBe(true);
      const last = watched(48, { ...journey, travel: THROTTLED }).at(-1);
      expect(last?.kind === "unknown" && last.late).toBeGreaterThan(23);
      expect(last?.kind === "unknown" && last.late).toBeLessThan(24.1);
      expect(last && ageInWords(last)).toBe("at least 24 s");
    }
    const [slow] = watched(48, { known: null, travel: THROTTLED }).slice(-1);
    expect(ageInSigns(slow)).toBe("≥ 24 s");
    const [unknown] = watched(2, { known: null }).slice(-1);
    expect(reasonInWords(unknown, { seen: unknown, roundTrip: 0.031, version: 2, change: null })).toBe(
      "The age of the signal is unknown: version 2 of the protocol has no timestamps. " +
        "Round trip to the server: 0.03 s.",
    );
  });

  it("grows where nothing comes any more", () => {
    const [seen] = watched(30, { travel: (taken) => (taken < 5 ? 0.01 : 100) }).slice(-1);
    expect(seen.kind === "age" && seen.seconds).toBeCloseTo(24.9, 1);
  });

  it("says by how much it may be more where the server's clock is not known well", () => {
    const [seen] = watched(2, { known: { offset: 0, error: 4 } }).slice(-1);
    expect(ageInWords(seen)).toMatch(/^up to 4\.\d s$/);
  });
});

it("durations have as many digits as one reads", () => {
  expect([0.348, 3.21, 24.2, 150, 9000, 4e5].map(duration)).toEqual([
    "0.35 s",
    "3.2 s",
    "24 s",
    "3 min",
    "2.5 h",
    "5 days",
  ]);
});

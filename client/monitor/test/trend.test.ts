import { expect, test } from "vitest";
import type { EcgFrame } from "../src/signal.js";
import { NOTHING_TOLD } from "../src/signal.js";
import { markOf, PastRates, STEP, Trend } from "../src/trend.js";
import { drawTrend, RATES, xOf, yOf } from "../src/trend-drawing.js";

const T0 = 1_700_000_000;
const DAY = 24 * 60 * 60;

test("rates of one step are one step, with their range", () => {
  const trend = new Trend();
  for (const rate of [70, 80, 75]) trend.add(T0 + 1, rate);
  trend.add(T0 + STEP, 60);
  expect(trend.steps).toEqual([
    { from: T0, least: 70, most: 80, sum: 225, count: 3 },
    { from: T0 + STEP, least: 60, most: 60, sum: 60, count: 1 },
  ]);
  expect(trend.rateAt(T0 + 4.9)).toBe(75);
  expect(trend.rateAt(T0 - 1)).toBeNaN();
});

test("what is no rate is left out", () => {
  const trend = new Trend();
  trend.add(T0, Number.NaN);
  trend.add(Number.NaN, 70);
  trend.add(T0, 0);
  expect(trend.steps).toEqual([]);
});

test("a day is kept, also if the past comes after the present", () => {
  const trend = new Trend();
  trend.add(T0, 70);
  trend.add(T0 - DAY, 60); // a day ago, and a little more
  trend.add(T0 - DAY + STEP, 61);
  expect(trend.steps.map(({ from }) => from - T0)).toEqual([STEP - DAY, 0]);
  for (let at = 0; at < 2 * DAY; at += STEP) trend.add(T0 + at, 70);
  expect(trend.steps).toHaveLength(DAY / STEP);
  trend.add(T0 + 9 * DAY, 71);
  expect(trend.steps.map(({ least }) => least)).toEqual([71]);
  trend.clear();
  expect(trend.steps).toEqual([]);
});

test("an alert that comes again is one mark, and the number of marks is limited", () => {
  const trend = new Trend();
  trend.mark({ at: T0, severity: "warning", kind: "lead_off" });
  trend.mark({ at: T0 + 0.5, severity: "warning", kind: "lead_off" });
  trend.mark({ at: T0, severity: "critical", kind: "asystole" });
  expect(trend.marks).toHaveLength(2);
  for (let n = 0; n < 600; n += 1) trend.mark({ at: T0 + 10 * n, severity: "info", kind: "note" });
  expect(trend.marks).toHaveLength(500);
});

/** Half a second of three leads with a beat each `60 / rate` seconds. */
function frames(rate: number, seconds: number, from: number): EcgFrame[] {
  return Array.from({ length: 2 * seconds }, (_, number) => {
    const signal = new Float64Array(3 * 125);
    for (let lead = 0; lead < 3; lead += 1)
      for (let at = 0; at < 125; at += 1) {
        const phase = ((number * 125 + at) / 250) % (60 / rate);
        signal[lead * 125 + at] =
          rate === 0
            ? 0
            : 1.2 * Math.exp(-(((phase - 0.3) / 0.012) ** 2)) + 0.25 * Math.exp(-(((phase - 0.6) / 0.05) ** 2));
      }
    const of3 = <Value>(value: Value): Value[] => [value, value, value];
    const base = { samples: 125, samplingRate: 250, leads: ["I", "II", "V1"], gain: of3(1), baseline: of3(0) };
    return { ...base, signal, sequence: number, timestamp: from + number / 2, told: NOTHING_TOLD, isGuessed: false };
  });
}

test("the past has the rate of its beats, and its episodes as marks", () => {
  const trend = new Trend();
  const past = new PastRates(trend);
  for (const frame of frames(90, 60, T0)) past.take(frame);
  const rates = trend.steps.map(({ sum, count }) => sum / count);
  expect(rates.length).toBeGreaterThan(9);
  for (const rate of rates) expect(rate).toBeCloseTo(90, 0);
  expect(trend.marks).toEqual([]);
  const still = frames(60, 30, T0 + 60).map((frame, n) => ({
    ...frame,
    signal: new Float64Array(375),
    sequence: 120 + n,
  }));
  for (const frame of still) past.take(frame);
  expect(trend.marks.map(({ kind }) => kind)).toEqual(["lead_off"]);
});

test("a frame without a time has no place", () => {
  const trend = new Trend();
  const past = new PastRates(trend);
  for (const frame of frames(90, 20, T0)) past.take({ ...frame, timestamp: null });
  expect(trend.steps).toEqual([]);
});

test("an alert is where it began, was reported, or was sent", () => {
  const trend = new Trend();
  const past = new PastRates(trend);
  past.alert({ kind: "a", severity: "critical", start: T0, timestamp: T0 + 9 }, T0 + 10);
  past.alert({ kind: "b", timestamp: T0 + 9 }, T0 + 10);
  past.alert({ kind: "c" }, T0 + 10);
  past.alert({ kind: "d" }, null);
  expect(trend.marks.map(({ at }) => at - T0)).toEqual([0, 9, 10]);
  expect(markOf({ start: null, timestamp: null } as never)).toBeNull();
});

test("the axes hold what is out of range", () => {
  const view = { from: 0, to: 600 };
  expect([xOf(0, view, 300), xOf(600, view, 300)]).toEqual([0, 300]);
  expect(yOf(RATES.most + 50, 100)).toBe(yOf(RATES.most, 100));
  expect(yOf(0, 100)).toBe(yOf(RATES.least, 100));
  expect(yOf(120, 100)).toBeLessThan(yOf(60, 100));
});

test("the line is interrupted where there is no rate, and each severity has a shape of its own", () => {
  const calls: string[] = [];
  const pen = new Proxy({} as Record<string, unknown>, {
    get: (_, name: string) =>
      name === "measureText"
        ? () => ({ width: 30 })
        : (...numbers: number[]) => void calls.push(`${name} ${numbers.length}`),
    set: () => true,
  });
  const step = (from: number) => ({ from, least: 60, most: 62, sum: 61, count: 1 });
  const marks = (["critical", "warning", "info"] as const).map((severity, n) => ({ at: 100 + n, severity, kind: "k" }));
  const colour = {
    ground: "",
    line: "",
    text: "",
    rate: "",
    band: "",
    place: "",
    event: "",
    marks: { critical: "", warning: "", info: "" },
  };
  const view = {
    from: 0,
    to: 600,
    steps: [step(0), step(STEP), step(100)],
    marks,
    events: [50, 700],
    chosen: 600,
    shown: { from: 5, to: 15 },
  };
  drawTrend(pen as never, view, 300, 90, colour);
  expect(calls.filter((call) => call === "moveTo 2")).toHaveLength(2 + 1 + 1); // two stretches, the triangle, and a flag
  expect(calls.filter((call) => call === "rect 4")).toHaveLength(1);
  expect(calls.filter((call) => call === "arc 5")).toHaveLength(1);
  expect(calls).toContain("strokeRect 4");
});

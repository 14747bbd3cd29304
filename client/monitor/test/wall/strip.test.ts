import { describe, expect, it } from "vitest";
import { EcgSignal, NOTHING_TOLD } from "../../src/signal.js";
import { type Canvas, Strip } from "../../src/wall/strip.js";

class Noting implements Canvas {
  fillStyle: unknown = "";
  readonly points: { x: number; y: number }[] = [];
  readonly filled: { x: number; y: number; width: number; height: number; style: unknown }[] = [];

  moveTo(x: number, y: number): void {
    this.points.push({ x, y });
  }

  lineTo(x: number, y: number): void {
    this.points.push({ x, y });
  }

  fillRect(x: number, y: number, width: number, height: number): void {
    this.filled.push({ x, y, width, height, style: this.fillStyle });
  }
}

const COLOURS = {
  ground: "ground",
  trace: "trace",
  gap: "gap",
  others: { resp: "r", pleth: "p", pressure: "b", other: "o" },
};
const BOX = { x: 300, y: 200, width: 330, height: 80 };
const RATE = 500;

function frame(sequence: number, value: number) {
  const samples = RATE / 20;
  return {
    signal: new Float64Array(2 * samples).fill(value),
    samples,
    samplingRate: RATE,
    leads: ["II", "V1"],
    gain: [1, 1],
    baseline: [0, 0],
    sequence,
    timestamp: 1000 + sequence / 20,
    told: NOTHING_TOLD,
    isGuessed: false,
  };
}

/** Play so many seconds. */
function play(strip: Strip, canvas: Canvas, seconds: number, value: number, lost: readonly number[] = []): EcgSignal {
  const signal = new EcgSignal(frame(0, value), null, 40);
  for (let tick = 0; tick < seconds * 60; tick += 1) {
    const now = tick / 60;
    if (tick % 3 === 0 && !lost.includes(tick / 3)) signal.take(frame(tick / 3, value), now);
    strip.prepare(canvas, signal, now, COLOURS);
    strip.trace(canvas, 1);
  }
  return signal;
}

describe("the traces of a tile", () => {
  it("stay in its box, whatever the signal is", () => {
    const strip = new Strip();
    const canvas = new Noting();
    strip.place(BOX, [0, 1]);
    play(strip, canvas, 12, 50);
    expect(canvas.points.length).toBeGreaterThan(100);
    for (const { x, y } of canvas.points) {
      expect(x).toBeGreaterThanOrEqual(BOX.x - 1);
      expect(x).toBeLessThanOrEqual(BOX.x + BOX.width + 1);
      expect(y).toBeGreaterThanOrEqual(BOX.y);
      expect(y).toBeLessThanOrEqual(BOX.y + BOX.height);
    }
    for (const { x, y, width, height } of canvas.filled) {
      expect(x).toBeGreaterThanOrEqual(BOX.x);
      expect(x + width).toBeLessThanOrEqual(BOX.x + BOX.width);
      expect([y, height]).toEqual([BOX.y, BOX.height]);
    }
  });

  it("reach every part of the box, and are erased before they are drawn again", () => {
    const strip = new Strip();
    const canvas = new Noting();
    strip.place(BOX, [0]);
    play(strip, canvas, 10, 0);
    const columns = new Set(canvas.points.map(({ x }) => Math.floor((x - BOX.x) / 10)));
    for (let column = 0; column < BOX.width / 10 - 1; column += 1) expect(columns.has(column)).toBe(true);
    const erased = new Set<number>();
    for (const { x, width } of canvas.filled.slice(5)) for (let at = x; at < x + width; at += 1) erased.add(at - BOX.x);
    expect(erased.size).toBe(BOX.width);
  });

  it("erase what a line has on the left of its first sample, after everything was drawn again", () => {
    const strip = new Strip();
    strip.place(BOX, [0]);
    const signal = play(strip, new Noting(), 10, 0);
    strip.place(BOX, [0]);
    const first = new Noting();
    strip.prepare(first, signal, 10, COLOURS);
    strip.trace(first, 1);
    const next = new Noting();
    strip.prepare(next, signal, 10.02, COLOURS);
    const [{ x }] = next.filled.filter(({ width }) => width < BOX.width);
    expect(x).toBeLessThanOrEqual(first.points[0].x - 1);
  });

  it("hatch missing samples", () => {
    const strip = new Strip();
    const canvas = new Noting();
    strip.place(BOX, [0]);
    const signal = play(strip, canvas, 5, 0, [40, 41, 42, 43, 44]);
    expect(signal.gaps).toBe(1);
    const hatched = canvas.filled.filter(({ style }) => style === "gap").reduce((sum, { width }) => sum + width, 0);
    expect(hatched).toBeGreaterThan(8); // a quarter of a second
  });

  it("are cleared without a signal", () => {
    const strip = new Strip();
    const canvas = new Noting();
    strip.place(BOX, []);
    strip.prepare(canvas, null, 1, COLOURS);
    strip.trace(canvas, 1);
    expect(canvas.filled).toEqual([{ ...BOX, style: "ground" }]);
    expect(canvas.points).toEqual([]);
  });
});

it("a signal that is no ECG is drawn by itself, to a scale that fills its row", () => {
  const strip = new Strip();
  const [ecg, others] = [new Noting(), new Noting()];
  strip.place(BOX, [0, 1]);
  const channels = [
    { kind: "ecg", unit: "mV" },
    { kind: "pleth", unit: "NU" },
  ] as const;
  const waves = (sequence: number) => {
    const made = frame(sequence, 0);
    const half = made.samples;
    made.signal.forEach((_, at) => {
      if (at >= half) made.signal[at] = 500 + 300 * Math.sin((sequence * half + at) / 40);
    });
    return { ...made, leads: ["II", "PLETH"], channels };
  };
  const signal = new EcgSignal(waves(0), null, 40);
  for (let tick = 0; tick < 5 * 60; tick += 1) {
    if (tick % 3 === 0) signal.take(waves(tick / 3), tick / 60);
    strip.prepare(ecg, signal, tick / 60, COLOURS);
    strip.traceOthers(others, 1, "resp");
    strip.traceOthers(others, 1, "pleth");
    strip.trace(ecg, 1);
  }
  const heights = others.points.map(({ y }) => y);
  const row = BOX.y + BOX.height / 2;
  expect(Math.min(...heights)).toBeGreaterThan(row);
  expect(Math.max(...heights)).toBeLessThan(BOX.y + BOX.height - 1);
  expect(Math.max(...heights) - Math.min(...heights)).toBeGreaterThan(BOX.height / 6);
  expect(Math.max(...ecg.points.map(({ y }) => y))).toBeLessThan(row);
});

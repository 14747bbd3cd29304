import { expect, it } from "vitest";
import { type Channel, ECG } from "../src/channels.js";
import { arrange, type SheetOptions } from "../src/print/arrange.js";
import { toCsv } from "../src/print/csv.js";
import type { Drawing, Lines } from "../src/print/drawing.js";
import { Origin } from "../src/print/origin.js";
import { gridOf, pages } from "../src/print/page.js";
import type { Strip } from "../src/print/strip.js";
import { toWfdb } from "../src/print/wfdb.js";
import { NOTHING_TOLD } from "../src/signal.js";
import { TraceBuffer } from "../src/trace-buffer.js";

const OPTIONS: SheetOptions = { paper: "a4", arrangement: "rhythm", order: "standard", gain: 10 };
const NAMES = ["RESP", "I", "II", "III", "V1", "ABP"];
const CHANNELS: readonly Channel[] = [
  { kind: "resp", unit: "Ohm" },
  ECG,
  ECG,
  ECG,
  ECG,
  { kind: "pressure", unit: "mmHg" },
];
const RATE = 100;
const SAMPLES = 10 * RATE;

/** Ten seconds: respiration from 1 to 3 ohm, an ECG, a pressure from 70 to 130 mmHg. */
function strip(): Strip {
  const wave = (sample: number): number => Math.sin((2 * Math.PI * sample) / (4 * RATE));
  const values = [(at: number) => 2 + wave(at), wave, wave, wave, wave, (at: number) => 100 + 30 * wave(at)];
  const gain = [1000, 200, 200, 200, 200, 100];
  const signal = Int16Array.from(
    values.flatMap((value, lead) => Array.from({ length: SAMPLES }, (_, at) => Math.round(value(at) * gain[lead]))),
  );
  const baseline = NAMES.map(() => 0);
  const buffer = new TraceBuffer(NAMES, RATE, SAMPLES, CHANNELS);
  buffer.append(signal, SAMPLES, gain, baseline);
  const origin = new Origin();
  const frame = { signal, samples: SAMPLES, samplingRate: RATE, leads: NAMES, gain, baseline, sequence: 0 };
  const told = { timestamp: 0, told: NOTHING_TOLD, isGuessed: false, channels: CHANNELS };
  origin.note(0, { ...frame, ...told }, { units: "mV", lead_units: CHANNELS.map(({ unit }) => unit), gain });
  return {
    ...{ stream: "ecg/1", buffer, origin, from: 0, to: SAMPLES, newest: SAMPLES, rhythm: 2 },
    ...{ state: "live", isLive: true, marks: [], timeOf: (sample: number) => 1.7e9 + sample / RATE },
  };
}

const words = (page: Drawing): string => page.marks.map((mark) => (mark.kind === "text" ? mark.text : "")).join("\n");
const lines = (page: Drawing, role: string): Lines[] =>
  page.marks.filter((mark): mark is Lines => mark.kind === "lines" && mark.role === role);

it("is printed on a sheet of its own, as wide as the page, each signal within its scale", () => {
  const sheets = arrange(NAMES, OPTIONS, gridOf("a4").height, CHANNELS);
  expect(sheets.map(({ cells, columns }) => [cells.map(({ name }) => name), columns])).toEqual([
    [["I", "II", "III", "V1"], 2],
    [["RESP", "ABP"], 1],
  ]);
  const [ecg, others] = [...pages(strip(), OPTIONS, 1.7e9, (text, size) => 0.55 * size * text.length)];
  expect(words(ecg)).toContain("Pulse: 1 mV, 200 ms.");
  expect(lines(ecg, "scale")).toEqual([]);
  expect(lines(others, "pulse")).toEqual([]);
  for (const word of ["RESP (Ohm)", "ABP (mmHg)", "To their own scales, at the left: RESP, ABP."])
    expect(words(others)).toContain(word);
  expect(words(others)).not.toContain("1 mV");
  expect(words(others)).toContain("25 mm/s · own scales");
  expect(words(ecg)).toContain("25 mm/s · 10 mm/mV");
  expect(words(others)).not.toContain("Amplitude");
  const scales = lines(others, "scale").map(({ lines: [line] }) => ({ top: line[1], bottom: line[5] }));
  const traces = lines(others, "trace").map(({ lines: [line] }) => line.filter((_, index) => index % 2 === 1));
  expect(traces).toHaveLength(2);
  for (const [row, heights] of traces.entries()) {
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(scales[row].top);
    expect(Math.max(...heights)).toBeLessThanOrEqual(scales[row].bottom);
    expect(Math.max(...heights) - Math.min(...heights)).toBeGreaterThan(0.3 * (scales[row].bottom - scales[row].top));
  }
});

it("is saved in its unit", () => {
  const csv = toCsv(strip()).join("");
  expect(csv).toContain("# units: Ohm, mV, mmHg\n");
  expect(csv).toContain("time [s],RESP [Ohm],I [mV],II [mV],III [mV],V1 [mV],ABP [mmHg]\n0,2,0,0,0,0,100\n");
  const [header] = toWfdb(strip(), "strip");
  const text = new TextDecoder().decode(header.bytes);
  expect(text).toMatch(/^strip.dat 16 1000\(0\)\/Ohm 16 0 2000 -?\d+ 0 RESP$/m);
  expect(text).toMatch(/\/mmHg 16 0 10000 -?\d+ 0 ABP$/m);
  expect(text).toMatch(/\/mV 16 0 0 -?\d+ 0 V1$/m);
  expect(text).toContain("# counts: those of the messages, unchanged");
});

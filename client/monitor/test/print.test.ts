import { describe, expect, it } from "vitest";
import { arrange, hasCabrera, nameOf, type SheetOptions } from "../src/print/arrange.js";
import { exactCounts } from "../src/print/counts.js";
import { cell, shortest, toCsv } from "../src/print/csv.js";
import type { Drawing, Lines, Writing } from "../src/print/drawing.js";
import { fileName } from "../src/print/files.js";
import { Origin } from "../src/print/origin.js";
import { gridOf, pageCount, pages } from "../src/print/page.js";
import { withResolution } from "../src/print/png.js";
import { missingOf, missingOfAll, rateOf, type Strip, stateText, stretchOf } from "../src/print/strip.js";
import { clean, fitText, span, wrap } from "../src/print/text.js";
import { ascii, digitise, toWfdb } from "../src/print/wfdb.js";
import { zip } from "../src/print/zip.js";
import { NOTHING_TOLD } from "../src/signal.js";
import { TraceBuffer } from "../src/trace-buffer.js";

const TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const OPTIONS: SheetOptions = { paper: "a4", arrangement: "rhythm", order: "standard", gain: 10 };
const START = 1.7e9;
const measure = (text: string, size: number): number => 0.55 * size * Array.from(text).length;

interface Made {
  readonly leads?: readonly string[];
  readonly rate?: number;
  readonly seconds?: number;
  readonly signal?: (lead: number, sample: number) => number;
  readonly gain?: number;
  readonly baseline?: number;
  readonly as?: "int16" | "float32";
  readonly fields?: Record<string, unknown>;
}

/** A strip of one message, as the page would have it. */
function strip(made: Made = {}): Strip {
  const { leads = TWELVE, rate = 250, seconds = 10, gain = 200, baseline = 0, as = "int16", fields = {} } = made;
  const signal = made.signal ?? ((lead, sample) => ((sample + 7 * lead) % 200) - 100);
  const samples = Math.round(seconds * rate);
  const values = leads.flatMap((_, lead) => Array.from({ length: samples }, (_, sample) => signal(lead, sample)));
  const frame = {
    signal: as === "int16" ? Int16Array.from(values) : Float32Array.from(values),
    samples,
    samplingRate: rate,
    leads,
    gain: leads.map(() => gain),
    baseline: leads.map(() => baseline),
    sequence: 0,
    timestamp: START,
    told: NOTHING_TOLD,
    isGuessed: false,
  };
  const buffer = new TraceBuffer(leads, rate, samples + 10_000);
  buffer.append(frame.signal, samples, frame.gain, frame.baseline);
  const origin = new Origin();
  origin.note(0, frame, { units: "mV", gain, ...fields });
  return {
    stream: "ecg/1",
    buffer,
    from: 0,
    to: samples,
    newest: samples,
    origin,
    rhythm: Math.max(0, leads.indexOf("II")),
    state: "live",
    isLive: true,
    marks: [],
    timeOf: (sample) => START + sample / rate,
  };
}

function drawn(of: Strip, options: Partial<SheetOptions> = {}): Drawing[] {
  return [...pages(of, { ...OPTIONS, ...options }, START + 60, measure)];
}

const texts = (page: Drawing, role: string): Writing[] =>
  page.marks.filter((mark): mark is Writing => mark.kind === "text" && mark.role === role);
const lines = (page: Drawing, role: string): Lines[] =>
  page.marks.filter((mark): mark is Lines => mark.kind === "lines" && mark.role === role);
const words = (page: Drawing): string => page.marks.map((mark) => (mark.kind === "text" ? mark.text : "")).join("\n");

describe("the arrangement of leads", () => {
  const height = gridOf("a4").height;
  const places = (names: readonly string[], options: Partial<SheetOptions>): string[][] =>
    arrange(names, { ...OPTIONS, ...options }, height).map((sheet) =>
      sheet.cells.map(({ name, row, column }) => `${name}@${row},${column}`),
    );

  it("has the layouts of an electrocardiograph", () => {
    const [rhythm] = arrange(TWELVE, OPTIONS, height);
    expect([rhythm.rows, rhythm.columns, rhythm.strip?.name]).toEqual([3, 4, "II"]);
    expect(places(TWELVE, {})[0].slice(0, 4)).toEqual(["I@0,0", "II@1,0", "III@2,0", "aVR@0,1"]);
    expect(places(TWELVE, { arrangement: "six" })[0].at(6)).toBe("V1@0,1");
    expect(places(TWELVE, { arrangement: "single" })[0].at(-1)).toBe("V6@11,0");
  });

  it("has Cabrera's order, with aVR turned", () => {
    const [sheet] = arrange(TWELVE, { ...OPTIONS, order: "cabrera" }, height);
    expect(sheet.cells.slice(0, 7).map(({ name }) => name)).toEqual(["aVL", "I", "−aVR", "II", "aVF", "III", "V1"]);
    expect(sheet.cells.filter(({ sign }) => sign === -1).map(({ lead }) => TWELVE[lead])).toEqual(["aVR"]);
    const turned = TWELVE.map((name) => (name === "aVR" ? "-aVR" : name));
    const [own] = arrange(turned, { ...OPTIONS, order: "cabrera" }, height);
    expect(own.cells.every(({ sign }) => sign === 1)).toBe(true);
    expect(hasCabrera(["I", "II", "V1"])).toBe(false);
    expect(places(["V1", "I"], { order: "cabrera" })[0]).toEqual(["I@0,0", "V1@1,0"]);
  });

  it.each([1, 2, 3, 4, 7, 8, 12, 15, 16, 31, 64])("shows each of %i leads exactly once, at every gain", (count) => {
    const names = Array.from({ length: count }, (_, lead) => TWELVE[lead] ?? `X${lead}`);
    for (const arrangement of ["rhythm", "six", "single"] as const) {
      for (const order of ["standard", "cabrera"] as const) {
        for (const gain of [5, 10, 20] as const) {
          const sheets = arrange(names, { ...OPTIONS, arrangement, order, gain }, height);
          const found = sheets.flatMap(({ cells }) => cells.map(({ lead }) => lead)).sort((a, b) => a - b);
          expect(found).toEqual(names.map((_, lead) => lead));
          for (const { cells } of sheets) {
            expect(new Set(cells.map(({ row, column }) => `${row},${column}`)).size).toBe(cells.length);
          }
        }
      }
    }
  });

  it("says what it shows of each lead", () => {
    expect(nameOf("rhythm", TWELVE, OPTIONS, height)).toBe("3×4 + 1 rhythm strip, 2.5 s of each lead");
    expect(nameOf("six", TWELVE, OPTIONS, height)).toBe("6×2, 5 s of each lead");
    expect(nameOf("single", TWELVE, OPTIONS, height)).toBe("12×1");
    expect(nameOf("single", TWELVE, { ...OPTIONS, gain: 20 }, height)).toBe("6×1, on 2 sheets");
  });
});

describe("a page", () => {
  it.each(["a4", "letter"] as const)("of %s is to scale: pulse, grid and samples", (paper) => {
    for (const gain of [5, 10, 20] as const) {
      const [page] = drawn(strip({ signal: (_, sample) => (sample === 500 ? 200 : 0) }), {
        paper,
        gain,
        arrangement: "six",
      });
      const grid = gridOf(paper);
      for (const {
        lines: [pulse],
      } of lines(page, "pulse")) {
        const [xs, ys] = [pulse.filter((_, index) => index % 2 === 0), pulse.filter((_, index) => index % 2 === 1)];
        expect(Math.max(...ys) - Math.min(...ys)).toBeCloseTo(gain, 6);
        expect(xs[4] - xs[2]).toBeCloseTo(5, 6);
        expect(Math.min(...ys)).toBeGreaterThanOrEqual(grid.y);
      }
      const [first] = lines(page, "trace");
      const [points] = first.lines;
      expect(points.length / 2).toBe(5 * 250 + 1);
      const baseline = points[1];
      expect(points[2 * 500]).toBeCloseTo(grid.x + 10 + 2 * 25, 6);
      expect(baseline - points[2 * 500 + 1]).toBeCloseTo(gain, 4);
      const [bold] = lines(page, "bold");
      const upright = bold.lines.filter(([x, , other]) => x === other).map(([x]) => x);
      expect(upright.slice(0, 3).map((x) => x - grid.x)).toEqual([0, 5, 10].map((x) => expect.closeTo(x, 6)));
    }
  });

  it.each([12, 13, 14, 15, 16])("of %i rows has a pulse in each, which touches no other", (count) => {
    const leads = Array.from({ length: count }, (_, lead) => `L${lead}`);
    for (const paper of ["a4", "letter"] as const) {
      for (const gain of [5, 10, 20] as const) {
        const sheets = drawn(strip({ leads }), { arrangement: "single", gain, paper });
        for (const page of sheets) {
          const pulses = lines(page, "pulse").map(({ lines: [pulse] }) => pulse.filter((_, index) => index % 2 === 1));
          expect(pulses.length).toBe(texts(page, "lead").length);
          for (const [row, ys] of pulses.entries())
            if (row > 0) expect(Math.min(...ys)).toBeGreaterThan(Math.max(...pulses[row - 1]) + 0.5);
        }
      }
    }
    const [first, ...others] = drawn(strip({ leads }), { arrangement: "single" });
    expect(lines(first, "pulse").length).toBe(count <= 14 ? count : Math.ceil(count / 2));
    expect(others.length).toBe(count <= 14 ? 0 : 1);
  });

  it("has no name through which a QRS runs, wherever the beats are", () => {
    const struck = new Set<string>();
    for (const phase of [0, 20, 40, 90]) {
      for (const height of [300, -300]) {
        const qrs = (_: number, sample: number): number => {
          const at = (sample + phase) % 200;
          return at < 16 ? height * Math.sin((at / 16) * Math.PI) : 0;
        };
        for (const arrangement of ["rhythm", "six", "single"] as const) {
          for (const page of drawn(strip({ signal: qrs }), { arrangement })) {
            const traces = lines(page, "trace");
            const names = texts(page, "lead");
            expect(names.length).toBeGreaterThan(0);
            for (const { text, x, y, size } of names) {
              const right = x + measure(text, size);
              for (const points of traces.flatMap(({ lines: all }) => all))
                for (let at = 0; at < points.length; at += 2) {
                  const isIn = points[at] > x && points[at] < right && points[at + 1] > y - size && points[at + 1] < y;
                  if (isIn) struck.add(`${arrangement}, ${text}, phase ${phase}, height ${height}`);
                }
            }
          }
        }
      }
    }
    expect([...struck]).toEqual([]);
  });

  it("tells and marks the pacing spikes that only the signal shows", () => {
    const paced = strip();
    for (const sample of [300, 500, 700]) paced.buffer.markSpike({ sample, seen: true });
    paced.buffer.markSpike({ sample: 900, seen: false });
    const [page] = drawn(paced, { arrangement: "single" });
    expect(words(page)).toContain("3 pacing spikes detected in the signal, marked below the traces.");
    expect(lines(page, "spike").map(({ lines: all }) => all.length)).toEqual(Array(12).fill(3));
    expect(words(drawn(strip(), {})[0])).not.toContain("pacing spike");
  });

  it("keeps everything on the paper, and no name over another, whatever the names", () => {
    const long = Array.from({ length: 15 }, (_, lead) => `${lead} ${"very long name ".repeat(lead * lead)}`);
    for (const arrangement of ["rhythm", "six", "single"] as const) {
      for (const page of drawn(strip({ leads: long }), { arrangement })) {
        const boxes = texts(page, "lead").map(({ text, x, y, size }) => ({
          left: x,
          right: x + measure(text, size),
          top: y - size,
          bottom: y,
        }));
        expect(boxes.length).toBeGreaterThan(6);
        for (const [index, one] of boxes.entries()) {
          expect(one.right).toBeLessThan(gridOf("a4").x + gridOf("a4").width);
          for (const other of boxes.slice(index + 1)) {
            const apart =
              one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top;
            expect(apart).toBe(true);
          }
        }
        for (const mark of page.marks) {
          if (mark.kind !== "text") continue;
          expect(mark.y).toBeLessThan(page.height - 4);
          expect(mark.x + measure(mark.text, mark.size)).toBeLessThan(page.width);
        }
        expect(words(page)).toMatch(/Not everything fits|Name in full/);
      }
    }
  });

  it("says who, when and how, and what the messages do not say", () => {
    const [plain] = drawn(strip());
    for (const text of [
      "Patient not stated",
      "Stream ecg/1",
      "Filter not stated",
      "25 mm/s · 10 mm/mV",
      "When taken: live",
      "Page 1 of 1",
    ]) {
      expect(words(plain)).toContain(text);
    }
    const fields = {
      patient_id: 4711,
      device_id: "bed 7",
      filter: { highpass: 0.05, lowpass: 150 },
      pacing: true,
      lead_status: TWELVE.map((name) => (name === "V1" ? "off" : "ok")),
    };
    const [told] = drawn({ ...strip({ fields }), state: "delayed 24 s", isLive: false });
    for (const text of [
      "Patient 4711",
      "device bed 7",
      "Filter highpass 0.05, lowpass 150",
      "Pacing, stated by the sender: on.",
      "Leads, stated by the sender: V1 off.",
      "When taken: delayed 24 s",
    ]) {
      expect(words(told)).toContain(text);
    }
    expect(words(drawn({ ...strip(), timeOf: () => Number.NaN })[0])).toContain("Date and time not stated");
  });

  it("hatches and names what is missing, of one lead and of all, and draws no line across", () => {
    const one = strip({
      leads: ["I", "II"],
      as: "float32",
      gain: 1,
      signal: (lead, sample) => (lead === 1 && sample >= 500 && sample < 800 ? Number.NaN : 0.5),
    });
    const [page] = drawn(one, { arrangement: "single" });
    const areas = page.marks.filter(({ role }) => role === "gap");
    expect(areas).toHaveLength(1);
    const grid = gridOf("a4");
    expect(areas[0]).toMatchObject({ x: expect.closeTo(grid.x + 10 + 50, 6), width: expect.closeTo(30, 6) });
    expect(texts(page, "gap-text").map(({ text }) => text)).toEqual(["missing 1.20 s"]);
    expect(words(page)).toMatch(/Missing, hatched: 1\.20 s at \S+ \(II\)/);
    expect(lines(page, "trace").map(({ lines: each }) => each.length)).toEqual([1, 2]);

    const all = strip({ leads: ["I", "II"], seconds: 5 });
    all.buffer.skip(250);
    const [gap] = drawn({ ...all, to: all.buffer.end }, { arrangement: "single" });
    expect(gap.marks.filter(({ role }) => role === "gap")).toHaveLength(2);
    expect(words(gap)).toContain("(all leads)");
    expect(words(gap)).toContain("The strip ends 6.00 s into this page.");
  });

  it("says what does not fit: amplitudes beyond the paper, and units that were guessed", () => {
    const [page] = drawn(
      strip({ leads: ["I", "II"], signal: (lead) => (lead === 0 ? 8000 : 0), fields: { units: "counts" } }),
    );
    expect(words(page)).toContain("Cut at the edge of the paper: I.");
    expect(words(page)).toContain('unit "counts" is not a voltage');
    const [fast] = drawn({ ...strip(), timeOf: (sample) => START + sample / 1000 });
    expect(words(drawn({ ...strip(), newest: 2500 + 62 * 250 })[0])).toContain("ends 62 s before the newest sample");
    expect(words(fast)).toContain("By the stream's clock, these 10.00 s took 2.50 s.");
  });

  it("has ten seconds each, one after the other", () => {
    const long = strip({ seconds: 25 });
    expect(pageCount(long, OPTIONS)).toBe(3);
    const found = drawn(long);
    expect(found.map(({ title }) => title.slice(0, 25))).toEqual(
      [1, 2, 3].map((page) => `ECG of ecg/1, page ${page} of 3`),
    );
    const rhythm = found.map((page) => lines(page, "trace").at(-1)?.lines[0].length);
    expect(rhythm.map((length) => (length ?? 0) / 2)).toEqual([2500, 2500, 1250]);
  });
});

describe("what is said of a strip", () => {
  it("is the age, not that something arrived", () => {
    expect(stateText({ isLost: false, badge: "Live", age: 0.2 })).toEqual({ text: "live", isLive: true });
    expect(stateText({ isLost: false, badge: "Live", age: 24.1 })).toEqual({ text: "delayed 24 s", isLive: false });
    expect(stateText({ isLost: false, badge: "Delayed 3 min", age: 0 })).toEqual({
      text: "delayed 3 min",
      isLive: false,
    });
    expect(stateText({ isLost: true, badge: "Lost", age: 7 }).text).toBe("signal lost (Lost), newest sample 7 s old");
    expect(stateText({ isLost: false, badge: "Live", age: -30 }).text).toBe("clocks differ: newest sample 30 s ahead");
    expect(stateText({ isLost: false, badge: "Live", age: Number.NaN }).text).toBe("age not stated");
    expect([119, 600, 9000, 200_000].map(span)).toEqual(["119 s", "10 min", "3 h", "2 days"]);
  });

  it("begins where the screen does, or ends with the newest", () => {
    const buffer = { start: 100, end: 5100, samplingRate: 250 };
    expect(stretchOf(buffer, Number.POSITIVE_INFINITY, 10)).toEqual({ from: 2600, to: 5100 });
    expect(stretchOf(buffer, 1000, 10)).toEqual({ from: 1000, to: 3500 });
    expect(stretchOf(buffer, 4000, 10)).toEqual({ from: 2600, to: 5100 });
    expect(stretchOf(buffer, 4000, 60)).toEqual({ from: 100, to: 5100 });
  });

  it("has a rate of the intervals, those across a gap aside", () => {
    const of = strip({
      leads: ["II"],
      as: "float32",
      gain: 1,
      signal: (_, sample) => (sample > 1000 && sample < 1100 ? Number.NaN : 0),
    });
    expect(rateOf(of, [100, 350, 600, 850, 1300, 1550], 0, 2500)).toBe(60);
    expect(rateOf(of, [100], 0, 2500)).toBeNaN();
    expect(missingOf(of.buffer, 0, 0, 2500)).toEqual([{ from: 1001, to: 1100 }]);
    expect(missingOfAll(of)[0].leads).toEqual([0]);
  });

  it("has the patient and the filter of just these samples", () => {
    const origin = new Origin();
    const frame = {
      signal: Int16Array.of(1),
      samples: 1,
      samplingRate: 1,
      leads: ["I"],
      gain: [200],
      baseline: [0],
      sequence: 0,
      timestamp: null,
      told: NOTHING_TOLD,
      isGuessed: false,
    };
    origin.note(0, frame, { patient_id: "A", filter: ["0.05 Hz", "50 Hz"] });
    origin.note(100, frame, { patient_id: "B" });
    expect(origin.said(0, 100)).toMatchObject({ patient: "A", filter: "0.05 Hz, 50 Hz" });
    expect(origin.said(50, 150).patient).toBe("A, then B");
    expect(origin.said(100, 150)).toMatchObject({ patient: "B", filter: "" });
    origin.note(200, { ...frame, gain: [100] }, { patient_id: "B" });
    expect(origin.calibration(100, 200)?.gain).toEqual([200]);
    expect(origin.calibration(150, 250)).toBeNull();
  });
});

describe("counts", () => {
  it.each([200, 1000, 4.88, 0.3, -200, 3276.7])("come back exactly at a gain of %d", (gain) => {
    const of = strip({
      leads: ["I"],
      gain,
      baseline: -17,
      signal: (_, sample) => ((sample * 7919) % 65_536) - 32_768,
      seconds: 40,
    });
    const exact = exactCounts(of, of.origin.calibration(of.from, of.to), 0);
    const expected = Array.from({ length: 10_000 }, (_, sample) => ((sample * 7919) % 65_536) - 32_768);
    expect(Array.from(exact?.counts ?? [])).toEqual(expected);
  });

  it("are not made up where there were none, or they were too large to be told exactly", () => {
    const floats = strip({ leads: ["I"], as: "float32", gain: 1, signal: () => 0.1 });
    expect(exactCounts(floats, floats.origin.calibration(0, 10), 0)).toBeNull();
    const huge = strip({ leads: ["I"], as: "float32", gain: 1, signal: () => 2 ** 23 });
    expect(exactCounts(huge, huge.origin.calibration(0, 10), 0)).toBeNull();
    const between = strip({ leads: ["I"], baseline: 0.5 });
    expect(exactCounts(between, between.origin.calibration(0, 10), 0)).toBeNull();
  });
});

describe("CSV", () => {
  it("has the time, each lead with its unit, and empty cells for what is missing", () => {
    const text = toCsv(
      strip({
        leads: ["I", "II"],
        rate: 4,
        seconds: 1,
        as: "float32",
        gain: 1,
        signal: (lead, sample) => (lead === 1 && sample === 2 ? Number.NaN : sample / 10),
      }),
    ).join("");
    const rows = text.split("\n").filter((line) => !line.startsWith("#"));
    expect(rows).toEqual(["time [s],I [mV],II [mV]", "0,0,0", "0.25,0.1,0.1", "0.5,0.2,", "0.75,0.3,0.3", ""]);
    expect(text).toContain("# missing: 0.500 to 0.750 s (II)\n");
    expect(text).toContain("# resolution: float32: 24 bits of each value\n");
    expect(text).toContain("# filter: not stated\n");
  });

  it("has the counts' own values, and how to come back to them", () => {
    const text = toCsv(
      strip({ leads: ["I"], rate: 2, seconds: 1, gain: 1000, baseline: 3, signal: (_, sample) => sample + 4 }),
    ).join("");
    expect(text).toContain("# adc_gain: 1000\n# adc_baseline: 3\n");
    expect(text).toContain("\n0,0.001\n0.5,0.002\n");
  });

  it("is no program for a spreadsheet", () => {
    expect(["＝1", "=1+1", "+1", "-aVR", "@SUM(A1)", " \t=x", "I"].map(cell)).toEqual([
      "'＝1",
      "'=1+1",
      "'+1",
      "'-aVR",
      "'@SUM(A1)",
      "' \ufffd=x",
      "I",
    ]);
    expect(cell('a,"b"\nc')).toBe('"a,""b""\ufffdc"');
    const text = toCsv(strip({ leads: ['=cmd|"x"!A1'], seconds: 0.1, fields: { patient_id: 'x,=1+1;@y\t"=2' } })).join(
      "",
    );
    for (const line of text.split("\n")) {
      for (const piece of line.replace(/^# /, "").split(/[,;\t]/)) expect(piece).not.toMatch(/^\s*"?\s*[=+@-]\D/);
    }
  });

  it("writes a float32 with the digits that tell it apart", () => {
    for (const value of [0.1, -1 / 3, 1e-7, 12.345678, 16_777_215])
      expect(Math.fround(Number(shortest(Math.fround(value))))).toBe(Math.fround(value));
    expect([shortest(Math.fround(0.1)), shortest(Number.NaN), shortest(Number.POSITIVE_INFINITY)]).toEqual([
      "0.1",
      "",
      "",
    ]);
  });
});

describe("WFDB", () => {
  it("keeps counts as they are, and marks what is missing", () => {
    const of = strip({ leads: ["I", "µ"], rate: 500, seconds: 1, baseline: 5 });
    of.buffer.skip(2);
    const [header, data] = toWfdb({ ...of, to: of.buffer.end }, "name");
    const text = new TextDecoder().decode(header.bytes).split("\n");
    expect(text[0]).toBe("name 2 500 502 22:13:20.000000 14/11/2023");
    expect(text[1]).toMatch(/^name\.dat 16 200\(5\)\/mV 16 0 -100 -?\d+ 0 I$/);
    expect(text[2]).toMatch(/ 0 \\u00b5$/);
    expect(text).toContain("# counts: those of the messages, unchanged");
    const counts = new Int16Array(data.bytes.buffer);
    expect([counts[0], counts[1], counts[2]]).toEqual([-100, -93, -99]);
    expect(Array.from(counts.slice(-4))).toEqual([-32768, -32768, -32768, -32768]);
  });

  it("moves counts that do not fit, rounds what are none, and says so", () => {
    const low = strip({ leads: ["I"], signal: (_, sample) => -32_768 + sample });
    const moved = digitise(low, exactCounts(low, low.origin.calibration(0, low.to), 0), 0);
    expect(moved.change).toMatch(/is subtracted from each count/);
    expect((moved.counts[7] - moved.baseline) / moved.gain).toBeCloseTo(-32_761 / 200, 9);
    expect(moved.counts.includes(-32_768)).toBe(false);
    const floats = strip({ leads: ["I"], as: "float32", gain: 1, signal: (_, sample) => 300 + Math.sin(sample) });
    const rounded = digitise(floats, null, 0);
    expect(rounded.change).toMatch(/^rounded to steps of 0\.00005 mV/);
    for (let sample = 0; sample < 100; sample += 1) {
      const back = (rounded.counts[sample] - rounded.baseline) / rounded.gain;
      expect(Math.abs(back - floats.buffer.at(0, sample))).toBeLessThan(0.5001 / rounded.gain);
    }
    const off = strip({ leads: ["I"], as: "float32", gain: 1, signal: () => Number.NaN });
    expect(new Set(digitise(off, null, 0).counts)).toEqual(new Set([-32_768]));
    expect(ascii("Ł\n1")).toBe("\\u0141\\u000a1");
  });

  it("has a name that every file system takes", () => {
    expect(fileName({ ...strip(), stream: "../../Bett 7 µ" }, START)).toBe("Bett-7_20231114T221320Z");
  });
});

describe("files", () => {
  it("are put into a zip with their sums", () => {
    const made = zip([{ name: "a.txt", bytes: new TextEncoder().encode("123456789") }], START);
    const view = new DataView(made.buffer);
    expect(view.getUint32(14, true)).toBe(0xcbf43926);
    expect(view.getUint32(made.length - 6, true)).toBe(30 + 5 + 9);
  });

  it("say their resolution, where they are pictures", () => {
    const png = Uint8Array.from({ length: 60 }, (_, index) => index);
    const made = withResolution(png, 300 / 25.4);
    expect(made.length).toBe(81);
    expect(new TextDecoder().decode(made.slice(37, 41))).toBe("pHYs");
    expect(new DataView(made.buffer).getUint32(41)).toBe(11811);
    expect(Array.from(made.slice(54))).toEqual(Array.from(png.slice(33)));
  });
});

describe("text from outside", () => {
  it("stays on one line and in its direction", () => {
    expect(clean("a\nb\u202ec\u2028d")).toBe("a\ufffdb\ufffdc\ufffdd");
    expect(clean("می\u200cخواهم")).toBe("می\u200cخواهم");
  });

  it("is made smaller, then cut, so that it fits", () => {
    expect(fitText("II", 50, 3, measure)).toEqual({ text: "II", size: 3, isCut: false });
    const smaller = fitText("x".repeat(20), 30, 3, measure);
    expect([smaller.isCut, smaller.size < 3, measure(smaller.text, smaller.size) <= 30]).toEqual([false, true, true]);
    const cut = fitText("x".repeat(1e6), 30, 3, measure);
    expect([cut.isCut, cut.text.endsWith("…"), measure(cut.text, cut.size) <= 30]).toEqual([true, true, true]);
    for (const line of wrap(`${"word ".repeat(50)}${"x".repeat(500)}`, 40, 3, measure)) {
      expect(measure(line, 3)).toBeLessThanOrEqual(40);
    }
  });
});

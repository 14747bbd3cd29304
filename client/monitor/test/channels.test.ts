import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Message, MessageType, NdArray } from "../../src/index.js";
import { Calipers, describe as describeMeasure } from "../src/calipers.js";
import { type Channel, channelOf, ECG, perMillivolt } from "../src/channels.js";
import { ecgFrame } from "../src/feed.js";
import { heartDetectorFor } from "../src/heart-detection.js";
import { rhythmLead } from "../src/layout.js";
import { courseOf, OwnRanges, rangeFor, withOwnScales } from "../src/own-scale.js";
import { PALETTES } from "../src/palette.js";
import { sheet } from "../src/sheet.js";
import { EcgSignal } from "../src/signal.js";
import { TraceBuffer } from "../src/trace-buffer.js";

interface Case {
  readonly name: string;
  readonly unit: string | null;
  readonly kind: string;
}

const cases = JSON.parse(
  readFileSync(new URL("../../../tests/vectors/channels.json", import.meta.url), "utf8"),
) as readonly Case[];

const RESP: Channel = { kind: "resp", unit: "Ohm" };
const PRESSURE: Channel = { kind: "pressure", unit: "mmHg" };

it.each(cases)("$name in $unit is $kind", ({ name, unit, kind }) => {
  expect(channelOf(name, unit).kind).toBe(kind);
});

it("voltages are those of the usual prefixes, whichever micro sign they have", () => {
  const units = ["V", "mV", "uV", "µV", "μV", "nV", "millivolts", "microvolt", "volt", "mmHg", ""];
  expect(units.map(perMillivolt)).toEqual([0.001, 1, 1000, 1000, 1000, 1e6, 1, 1000, 0.001, null, null]);
});

describe("a message with other signals", () => {
  const fields = {
    signal: new NdArray(Int16Array.of(200, 400, 50, 60, 300, 320), [3, 2]),
    sampling_rate: 250,
    leads: ["RESP", "II", "ABP"],
    units: "uV",
    lead_units: ["Ohm", "uV", "mmHg"],
    gain: [100, 0.2, 2],
    baseline: [0, 0, 100],
  };
  const message = (data: object): Message => {
    return { type: MessageType.ECG_DATA, version: 3, flags: 0, timestamp: 1n, data, frameBytes: 9, payloadBytes: 9 };
  };

  it("converts the ECG to millivolts, and leaves the others in their units", () => {
    const frame = ecgFrame(message(fields));
    expect(frame.gain).toEqual([100, 200, 2]);
    expect(frame.channels).toEqual([RESP, ECG, PRESSURE]);
    expect(frame.isGuessed).toBe(false);
    const signal = new EcgSignal(frame, heartDetectorFor(frame));
    signal.take(frame, 0);
    expect([0, 1, 2].map((lead) => signal.buffer.at(lead, 1))).toEqual([4, Math.fround(0.3), 110]);
    expect(signal.rhythm).toBe(1);
    expect(signal.detector?.leads).toEqual(["II"]);
  });

  it("takes no unit for an ECG's that the sender states for all leads", () => {
    const frame = ecgFrame(message({ ...fields, lead_units: undefined, units: "mmHg", leads: ["ABP", "ART", "CVP"] }));
    expect(frame.channels?.map(({ kind }) => kind)).toEqual(["pressure", "pressure", "pressure"]);
    expect(frame.gain).toEqual([100, 0.2, 2]);
    expect(heartDetectorFor(frame)).toBeNull();
    expect(new EcgSignal(frame, null).refusal).toBe("No ECG lead");
  });

  it("is another signal if a unit changes", () => {
    const frame = ecgFrame(message(fields));
    const signal = new EcgSignal(frame, null);
    expect(signal.fits(frame)).toBe(true);
    expect(signal.fits(ecgFrame(message({ ...fields, lead_units: ["Ohm", "uV", "kPa"] })))).toBe(false);
  });

  it("ignores units that are not one for each lead", () => {
    for (const lead_units of [["Ohm"], "Ohm", [1, 2, 3]])
      expect(ecgFrame(message({ ...fields, lead_units })).channels?.[0]).toEqual({ kind: "resp", unit: "uV" });
  });
});

describe("a scale of its own", () => {
  it("is a round range that holds all values; that of a pressure begins at 0", () => {
    for (const [low, high] of [
      [0.1, 0.9],
      [-3, 70],
      [97, 97],
      [0, 0],
      [1e6, 1.2e6],
    ]) {
      const range = rangeFor({ low, high }, RESP);
      expect(range.low).toBeLessThanOrEqual(low);
      expect(range.high).toBeGreaterThanOrEqual(high);
      expect(range.high).toBeGreaterThan(range.low);
    }
    expect(rangeFor({ low: 78, high: 122 }, PRESSURE)).toEqual({ low: 0, high: 140 });
    expect(rangeFor({ low: 0.1, high: 0.9 }, RESP)).toEqual({ low: 0, high: 1 });
  });

  it("grows at once, and is made smaller after some time", () => {
    const buffer = new TraceBuffer(["RESP"], 10, 1000, [RESP]);
    const ranges = new OwnRanges(buffer.channels);
    const add = (value: number, samples: number): boolean => {
      buffer.append(
        new Float32Array(samples).map((_, index) => (index % 2) * value),
        samples,
        [1],
        [0],
      );
      return ranges.follow(buffer);
    };
    expect([add(1, 10), add(1, 10), add(100, 2), add(1, 10)]).toEqual([true, false, true, false]);
    expect(ranges.of(0)?.high).toBeGreaterThanOrEqual(100);
    add(1, 299);
    add(1, 299);
    expect(ranges.of(0)?.high).toBeLessThan(2);
  });

  it("puts every value inside of its row, below the ECG, over the whole sheet", () => {
    const names = ["RESP", "I", "II", "III", "V1"];
    const channels = [RESP, ECG, ECG, ECG, ECG];
    const buffer = new TraceBuffer(names, 10, 100, channels);
    buffer.append(
      Float32Array.from({ length: 50 }, (_, index) => index % 10),
      10,
      [1, 1, 1, 1, 1],
      [0, 0, 0, 0, 0],
    );
    const ranges = new OwnRanges(channels);
    ranges.follow(buffer);
    const layout = withOwnScales(sheet(names, 1400, 800, { speed: 25, gain: 10 }, channels), ranges);
    const last = layout.panels.at(-1);
    expect(last?.traces.map(({ name }) => name)).toEqual(["II", "RESP"]);
    expect(last?.seconds).toBe(10);
    const resp = last?.traces[1];
    if (resp === undefined) throw new Error("it is not there");
    const { baseline, millivolt } = courseOf(resp, layout.scale);
    for (const value of [0, 9]) {
      expect(baseline - value * millivolt).toBeGreaterThan(resp.top);
      expect(baseline - value * millivolt).toBeLessThan(resp.top + resp.height);
    }
    expect(rhythmLead(names, channels)).toBe(2);
    expect(rhythmLead(["RESP", "V1"], [RESP, ECG])).toBe(1);
  });

  it("gives calipers its unit", () => {
    const measure = new Calipers(0, 0, { sample: 0, value: 80 }, { sample: 200, value: 121.6 }).measure(250);
    expect(describeMeasure(measure, PRESSURE)).toBe("800 ms · 75/min · +41.6 mmHg");
    expect(describeMeasure(measure, { kind: "pleth", unit: "" })).toBe("800 ms · 75/min · +41.6 (no unit stated)");
  });
});

/** The contrast of two colours, as WCAG defines it. */
function contrast(one: string, other: string): number {
  const light = (colour: string): number => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
}

it.each(["dark", "light"] as const)("names and scales can be read in the %s theme", (theme) => {
  const { paper, bold, resp, pleth, pressure, other } = PALETTES[theme];
  for (const colour of [resp, pleth, pressure, other]) {
    expect(contrast(colour, paper)).toBeGreaterThan(4.5);
    expect(contrast(colour, bold)).toBeGreaterThan(3);
  }
});

import { describe, expect, it } from "vitest";
import { bedside } from "../src/bedside.js";
import { Calipers, describe as describeMeasure } from "../src/calipers.js";
import type { Layout } from "../src/layout.js";
import { FOOT, leastRow, rhythmLead } from "../src/layout.js";
import { millivolt, second } from "../src/scale.js";
import { sheet } from "../src/sheet.js";

const TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const FIFTEEN = [...TWELVE, "X", "Y", "Z"];
const SCALE = { speed: 25, gain: 10 } as const;

const namesOf = (layout: Layout): string[][] => layout.panels.map(({ traces }) => traces.map(({ name }) => name));

describe("the sheet", () => {
  it("has four columns of three leads one after the other, and the rhythm below", () => {
    const layout = sheet(TWELVE, 1400, 800, SCALE);
    expect(namesOf(layout)).toEqual([
      ["I", "II", "III"],
      ["aVR", "aVL", "aVF"],
      ["V1", "V2", "V3"],
      ["V4", "V5", "V6"],
      ["II"],
    ]);
    expect(layout.panels.map(({ begin, seconds }) => [begin, seconds])).toEqual([
      [0, 2.5],
      [2.5, 2.5],
      [5, 2.5],
      [7.5, 2.5],
      [0, 10],
    ]);
    expect(layout.period).toBe(10);
    for (const panel of layout.panels) expect(panel.width).toBeCloseTo(panel.seconds * second(layout.scale), 9);
  });

  it("puts leads that come in another order where a cardiologist looks for them", () => {
    const mixed = ["V6", "V5", "V4", "V3", "V2", "V1", "avf", "avl", "avr", "III", "II", "I"];
    expect(namesOf(sheet(mixed, 1400, 800, SCALE)).slice(0, 2)).toEqual([
      ["I", "II", "III"],
      ["avr", "avl", "avf"],
    ]);
  });

  it("takes any number of leads", () => {
    expect(namesOf(sheet(FIFTEEN, 1400, 800, SCALE))[4]).toEqual(["X", "Y", "Z"]);
    expect(namesOf(sheet(["MLII", "V5"], 1400, 800, SCALE))).toEqual([["MLII", "V5"]]);
  });

  it("gives a lead that is alone the page, in lines of whole ten seconds", () => {
    for (const [width, height] of [
      [390, 600],
      [1366, 560],
      [1920, 850],
    ]) {
      const layout = sheet(["ECG"], width, height, SCALE);
      expect(layout.panels.reduce((sum, { seconds }) => sum + seconds, 0)).toBe(10);
      expect(layout.width).toBeLessThanOrEqual(width);
      expect(layout.height).toBeGreaterThan(0.95 * height);
      expect(layout.panels.length).toBeGreaterThan(1);
    }
  });

  it("is a second to 25 mm and a millivolt to 10 mm, on whatever screen", () => {
    for (const width of [390, 800, 1400, 3000]) {
      const { scale } = sheet(TWELVE, width, 800, SCALE);
      expect(second(scale) / millivolt(scale)).toBe(2.5);
      expect(scale.millimetre * 2).toBe(Math.round(scale.millimetre * 2));
    }
  });
});

describe("the bedside's sweep", () => {
  it("shows every lead once, in two columns where there is room", () => {
    expect(namesOf(bedside(TWELVE, 1400, 800, SCALE))).toEqual([TWELVE.slice(0, 6), TWELVE.slice(6)]);
    expect(namesOf(bedside(TWELVE, 390, 700, SCALE))).toEqual([TWELVE]);
    expect(namesOf(bedside(FIFTEEN, 1400, 800, SCALE)).flat()).toEqual(FIFTEEN);
    expect(namesOf(bedside(["I", "II", "III"], 1400, 800, SCALE))).toEqual([["I", "II", "III"]]);
  });

  it("keeps every trace in its panel, and is higher than the screen where rows would be too low", () => {
    for (const layout of [bedside(FIFTEEN, 390, 300, SCALE), bedside(TWELVE, 1400, 800, SCALE)]) {
      for (const panel of layout.panels) {
        for (const trace of panel.traces) {
          expect(trace.baseline).toBeGreaterThan(panel.y);
          expect(trace.baseline).toBeLessThan(panel.y + panel.height);
        }
        expect(panel.x + panel.width).toBeLessThanOrEqual(layout.width);
      }
    }
    const low = bedside(FIFTEEN, 390, 300, SCALE);
    expect(low.height).toBeGreaterThanOrEqual(15 * leastRow(10) * low.scale.millimetre);
  });

  it("lets a lead that is alone go on from line to line, and gives few leads more room", () => {
    for (const [width, height] of [
      [390, 650],
      [1366, 560],
      [1920, 850],
    ]) {
      const { panels, period } = bedside(["II"], width, height, SCALE);
      expect(panels.length).toBeGreaterThan(1);
      expect(panels.map(({ begin }) => begin)).toEqual(panels.map((_, line) => (line * period) / panels.length));
    }
    const scale = (leads: string[]): number => bedside(leads, 1920, 850, SCALE).scale.millimetre;
    expect(scale(["I", "II"])).toBeGreaterThan(scale(TWELVE));
  });

  it("has its leads in rows of equal height, in both columns", () => {
    const [left, right] = bedside(FIFTEEN, 1400, 800, SCALE).panels;
    expect(right.traces.map(({ baseline }) => baseline)).toEqual(
      left.traces.slice(0, 7).map(({ baseline }) => baseline),
    );
  });

  it("never cuts a calibration pulse, at any gain and size", () => {
    for (const gain of [5, 10, 20] as const) {
      for (const [width, height] of [
        [1920, 850],
        [1366, 560],
        [820, 900],
        [390, 600],
        [683, 230],
      ]) {
        for (const leads of [["I"], ["I", "II"], TWELVE, FIFTEEN]) {
          for (const arrange of [bedside, sheet]) {
            const { panels, scale, height: paper } = arrange(leads, width, height, { speed: 25, gain });
            const baselines = panels.flatMap(({ traces }) => traces.filter(({ calibrated }) => calibrated));
            for (const { baseline } of baselines) {
              expect(baseline - millivolt(scale)).toBeGreaterThan(0);
              expect(baseline).toBeLessThan(paper - FOOT);
            }
            for (const { traces } of panels) {
              for (const [row, { baseline }] of traces.entries()) {
                const before = row === 0 ? undefined : traces[row - 1];
                if (before !== undefined) expect(baseline - millivolt(scale)).toBeGreaterThan(before.baseline);
              }
            }
          }
        }
      }
    }
  });
});

it("the rhythm is that of lead II, by either of its names, or of the first", () => {
  expect([rhythmLead(TWELVE), rhythmLead(["V5", "MLII"]), rhythmLead(["V1", "V5"]), rhythmLead([])]).toEqual([
    1, 1, 0, 0,
  ]);
});

describe("calipers", () => {
  const calipers = (): Calipers =>
    new Calipers(0, 0, { sample: 100, millivolts: 0.2 }, { sample: 300, millivolts: 1.05 });

  it("read milliseconds, a rate and millivolts, from left to right", () => {
    expect(describeMeasure(calipers().measure(500))).toBe("400 ms · 150/min · +0.85 mV");
    expect(
      describeMeasure(
        new Calipers(0, 0, { sample: 300, millivolts: 0 }, { sample: 290, millivolts: 0.5 }).measure(500),
      ),
    ).toBe("20 ms · −0.50 mV");
  });

  it("move by the corner that is active", () => {
    const moved = calipers();
    moved.move(10, 0.1);
    moved.swap();
    moved.move(-10, 0);
    expect(moved.corners).toEqual([
      { sample: 90, millivolts: 0.2 },
      { sample: 310, millivolts: 1.1500000000000001 },
    ]);
  });
});

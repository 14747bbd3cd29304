import { describe, expect, it } from "vitest";
import { bedside } from "../src/bedside.js";
import { Calipers, describe as describeMeasure } from "../src/calipers.js";
import type { Layout } from "../src/layout.js";
import { FOOT, leastRow, rhythmLead } from "../src/layout.js";
import { PALETTES } from "../src/palette.js";
import { drawLabels, PLATE } from "../src/paper.js";
import { pixelsPerMillivolt, pixelsPerSecond } from "../src/scale.js";
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
    for (const panel of layout.panels)
      expect(panel.width).toBeCloseTo(panel.seconds * pixelsPerSecond(layout.scale), 9);
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
      expect(pixelsPerSecond(scale) / pixelsPerMillivolt(scale)).toBe(2.5);
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

  it("shows all leads in more columns where they would not fit, and no empty column", () => {
    for (const [width, height] of [
      [683, 246],
      [683, 205],
      [900, 200],
      [1366, 300],
    ]) {
      for (const names of [FIFTEEN, TWELVE, FIFTEEN.slice(0, 7)]) {
        const layout = bedside(names, width, height, SCALE);
        expect(layout.height).toBeLessThanOrEqual(height);
        expect(namesOf(layout).flat()).toEqual(names);
        for (const { traces, seconds } of layout.panels) {
          expect(traces.length).toBeGreaterThan(0);
          expect(seconds).toBeGreaterThan(2.3);
        }
      }
    }
    // Where it is of no use, seconds are worth more.
    expect(bedside(FIFTEEN, 683, 100, SCALE).panels.length).toBe(2);
    expect(bedside(FIFTEEN, 683, 246, { speed: 50, gain: 10 }).panels.length).toBe(2);
    expect(bedside(FIFTEEN, 390, 400, SCALE).panels.length).toBe(1);
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
              expect(baseline - pixelsPerMillivolt(scale)).toBeGreaterThan(0);
              expect(baseline).toBeLessThan(paper - FOOT);
            }
            for (const { traces } of panels) {
              for (const [row, { baseline }] of traces.entries()) {
                const before = row === 0 ? undefined : traces[row - 1];
                if (before !== undefined) expect(baseline - pixelsPerMillivolt(scale)).toBeGreaterThan(before.baseline);
              }
            }
          }
        }
      }
    }
  });
});

describe("names", () => {
  /** A canvas that notes boxes and texts, with letters as wide as they are high. */
  class Notes {
    readonly boxes: { x: number; y: number; right: number; bottom: number; colour: string; alpha: number }[] = [];
    readonly texts: {
      text: string;
      x: number;
      y: number;
      right: number;
      bottom: number;
      colour: string;
      at: number;
    }[] = [];
    font = "";
    fillStyle = "";
    globalAlpha = 1;
    setTransform(): void {}
    beginPath(): void {}
    moveTo(): void {}
    lineTo(): void {}
    stroke(): void {}
    get #size(): number {
      return Number(/([\d.]+)px/.exec(this.font)?.[1]);
    }
    measureText(text: string): { width: number } {
      return { width: text.length * this.#size };
    }
    fillRect(x: number, y: number, width: number, height: number): void {
      this.boxes.push({ x, y, right: x + width, bottom: y + height, colour: this.fillStyle, alpha: this.globalAlpha });
    }
    fillText(text: string, x: number, y: number): void {
      const [right, bottom] = [x + this.measureText(text).width, y + this.#size];
      expect(this.globalAlpha).toBe(1);
      this.texts.push({ text, x, y, right, bottom, colour: this.fillStyle, at: this.boxes.length });
    }
  }

  it("have a plate of their own behind all letters, and beside them", () => {
    for (const palette of Object.values(PALETTES)) {
      for (const layout of [sheet(TWELVE, 1400, 800, SCALE), bedside(TWELVE, 390, 600, { speed: 25, gain: 20 })]) {
        const notes = new Notes();
        drawLabels(notes as unknown as CanvasRenderingContext2D, layout, palette, 1);
        for (const name of TWELVE) expect(notes.texts.map(({ text }) => text)).toContain(name);
        for (const { text, x, y, right, bottom, at } of notes.texts) {
          const plate = notes.boxes[at - 1];
          expect([text, plate.colour, plate.alpha]).toEqual([text, palette.paper, PLATE.opacity]);
          expect(plate.x).toBeLessThanOrEqual(x - 3); // a stroke beside "I" would make "II" of it
          expect(plate.right).toBeGreaterThanOrEqual(right + 3);
          expect(plate.y).toBeLessThanOrEqual(y);
          expect(plate.bottom).toBeGreaterThanOrEqual(bottom);
        }
      }
    }
  });

  it("can be read where a trace runs through them, in a contrast of 4.5 to 1, and the trace can be seen", () => {
    for (const { paper, trace, name } of Object.values(PALETTES)) {
      const crossed = mixed(trace, paper, PLATE.opacity);
      expect(contrast(channels(name), crossed)).toBeGreaterThan(4.5);
      expect(contrast(crossed, channels(paper))).toBeGreaterThan(1.2);
      expect(name).not.toBe(trace);
    }
  });

  function channels(colour: string): number[] {
    return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  }

  function mixed(below: string, above: string, opacity: number): number[] {
    const [one, other] = [channels(below), channels(above)];
    return one.map((value, index) => value * (1 - opacity) + other[index] * opacity);
  }

  /** As WCAG 2 defines it. */
  function contrast(one: readonly number[], other: readonly number[]): number {
    const luminance = (colour: readonly number[]): number => {
      const [red, green, blue] = colour.map((value) =>
        value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
      );
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }
});

it("the rhythm is that of lead II, by either of its names, or of the first", () => {
  expect([rhythmLead(TWELVE), rhythmLead(["V5", "MLII"]), rhythmLead(["V1", "V5"]), rhythmLead([])]).toEqual([
    1, 1, 0, 0,
  ]);
});

describe("calipers", () => {
  const calipers = (): Calipers => new Calipers(0, 0, { sample: 100, value: 0.2 }, { sample: 300, value: 1.05 });

  it("read milliseconds, a rate and millivolts, from left to right", () => {
    expect(describeMeasure(calipers().measure(500))).toBe("400 ms · 150/min · +0.85 mV");
    expect(
      describeMeasure(new Calipers(0, 0, { sample: 300, value: 0 }, { sample: 290, value: 0.5 }).measure(500)),
    ).toBe("20 ms · −0.50 mV");
  });

  it("move by the corner that is active", () => {
    const moved = calipers();
    moved.move(10, 0.1);
    moved.swap();
    moved.move(-10, 0);
    expect(moved.corners).toEqual([
      { sample: 90, value: 0.2 },
      { sample: 310, value: 1.1500000000000001 },
    ]);
  });
});

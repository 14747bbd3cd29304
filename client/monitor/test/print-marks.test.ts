/** Marks of events on printed sheets. */

import { describe, expect, it } from "vitest";
import { placeFlags } from "../src/print/flags.js";

const measure = (text: string, size: number): number => 0.5 * size * text.length;
const EDGES = { left: 0, right: 100 };
const LONG = "given 300 mg of amiodarone over twenty minutes";

function placed(...marks: [number, string][]) {
  const found = placeFlags(
    marks.map(([sample, text]) => ({ sample, at: sample, text })),
    (sample) => sample,
    EDGES,
    2,
    measure,
  );
  return found.map(({ x, text, size, isTurned }) => {
    const wide = measure(text, size);
    const [from, to] = isTurned ? [x - 2.2 - wide, x] : [x, x + 2.2 + wide];
    return { x, text, isTurned, from, to };
  });
}

describe("the flags of a page", () => {
  it("have their numbers and texts", () => {
    expect(placed([10, "chest pain"], [60, ""]).map(({ text }) => text)).toEqual(["1 chest pain", "2"]);
  });

  it("shorten a long text visibly, and turn it where there is more room on the left", () => {
    const [first, second] = placed([10, LONG], [40, LONG]);
    expect(first.text).toMatch(/^1 given.*…$/);
    expect(first.isTurned).toBe(false);
    expect(second.text).toBe(`2 ${LONG}`);
    expect(placed([95, LONG])[0]).toMatchObject({ text: `1 ${LONG}`, isTurned: true });
  });

  it("never overlap nor leave the band, however many there are", () => {
    for (const step of [0.5, 2, 5, 9, 17, 31, 47]) {
      const marks = Array.from({ length: Math.floor(99 / step) }, (_, at): [number, string] => [at * step, LONG]);
      const found = placed(...marks);
      for (const [index, { from, to, text }] of found.entries()) {
        if (text === "") continue;
        expect(from).toBeGreaterThanOrEqual(EDGES.left);
        expect(to).toBeLessThanOrEqual(EDGES.right);
        const others = found.filter((other, place) => place !== index && other.text !== "");
        for (const other of others) expect(from >= other.to || to <= other.from).toBe(true);
      }
    }
  });
});

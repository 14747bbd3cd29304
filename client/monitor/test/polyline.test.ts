import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Course, drawLine, type Pen } from "../src/polyline.js";

interface Point {
  readonly x: number;
  readonly y: number;
}

/** The lines that are drawn, each a list of points. */
class Noting implements Pen {
  readonly lines: Point[][] = [];

  moveTo(x: number, y: number): void {
    this.lines.push([{ x, y }]);
  }

  lineTo(x: number, y: number): void {
    this.lines[this.lines.length - 1].push({ x, y });
  }

  get points(): number {
    return this.lines.flat().length;
  }
}

/** What each pixel column has of the lines: the lowest and the highest ink, where a line crosses its edges as well. */
function inkOf(lines: readonly Point[][], column: number): Map<number, { least: number; most: number }> {
  const ink = new Map<number, { least: number; most: number }>();
  const note = (at: number, y: number): void => {
    const old = ink.get(at) ?? { least: y, most: y };
    ink.set(at, { least: Math.min(old.least, y), most: Math.max(old.most, y) });
  };
  for (const line of lines) {
    for (const { x, y } of line) note(Math.floor(x / column), y);
    for (let index = 1; index < line.length; index += 1) {
      const [one, other] = [line[index - 1], line[index]];
      for (let at = Math.floor(one.x / column) + 1; at <= Math.floor(other.x / column); at += 1) {
        const y = one.y + ((other.y - one.y) * (at * column - one.x)) / (other.x - one.x);
        note(at - 1, y);
        note(at, y);
      }
    }
  }
  return ink;
}

function drawn(ring: Float32Array, first: number, last: number, course: Course, column: number): Noting {
  const pen = new Noting();
  drawLine(pen, ring, first, last, course, column);
  return pen;
}

const COURSE: Course = { x: 36.5, step: 0.1, baseline: 200, millivolt: 40 };

/** As the ink of whole numbers is compared: lines that cross an edge are computed from other points. */
const rounded = (ink: ReturnType<typeof inkOf>): unknown =>
  [...ink]
    .sort(([one], [other]) => one - other)
    .map(([at, { least, most }]) => [at, least.toFixed(6), most.toFixed(6)]);

describe("the line of a trace", () => {
  it("has in each pixel column the same ink as the line of all samples", () => {
    const value = fc.oneof(
      { weight: 9, arbitrary: fc.float({ min: -5, max: 5, noNaN: true }) },
      fc.constant(Number.NaN),
    );
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 400 }),
        fc.constantFrom(0.02, 0.1, 0.125, 0.2, 0.25),
        fc.constantFrom(1, 2 / 3, 0.5),
        fc.integer({ min: 0, max: 500 }),
        (values, step, column, turn) => {
          const ring = Float32Array.from(values);
          const [first, last] = [turn, turn + values.length];
          const course = { ...COURSE, step };
          const all = drawn(ring, first, last, course, 0);
          const some = drawn(ring, first, last, course, column);
          expect(some.lines.length).toBe(all.lines.length);
          expect(rounded(inkOf(some.lines, column))).toEqual(rounded(inkOf(all.lines, column)));
          for (const [index, line] of some.lines.entries()) {
            expect(line[0]).toEqual(all.lines[index][0]);
            expect(line.at(-1)).toEqual(all.lines[index].at(-1));
            expect(line.every((point, at) => at === 0 || point.x > line[at - 1].x)).toBe(true);
          }
        },
      ),
    );
  });

  it("has at most four points a column, and all samples where they are few", () => {
    const ring = Float32Array.from({ length: 13_000 }, (_, at) => Math.sin(at * at));
    const many = drawn(ring, 0, 13_000, COURSE, 1);
    expect(many.points).toBeLessThanOrEqual(4 * 1301);
    expect(drawn(ring, 0, 13_000, { ...COURSE, step: 0.4 }, 1).points).toBe(13_000);
  });

  it("keeps a spike of one sample", () => {
    const ring = new Float32Array(1000);
    ring[503] = 5;
    const [line] = drawn(ring, 0, 1000, COURSE, 1).lines;
    expect(Math.min(...line.map(({ y }) => y))).toBe(0);
  });
});

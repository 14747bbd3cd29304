import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TraceBuffer } from "../src/trace-buffer.js";

const ONE = [1, 1];
const ZERO = [0, 0];

describe("the trace buffer", () => {
  it("turns counts into millivolts, lead by lead", () => {
    const buffer = new TraceBuffer(["I", "II"], 250, 10);
    buffer.append(Int16Array.of(0, 200, -100, 7, 107, 57), 3, [200, 100], [0, 7]);
    expect(Array.from(buffer.slice(0, 0, 3))).toEqual([0, 1, -0.5]);
    expect(Array.from(buffer.slice(1, 0, 3))).toEqual([0, 1, 0.5]);
  });

  it("takes 64-bit integers", () => {
    const buffer = new TraceBuffer(["I"], 250, 4);
    buffer.append(BigInt64Array.of(5n, -5n), 2, [5], [0]);
    expect(Array.from(buffer.slice(0, 0, 2))).toEqual([1, -1]);
  });

  it("has NaN for what is missing, not here yet, or no longer", () => {
    const buffer = new TraceBuffer(["I", "II"], 250, 4);
    buffer.append(Float32Array.of(1, 2, 10, 20), 2, ONE, ZERO);
    buffer.skip(1);
    buffer.append(Float32Array.of(4, 5, 6, 40, 50, 60), 3, ONE, ZERO);
    expect([0, 1, 2, 3, 4, 5, 6].map((sample) => buffer.at(1, sample))).toEqual([NaN, NaN, NaN, 40, 50, 60, NaN]);
    expect([buffer.start, buffer.end]).toEqual([2, 6]);
    expect(buffer.gaps).toEqual([{ from: 2, to: 3 }]);
    buffer.append(Float32Array.of(7, 70), 1, ONE, ZERO);
    expect(buffer.gaps).toEqual([]);
  });

  it("is filled in where samples are missing, and nowhere else", () => {
    const buffer = new TraceBuffer(["I", "II"], 250, 10);
    buffer.append(Float32Array.of(1, 2, 10, 20), 2, ONE, ZERO);
    buffer.skip(4);
    buffer.append(Float32Array.of(7, 8, 70, 80), 2, ONE, ZERO);
    expect(buffer.fill(1, Float32Array.of(-2, 3, NaN, -20, 30, NaN), 3, ONE, ZERO)).toBe(1);
    expect(buffer.gaps).toEqual([{ from: 3, to: 6 }]);
    expect(buffer.fill(5, Float32Array.of(6, -7, NaN, -70), 2, ONE, ZERO)).toBe(1);
    expect(buffer.gaps).toEqual([{ from: 3, to: 5 }]);
    expect(buffer.leadGaps).toEqual([{ from: 5, to: 6, lead: 1 }]);
    expect(Array.from(buffer.slice(0, 0, 8))).toEqual([1, 2, 3, NaN, NaN, 6, 7, 8]);
    expect(Array.from(buffer.slice(1, 0, 8))).toEqual([10, 20, 30, NaN, NaN, NaN, 70, 80]);
  });

  it("takes earlier samples below 0, as far as there is room", () => {
    const buffer = new TraceBuffer(["I"], 250, 6);
    buffer.append(Float32Array.of(1, 2), 2, ONE, ZERO);
    expect(buffer.fill(-5, Float32Array.of(-4, -3, -2), 3, ONE, ZERO)).toBe(2);
    expect([buffer.start, buffer.end]).toEqual([-4, 2]);
    expect(buffer.gaps).toEqual([{ from: -2, to: 0 }]);
    const larger = buffer.snapshot(9);
    expect(larger.fill(-6, Float32Array.of(-5, -4, 0, 0, -1, 0, 0), 7, ONE, ZERO)).toBe(4);
    expect(Array.from(larger.slice(0, -6, 2))).toEqual([-5, -4, -3, -2, -1, 0, 1, 2]);
    expect(larger.gaps).toEqual([]);
    buffer.append(Float32Array.of(3, 4, 5), 3, ONE, ZERO);
    expect([buffer.start, buffer.at(0, -1), buffer.at(0, 4)]).toEqual([-1, NaN, 5]);
  });

  it("stays as large as it is, whatever comes", () => {
    const buffer = new TraceBuffer(["I"], 250, 8);
    for (let round = 0; round < 500; round += 1) {
      buffer.append(Float32Array.of(round), 1, ONE, ZERO);
      buffer.skip(3);
    }
    expect(buffer.gaps.length).toBeLessThanOrEqual(3);
    buffer.skip(1e12);
    expect(buffer.end).toBe(2000 + 1e12);
    expect(Array.from(buffer.slice(0, buffer.start, buffer.end)).every(Number.isNaN)).toBe(true);
  });

  it("holds the last samples of any sequence of frames and gaps, as a plain list does", () => {
    const step = fc.oneof(
      fc.record({ samples: fc.integer({ min: 1, max: 30 }) }),
      fc.record({ gap: fc.integer({ min: 1, max: 40 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.integer({ min: 1, max: 25 }), (steps, capacity) => {
        const buffer = new TraceBuffer(["I", "II"], 250, capacity);
        const plain: number[] = [];
        for (const one of steps) {
          if ("gap" in one) {
            buffer.skip(one.gap);
            plain.push(...Array<number>(one.gap).fill(Number.NaN));
          } else {
            const values = Array.from({ length: one.samples }, (_, index) => plain.length + index);
            buffer.append([...values.map((value) => -value), ...values], one.samples, ONE, ZERO);
            plain.push(...values);
          }
        }
        expect(buffer.end).toBe(plain.length);
        expect(Array.from(buffer.slice(1, buffer.start, buffer.end))).toEqual(plain.slice(-capacity));
        expect(Array.from(buffer.snapshot().slice(1, buffer.start, buffer.end))).toEqual(plain.slice(-capacity));
      }),
    );
  });

  it("is not moved by what comes after a snapshot of it", () => {
    const buffer = new TraceBuffer(["I"], 250, 4);
    buffer.append(Float32Array.of(1, 2, 3, 4), 4, ONE, ZERO);
    const frozen = buffer.snapshot();
    buffer.append(Float32Array.of(5, 6), 2, ONE, ZERO);
    expect(Array.from(frozen.slice(0, 0, 4))).toEqual([1, 2, 3, 4]);
  });
});

describe("samples that a message marks as missing", () => {
  const signal = (rows: readonly (readonly number[])[]) => Float32Array.from(rows.flat());
  const { NaN: gone } = Number;

  it("are gaps where all leads lack them, joined over messages, and gaps of a lead where it alone does", () => {
    const buffer = new TraceBuffer(["I", "II"], 250, 100);
    const missing = [
      buffer.append(
        signal([
          [1, gone, gone, gone],
          [1, 2, gone, gone],
        ]),
        4,
        [1, 1],
        [0, 0],
      ),
      buffer.append(
        signal([
          [gone, 2, 3, 4],
          [gone, 2, gone, 4],
        ]),
        4,
        [1, 1],
        [0, 0],
      ),
    ];
    expect(missing).toEqual([2, 1]);
    expect(buffer.gaps).toEqual([{ from: 2, to: 5 }]);
    expect(buffer.leadGaps).toEqual([
      { from: 1, to: 2, lead: 0 },
      { from: 6, to: 7, lead: 1 },
    ]);
    expect(buffer.snapshot().leadGaps).toEqual(buffer.leadGaps);
  });
});

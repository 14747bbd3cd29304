/** Floats that are counts times a gain: found again, bit for bit, or left alone. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ExactCounts, ExactSamples, findScale, nearestInteger } from "../src/codec/exact.js";
import { type RecordDType, Template } from "../src/codec/record.js";
import { NdArray } from "../src/index.js";
import { fromJson, RECORDS } from "./rendering.js";
import { image } from "./same.js";

const STEPS = [4.88, 5, 1.25, 2.44, 0.153, 1 / 3];
const WAYS: Readonly<Record<string, (count: number, step: number) => number>> = {
  "times, then by 1000": (count, step) => (count * step) / 1000,
  "rounded to 5 decimals": (count, step) => Number(((count * step) / 1000).toFixed(5)),
  "by a gain": (count, step) => count / (1000 / step),
  "times a factor": (count, step) => count * (step / 1000),
};

/** What a reader makes of counts, the way that they go: through a record. */
function givenBack({ counts, scale, missing }: ExactCounts): NdArray {
  const rows = counts.shape.length === 2 ? counts.shape[0] : 0;
  const dtype = counts.dtype as RecordDType;
  const template = new Template({ number: 1, stream: "s", dtype, rows, fields: {}, missing, scale });
  return (template.decode(template.encode(counts, 0n)).data as { signal: NdArray }).signal;
}

/** Every bit, but for the sign of zero and of NaN its payload. */
function expectExact(found: ExactCounts, floats: Float64Array): void {
  const expected = floats.map((value) => (Number.isNaN(value) ? Number.NaN : value + 0));
  const bits = (array: Float64Array) => [...new BigUint64Array(array.slice().buffer)];
  expect(bits(givenBack(found).data as Float64Array)).toEqual(bits(expected));
}

test.each(RECORDS.exact.map((vector) => [vector.name, vector] as const))("%s", (_, { signal, scale, counts }) => {
  const found = new ExactSamples().take(fromJson(signal));
  expect(found?.scale ?? null).toEqual(scale === null ? null : image2(fromJson(scale)));
  expect(found ? image(found.counts) : null).toEqual(counts === null ? null : image(fromJson(counts)));
});

/** A map of numbers as it is in JavaScript. */
function image2(value: unknown): unknown {
  return Object.fromEntries(Object.entries(value as object).map(([name, number]) => [name, Number(number)]));
}

test("what is found gives every bit back", () => {
  let count = 0;
  const property = fc.property(
    fc.array(fc.integer({ min: -(2 ** 17), max: 2 ** 17 }), { maxLength: 30 }),
    fc.constantFrom(...STEPS),
    fc.constantFrom(...Object.keys(WAYS)),
    fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }),
    (counts, step, way, gone) => {
      const floats = Float64Array.from(counts, (n, i) => (gone[i] ? Number.NaN : WAYS[way](n, step)));
      const found = new ExactSamples().take(new NdArray(floats));
      if (found) expectExact(found, floats);
      count += found ? 1 : 0;
    },
  );
  fc.assert(property, { numRuns: 300 });
  expect(count).toBeGreaterThan(150);
});

test("any floats arrive with every bit or are left alone", () => {
  const property = fc.property(fc.array(fc.double(), { maxLength: 12 }), (floats) => {
    const found = new ExactSamples().take(floats);
    if (floats.some((value) => Math.abs(value) === Number.POSITIVE_INFINITY)) expect(found).toBeUndefined();
    if (found) expectExact(found, Float64Array.from(floats));
  });
  fc.assert(property, { numRuns: 500 });
});

test("what was found is tried first, and a gain that changes is noticed", () => {
  const samples = new ExactSamples();
  const wave = Float64Array.from({ length: 50 }, (_, i) => Math.round(400 * Math.sin(i / 5)));
  const scaled = (step: number) => new NdArray(wave.map((count) => (count * step) / 1000));
  expect(samples.take(scaled(4.88))?.scale).toEqual({ mul: 4.88, div: 1000 });
  const found = samples.scale;
  expect(samples.take(scaled(4.88))?.scale).toBe(found);
  const one = new NdArray(Float64Array.of(4.88 / 1000)); // of which alone another scale would be found
  expect(samples.take(one)?.scale).toBe(found);
  expect(samples.take(scaled(5))?.scale).not.toEqual(found);
  expectExact(samples.take(scaled(5)) as ExactCounts, scaled(5).data as Float64Array);
});

describe("the least of the dtype is no count", () => {
  test.each([
    [2 ** 15 - 1, "int16"],
    [-(2 ** 15 - 1), "int16"],
    [-(2 ** 15), "int32"],
    [2 ** 15, "int32"],
    [-(2 ** 31 - 1), "int32"],
  ])("%i travels as %s", (largest, dtype) => {
    const found = new ExactSamples().take([1, largest]) as ExactCounts;
    expect(found.counts.dtype).toBe(dtype);
    expectExact(found, Float64Array.of(1, largest));
  });

  test("and more than 32 bits are left alone", () => {
    expect(new ExactSamples().take([1, -(2 ** 31)])).toBeUndefined();
  });
});

test.each([
  ["float32", new NdArray(new Float32Array(2))],
  ["counts", new NdArray(new Int16Array(2))],
  ["no dimension", new NdArray(new Float64Array(1), [])],
  ["big-endian over there", new NdArray(new Float64Array(1), [1], ">f8")],
  ["rows of other lengths", [[1], [1, 2]]],
  ["a number among rows", [[1], 2]],
  ["text", ["1"]],
  ["nothing", undefined],
])("%s is left alone", (_, signal) => {
  expect(new ExactSamples().take(signal)).toBeUndefined();
});

test("halves go to the even integer", () => {
  expect([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2 ** 51 + 0.5, 2 ** 60, 0.49999999999999994].map(nearestInteger)).toEqual([
    0,
    2,
    2,
    0,
    -2,
    -2,
    2 ** 51,
    2 ** 60,
    0,
  ]);
  expect(findScale(Float64Array.of(1, 2.5, 3))).toEqual({ mul: 1, div: 2 });
});

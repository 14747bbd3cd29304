/** The reader of filter 1 against a slow and simple one, bit by bit and in BigInt: on rows of every form, valid or not. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Counts, decodeDelta } from "../src/codec/delta.js";
import { ProtocolError } from "../src/index.js";

const CLASSES = [Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array] as const;
const HEAD = 16; // bytes before the samples of a record

/** The samples of the rows, or why there are none. */
function readSlowly(bytes: Uint8Array, samples: Counts, rows: number): string {
  const count = samples.length / rows;
  let bit = 8 * HEAD;
  const take = (width: number) => {
    if (bit + width > 8 * bytes.length) throw "the bytes end within it";
    let value = 0n;
    for (let i = 0; i < width; i++, bit++) value |= BigInt((bytes[bit >> 3] >> (bit & 7)) & 1) << BigInt(i);
    return value;
  };
  const valueAt = (row: number, i: number) => BigInt(samples[row * count + i]);
  for (let row = 0; row < rows; row++) {
    const head = Number(take(8));
    const options = head & 0x80 ? Number(take(8)) : 4;
    if (options === 0 || options > 4 || (head & 0x80 && options === 4)) throw "its options";
    const step = options & 1 ? take(16) : 1n;
    if (step < 1n || (options & 1 && step < 2n)) throw "a step";
    const [a, b, rule] = options & 2 ? [take(8), take(8), take(8)].map(Number) : [row, row, 0o22];
    const [na, nb, c] = [(rule & 7) - 2, ((rule >> 3) & 7) - 2, (rule >> 6) & 1];
    if (options & 2 && (a >= row || b >= row || na > 2 || nb > 2 || rule > 127)) throw "its prediction";
    const predicted = (i: number) =>
      options & 2 ? (BigInt(na) * valueAt(a, i) + BigInt(nb) * valueAt(b, i) + BigInt(c)) >> 1n : 0n;
    const order = (head >> 5) & 3;
    if (order > count) throw "its order";
    const differences: bigint[] = [];
    for (let i = 0; i < order; i++) {
      samples[row * count + i] = Number(take(8 * samples.BYTES_PER_ELEMENT));
      differences.push(valueAt(row, i) - predicted(i));
    }
    let width = head & 31;
    if (order === count && width > 0) throw "a residual";
    for (let i = order; i < count; i++) {
      if ((i - order) % 32 === 0) {
        if (i > order) width = Number(take(8));
        if (width > 24) throw "a residual";
        const size = Math.ceil((Math.min(32, count - i) * width) / 8);
        if (bit + 8 * size > 8 * bytes.length) throw "the bytes end within it";
      }
      const zigzag = take(width);
      const [d1, d2, d3] = [1, 2, 3].map((back) => differences[i - back] ?? 0n);
      const residual = zigzag & 1n ? -(zigzag + 1n) / 2n : zigzag / 2n;
      differences.push(residual * step + [0n, d1, 2n * d1 - d2, 3n * d1 - 3n * d2 + d3][order]);
      const sample = differences[i] + predicted(i);
      samples[row * count + i] = Number(sample);
      if (valueAt(row, i) !== sample) throw "a sample";
      const isLast = (i - order) % 32 === 31 || i === count - 1;
      if (isLast && take((8 - (bit & 7)) & 7) !== 0n) throw "the spare bits";
    }
  }
  if (bit < 8 * bytes.length) throw "bytes left over";
  return String(samples);
}

function slowly(bytes: Uint8Array, samples: Counts, rows: number): string {
  try {
    return readSlowly(bytes, samples, rows);
  } catch (why) {
    if (typeof why !== "string") throw why;
    return why;
  }
}

function quickly(bytes: Uint8Array, samples: Counts, rows: number): string {
  try {
    decodeDelta(bytes, HEAD, samples, rows);
    return String(samples);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return error.message;
  }
}

const byte = fc.integer({ min: 0, max: 255 });
/** Few bits more often than many: with many, nearly every sample is outside the range. */
const width = fc.oneof(
  { weight: 30, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 1, arbitrary: fc.integer({ min: 4, max: 26 }) },
);
/** With the steps at which samples of 16 bits are computed in another way. */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 2, max: 9 }) },
  fc.constantFrom(0, 31, 32, 33, 63, 64, 65, 32_767, 32_768, 65_535),
  fc.integer({ min: 2, max: 65_535 }),
);

const rule = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(fc.nat(4), fc.nat(4), fc.nat(1)).map(([na, nb, c]) => na | (nb << 3) | (c << 6)) },
  { weight: 1, arbitrary: byte },
);

/** A row, as a rule without faults up to its residuals. */
const row = (count: number, itemsize: number, index: number) =>
  fc
    .record({
      order: fc.integer({ min: 0, max: Math.min(3, count + (index & 1)) }),
      step: fc.option(step, { freq: 2 }),
      prediction: fc.oneof(
        { weight: index > 0 ? 1 : 30, arbitrary: fc.constant(null) },
        { weight: 1, arbitrary: fc.tuple(fc.nat(Math.max(0, index - 1)), fc.nat(Math.max(0, index - 1)), rule) },
      ),
      first: fc.array(byte, { minLength: 3 * itemsize, maxLength: 3 * itemsize }),
      widths: fc.array(width, { minLength: 4, maxLength: 4 }),
      residuals: fc.array(byte, { minLength: 96, maxLength: 96 }),
      clean: fc.integer({ min: 0, max: 30 }),
    })
    .map(({ order, step, prediction, first, widths, residuals, clean }) => {
      const options = (step === null ? 0 : 1) | (prediction === null ? 0 : 2);
      const bytes = [(order < count ? widths[0] : 0) | (order << 5) | (options ? 0x80 : 0)];
      if (options) bytes.push(options);
      if (step !== null) bytes.push(step & 255, step >> 8);
      if (prediction !== null) bytes.push(...prediction);
      bytes.push(...first.slice(0, order * itemsize));
      for (let i = order, block = 0; i < count; i += 32, block++) {
        if (block > 0) bytes.push(widths[block]);
        const bits = Math.min(32, count - i) * widths[block];
        const packed = residuals.slice(0, Math.ceil(bits / 8));
        if (bits & 7 && clean > 0) packed[packed.length - 1] &= (1 << (bits & 7)) - 1;
        bytes.push(...packed);
      }
      return bytes;
    });

const record = fc
  .record({
    kind: fc.constantFrom(...CLASSES),
    count: fc.integer({ min: 0, max: 100 }),
    rows: fc.integer({ min: 1, max: 4 }),
  })
  .chain(({ kind, count, rows }) =>
    fc.record({
      kind: fc.constant(kind),
      count: fc.constant(count),
      rows: fc.tuple(...Array.from({ length: rows }, (_, index) => row(count, kind.BYTES_PER_ELEMENT, index))),
      /** Bytes cut from the end, or added to it if negative. */
      cut: fc.oneof(
        { weight: 9, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: -2, max: 9 }) },
      ),
    }),
  );

test("rows of every form are read as a simple reader reads them, and refused for the same reason", () => {
  let accepted = 0;
  const refusals = new Set<string>();
  fc.assert(
    fc.property(record, ({ kind, count, rows, cut }) => {
      const packed = rows.flat();
      const whole = [...packed.slice(0, packed.length - Math.max(0, cut)), ...Array(Math.max(0, -cut)).fill(0)];
      // The bytes behind the record are not its own.
      const buffer = Uint8Array.from([...Array(HEAD).fill(0xff), ...whole, ...Array(8).fill(0xff)]);
      const bytes = buffer.subarray(0, buffer.length - 8);
      const expected = slowly(bytes, new kind(count * rows.length), rows.length);
      const found = quickly(bytes, new kind(count * rows.length), rows.length);
      if (/^[-0-9,]*$/.test(expected)) {
        accepted++;
        expect(found).toBe(expected);
      } else {
        refusals.add(expected);
        expect(found).toContain(expected);
      }
    }),
    { numRuns: 2000 },
  );
  expect(accepted).toBeGreaterThan(200);
  expect(refusals.size).toBe(8);
});

/** A record of one row of order 0 with one block of two residuals, as zigzag numbers of `width` bits. */
function ofTwo(width: number, step: number, residuals: readonly [bigint, bigint]): Uint8Array {
  const packed = residuals[0] | (residuals[1] << BigInt(width));
  const block = Array.from({ length: Math.ceil((2 * width) / 8) }, (_, i) => Number((packed >> BigInt(8 * i)) & 255n));
  return Uint8Array.from([...Array(HEAD).fill(0), width | 0x80, 1, step & 255, step >> 8, ...block]);
}

test.each([
  ["a product of 2^32", ofTwo(24, 32_768, [2n ** 18n, 0n])],
  ["a sample before one inside", ofTwo(20, 2, [40_000n, 0n])],
  ["one above the largest", ofTwo(16, 2, [2n * 16_384n, 0n])],
  ["three below the least", ofTwo(16, 3, [2n * 10_923n - 1n + 2n, 0n])],
] as const)("outside the range of int16: %s", (_, bytes) => {
  expect(slowly(bytes, new Int16Array(2), 1)).toBe("a sample");
  expect(quickly(bytes, new Int16Array(2), 1)).toContain("a sample lies outside the dtype");
});

test.each([
  ["the largest", ofTwo(16, 7, [2n * 4681n, 0n]), "32767,0"],
  ["the least", ofTwo(16, 2, [2n * 16_384n - 1n, 0n]), "-32768,0"],
] as const)("inside the range of int16: %s", (_, bytes, samples) => {
  expect(quickly(bytes, new Int16Array(2), 1)).toBe(samples);
});

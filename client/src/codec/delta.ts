/**
 * Filter 1 of records, "delta": each row of integers becomes differences with few bits, in blocks of 32.
 *
 * No value overflows: all stay below 2^40, and a JavaScript number is exact up to 2^53. Arithmetic by bit operations is
 * limited to the bits of a block (at most 24 + 7 at a time) and to dtypes of at most 16 bits.
 */
import { ProtocolError } from "../errors.js";
import { ErrorCode } from "../protocol.js";

/** Samples that the filter can encode: counts of an ADC. */
export type Counts = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array;

/** Residuals in a block; they have the same width. */
const BLOCK = 32;
/** Largest width of a residual, in bits. */
const WIDEST = 24;
const HIGHEST_ORDER = 3;
const LARGEST_STEP = 65_535;

const HAS_OPTIONS = 0x80;
const HAS_STEP = 1;
const HAS_PREDICTION = 2;

/** Prediction of a row from two earlier ones, rows `a` and `b`: `(na * row[a] + nb * row[b] + c) >> 1`. */
interface Prediction {
  readonly a: number;
  readonly b: number;
  readonly na: number;
  readonly nb: number;
  readonly c: number;
}

const SIGNAL = 'data["signal"]';
const BAD_WIDTH = `a residual has 0 to ${WIDEST} bits, and none where there is no residual`;
const NO_PREDICTION: Prediction = { a: 0, b: 0, na: 0, nb: 0, c: 0 };

/**
 * Returns the least number of bytes to which the filter can reduce `rows` rows of `count` samples.
 *
 * A record that is shorter is rejected before memory is allocated: a byte stands for at most 32 samples.
 */
export function leastBytes(rows: number, count: number): number {
  return rows * (1 + Math.max(0, Math.ceil((count - HIGHEST_ORDER) / BLOCK) - 1));
}

// --- reading ---

/**
 * Decodes the samples of a record with this filter.
 *
 * @param bytes the record; the encoded samples are the bytes from `start` to the end
 * @param samples receives the samples, row by row; its class is the dtype
 * @throws ProtocolError 0x200 (check 11): the bytes are not a valid encoding
 */
export function decodeDelta(bytes: Uint8Array, start: number, samples: Counts, rows: number): void {
  const reader = new DeltaReader(bytes, start, samples, samples.length / rows);
  for (let row = 0; row < rows; row++) reader.row(row);
  reader.end();
}

class DeltaReader {
  readonly #bytes: Uint8Array;
  readonly #samples: Counts;
  readonly #count: number;
  readonly #min: number;
  readonly #max: number;
  #at: number;

  constructor(bytes: Uint8Array, start: number, samples: Counts, count: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#samples = samples;
    this.#count = count;
    const [min, max] = rangeOf(samples);
    this.#min = min;
    this.#max = max;
  }

  row(row: number): void {
    const head = this.#byte(row);
    const order = (head >> 5) & HIGHEST_ORDER;
    let step = 1;
    let prediction = NO_PREDICTION;
    if (head & HAS_OPTIONS) {
      const options = this.#byte(row);
      if (options === 0 || options > (HAS_STEP | HAS_PREDICTION))
        this.#refuse(row, "its options tell a step, a prediction or both, and nothing else");
      if (options & HAS_STEP) step = this.#step(row);
      if (options & HAS_PREDICTION) prediction = this.#prediction(row);
    }
    if (order > this.#count) this.#refuse(row, "its order is above the number of its samples");
    this.#firstSamples(row, order);
    this.#blocks(row, order, head & 31, step, prediction);
  }

  /** Rejects remaining bytes. */
  end(): void {
    if (this.#at < this.#bytes.length) throw refused(this.#at, "bytes left over behind the record's last row");
  }

  #refuse(row: number, why: string): never {
    throw refused(this.#at, `row ${row} of the record: ${why}`);
  }

  #need(row: number, bytes: number): void {
    if (bytes > this.#bytes.length - this.#at) this.#refuse(row, "the bytes end within it");
  }

  #byte(row: number): number {
    if (this.#at >= this.#bytes.length) this.#need(row, 1);
    return this.#bytes[this.#at++];
  }

  #step(row: number): number {
    const step = this.#byte(row) | (this.#byte(row) << 8);
    if (step < 2) this.#refuse(row, "a step is 2 or more");
    return step;
  }

  #prediction(row: number): Prediction {
    const a = this.#byte(row);
    const b = this.#byte(row);
    const rule = this.#byte(row);
    const na = (rule & 7) - 2;
    const nb = ((rule >> 3) & 7) - 2;
    if (a >= row || b >= row || na > 2 || nb > 2 || rule & 0x80) {
      this.#refuse(row, "its prediction takes two rows before it, factors from -2 to 2, and no other bit");
    }
    return { a, b, na, nb, c: rule >> 6 };
  }

  /** Reads the first `order` samples of the row, which are not encoded. */
  #firstSamples(row: number, order: number): void {
    const samples = this.#samples;
    const size = samples.BYTES_PER_ELEMENT;
    this.#need(row, order * size);
    for (let i = 0; i < order; i++) {
      let value = 0;
      for (let byte = 0; byte < size; byte++) value |= this.#bytes[this.#at++] << (8 * byte);
      samples[row * this.#count + i] = value; // the typed array keeps the bits of its dtype, sign included
    }
  }

  /** Reads the residuals of a row, lowest bit first, and computes the samples from them. */
  #blocks(row: number, order: number, firstWidth: number, step: number, prediction: Prediction): void {
    const { na, nb, c } = prediction;
    const samples = this.#samples;
    const bytes = this.#bytes;
    const min = this.#min;
    const max = this.#max;
    const count = this.#count;
    const first = row * count;
    const toA = (row - prediction.a) * count;
    const toB = (row - prediction.b) * count;
    const isPredicted = prediction !== NO_PREDICTION;
    const isNarrow = samples.BYTES_PER_ELEMENT < 4;
    // Differences between the three samples before and their predictions.
    let d1 = order > 0 ? samples[first + order - 1] - predictedAt(samples, first + order - 1, toA, toB, prediction) : 0;
    let d2 = order > 1 ? samples[first + order - 2] - predictedAt(samples, first + order - 2, toA, toB, prediction) : 0;
    let d3 = order > 2 ? samples[first + order - 3] - predictedAt(samples, first + order - 3, toA, toB, prediction) : 0;
    let width = firstWidth;
    if (order === count && width !== 0) this.#refuse(row, BAD_WIDTH);
    for (let start = first + order; start < first + count; start += BLOCK) {
      const end = Math.min(start + BLOCK, first + count);
      if (start !== first + order) width = this.#byte(row);
      if (width > WIDEST) this.#refuse(row, BAD_WIDTH);
      this.#need(row, ((end - start) * width + 7) >> 3);
      const mask = (1 << width) - 1;
      let byte = this.#at;
      let held = 0;
      let bits = 0;
      for (let at = start; at < end; at++) {
        while (bits < width) {
          held |= bytes[byte++] << bits;
          bits += 8;
        }
        const zigzag = held & mask;
        held >>>= width;
        bits -= width;
        let d = (zigzag >>> 1) ^ -(zigzag & 1);
        if (step > 1) d *= step;
        if (order === 1) {
          d += d1;
        } else if (order === 2) {
          d += d1 + d1 - d2;
        } else if (order === 3) {
          const slope = d1 - d2;
          d += slope + slope + slope + d3;
        }
        d3 = d2;
        d2 = d1;
        d1 = d;
        let sample = d;
        if (isPredicted) {
          const a = samples[at - toA];
          const b = samples[at - toB];
          sample += isNarrow ? (Math.imul(na, a) + Math.imul(nb, b) + c) >> 1 : Math.floor((na * a + nb * b + c) / 2);
        }
        if (sample < min || sample > max) this.#refuse(row, "a sample lies outside the dtype");
        samples[at] = sample;
      }
      this.#at = byte;
      if (held !== 0) this.#refuse(row, "the spare bits behind its residuals are not 0");
    }
  }
}

/** Returns the prediction of the sample at `at`, for any dtype. */
function predictedAt(samples: Counts, at: number, toA: number, toB: number, { na, nb, c }: Prediction): number {
  const a = samples[at - toA];
  const b = samples[at - toB];
  if (samples.BYTES_PER_ELEMENT < 4) return (Math.imul(na, a) + Math.imul(nb, b) + c) >> 1;
  return Math.floor((na * a + nb * b + c) / 2);
}

// --- writing ---

/** Encoding of a row, and its size in bytes. */
interface Form {
  readonly bytes: number;
  readonly order: number;
  readonly step: number;
  readonly prediction: Prediction | undefined;
}

/**
 * Encodes rows of samples with this filter.
 *
 * Tries, in this order: no prediction, then the predictions for the name of the lead; for each of them every order; for
 * each order no step, then the greatest common divisor as step. The first encoding with the fewest bytes is chosen, so
 * that all implementations write the same bytes.
 *
 * @param leads names of the rows, as far as they are known
 * @returns undefined if the result is not smaller than the samples, or if a row has a residual of more than 24 bits in
 *   every encoding
 */
export function encodeDelta(samples: Counts, rows: number, leads: readonly unknown[] = []): Uint8Array | undefined {
  const count = rows ? samples.length / rows : 0;
  const bytes = new Uint8Array(samples.byteLength);
  const differences = new Float64Array(count);
  const names = namesOf(leads, rows);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    const form = bestForm(samples, row, count, predictionsOf(names, row), differences);
    if (!form || at + form.bytes >= bytes.length) return undefined;
    differencesOf(samples, row, count, form, differences);
    at = writeRow(bytes, at, samples, row, form, differences);
  }
  return rows ? bytes.subarray(0, at) : undefined;
}

function bestForm(
  samples: Counts,
  row: number,
  count: number,
  predictions: readonly (Prediction | undefined)[],
  differences: Float64Array,
): Form | undefined {
  let best: Form | undefined;
  for (const prediction of predictions) {
    for (let order = 0; order <= Math.min(HIGHEST_ORDER, count); order++) {
      differencesOf(samples, row, count, { order, prediction }, differences);
      const raw = 1 + order * samples.BYTES_PER_ELEMENT + (prediction ? 4 : 0);
      const whole = raw + bytesOfBlocks(differences, order, 1);
      if (whole < (best?.bytes ?? Number.POSITIVE_INFINITY)) best = { bytes: whole, order, step: 1, prediction };
      const step = commonDivisor(differences, order);
      if (step < 2 || step > LARGEST_STEP) continue;
      const divided = raw + (prediction ? 2 : 3) + bytesOfBlocks(differences, order, step);
      if (divided < (best?.bytes ?? Number.POSITIVE_INFINITY)) best = { bytes: divided, order, step, prediction };
    }
  }
  return best;
}

/** Computes the differences of that order from index `order` on. They are not yet divided by the step. */
function differencesOf(
  samples: Counts,
  row: number,
  count: number,
  { order, prediction }: Pick<Form, "order" | "prediction">,
  differences: Float64Array,
): void {
  const first = row * count;
  for (let i = 0; i < count; i++) differences[i] = samples[first + i];
  if (prediction) {
    const { a, b, na, nb, c } = prediction;
    for (let i = 0; i < count; i++) {
      differences[i] -= Math.floor((na * samples[a * count + i] + nb * samples[b * count + i] + c) / 2);
    }
  }
  for (let n = 0; n < order; n++) for (let i = count - 1; i > n; i--) differences[i] -= differences[i - 1];
}

/** Returns the bytes of the blocks with all widths but the first; infinity if a residual has more than 24 bits. */
function bytesOfBlocks(differences: Float64Array, order: number, step: number): number {
  let bytes = 0;
  for (let start = order; start < differences.length; start += BLOCK) {
    const width = widthOf(differences, start, step);
    if (width > WIDEST) return Number.POSITIVE_INFINITY;
    bytes += (start > order ? 1 : 0) + bytesOf(differences.length - start, width);
  }
  return bytes;
}

function bytesOf(left: number, width: number): number {
  return (Math.min(BLOCK, left) * width + 7) >> 3;
}

/** Returns the bits of the widest residual of the block at `start`; 25 for any number above 24. */
function widthOf(differences: Float64Array, start: number, step: number): number {
  let largest = 0;
  for (let i = start; i < Math.min(start + BLOCK, differences.length); i++) {
    const zigzag = zigzagOf(differences[i] / step);
    if (zigzag > largest) largest = zigzag;
  }
  return largest < 2 ** WIDEST ? 32 - Math.clz32(largest) : WIDEST + 1;
}

function zigzagOf(residual: number): number {
  return residual < 0 ? -2 * residual - 1 : 2 * residual;
}

/** Returns the greatest common divisor of the residuals; 0 if all are 0. */
function commonDivisor(differences: Float64Array, order: number): number {
  let divisor = 0;
  for (let i = order; i < differences.length && divisor !== 1; i++) {
    let rest = Math.abs(differences[i]);
    while (rest) [divisor, rest] = [rest, divisor % rest];
  }
  return divisor;
}

function writeRow(
  bytes: Uint8Array,
  start: number,
  samples: Counts,
  row: number,
  { order, step, prediction }: Form,
  differences: Float64Array,
): number {
  const count = differences.length;
  const options = (step > 1 ? HAS_STEP : 0) | (prediction ? HAS_PREDICTION : 0);
  const width = order < count ? widthOf(differences, order, step) : 0;
  let at = start;
  bytes[at++] = width | (order << 5) | (options ? HAS_OPTIONS : 0);
  if (options) bytes[at++] = options;
  if (step > 1) {
    bytes[at++] = step;
    bytes[at++] = step >> 8;
  }
  if (prediction) {
    bytes[at++] = prediction.a;
    bytes[at++] = prediction.b;
    bytes[at++] = (prediction.na + 2) | ((prediction.nb + 2) << 3) | (prediction.c << 6);
  }
  for (let i = 0; i < order; i++) {
    const value = samples[row * count + i];
    for (let byte = 0; byte < samples.BYTES_PER_ELEMENT; byte++) bytes[at++] = value >> (8 * byte);
  }
  for (let i = order; i < count; i += BLOCK) {
    const bits = i === order ? width : widthOf(differences, i, step);
    if (i > order) bytes[at++] = bits;
    at = writeBlock(bytes, at, differences, i, bits, step);
  }
  return at;
}

function writeBlock(
  bytes: Uint8Array,
  start: number,
  differences: Float64Array,
  first: number,
  width: number,
  step: number,
): number {
  let at = start;
  let held = 0;
  let bits = 0;
  for (let i = first; i < Math.min(first + BLOCK, differences.length); i++) {
    held |= zigzagOf(differences[i] / step) << bits;
    bits += width;
    for (; bits >= 8; bits -= 8) {
      bytes[at++] = held;
      held >>>= 8;
    }
  }
  if (bits) bytes[at++] = held;
  return at;
}

// --- predictions ---

/** Predictions to try from leads I and II, by the name of the lead: `na`, `nb`, and the values of `c`. */
const RULES: Readonly<Record<string, readonly [number, number, readonly number[]]>> = {
  iii: [-2, 2, [0]],
  avr: [-1, -1, [0, 1]],
  avl: [2, -1, [0, 1]],
  avf: [-1, 2, [0, 1]],
};

/** Returns the predictions to try for a row: none (undefined), and those for the name of its lead. */
function predictionsOf(names: readonly string[], row: number): readonly (Prediction | undefined)[] {
  const name = names[row] ?? "";
  if (!Object.hasOwn(RULES, name)) return [undefined];
  const [a, b] = [names.indexOf("i"), names.indexOf("ii")];
  if (a < 0 || b < 0 || a >= row || b >= row || a > 255 || b > 255) return [undefined];
  const [na, nb, cs] = RULES[name];
  return [undefined, ...cs.map((c) => ({ a, b, na, nb, c }))];
}

function namesOf(leads: readonly unknown[], rows: number): string[] {
  return leads.slice(0, rows).map((name) => (typeof name === "string" ? name.toLowerCase() : ""));
}

// --- reading and writing ---

function rangeOf(samples: Counts): readonly [number, number] {
  const bits = 8 * samples.BYTES_PER_ELEMENT;
  const isSigned = !(samples instanceof Uint8Array || samples instanceof Uint16Array);
  return isSigned ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
}

function refused(offset: number, why: string): ProtocolError {
  const text = `${why} (byte ${offset})`;
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, { check: 11, offset, path: SIGNAL });
}

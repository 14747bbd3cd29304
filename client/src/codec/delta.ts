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
const ENDS_EARLY = "the bytes end within it";

/**
 * Returns the least number of bytes to which the filter can reduce `rows` rows of `count` samples.
 *
 * A record that is shorter is rejected before memory is allocated: a byte stands for at most 32 samples.
 */
export function leastBytes(rows: number, count: number): number {
  return rows * (1 + Math.max(0, Math.ceil((count - HIGHEST_ORDER) / BLOCK) - 1));
}

// --- reading ---

/** Bytes that are read at once for a residual. */
const WINDOW = 4;
/** The largest product of `2^width` and a step with which samples of 16 bits are computed in integers of 32 bits. */
const LARGEST_PRODUCT = 1 << 29;
/** Room for a block, and for the window of its last residual. */
const LAST_BLOCK = /* @__PURE__ */ new DataView(/* @__PURE__ */ new ArrayBuffer((BLOCK * WIDEST) / 8 + WINDOW));

/**
 * Decodes the samples of a record with this filter.
 *
 * @param bytes the record; the encoded samples are the bytes from `start` to the end
 * @param samples receives the samples, row by row; its class is the dtype
 * @throws ProtocolError 0x200 (check 11): the bytes are not a valid encoding
 */
export function decodeDelta(bytes: Uint8Array, start: number, samples: Counts, rows: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = samples.length / rows;
  let at = start;
  for (let row = 0; row < rows; row++) at = readRow(bytes, view, at, samples, row, count);
  if (at < bytes.length) throw refused(at, "bytes left over behind the record's last row");
}

/**
 * Reads the row at `start`, and returns where it ends.
 *
 * One function with local variables only: a live record has 12 rows of 25 samples, for which fields of an object and calls
 * of methods took a fifth of the time.
 */
function readRow(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  samples: Counts,
  row: number,
  count: number,
): number {
  const { length } = bytes;
  let at = start;
  // The head: order, step, and the prediction with the distances to its rows.
  if (at >= length) refuseRow(row, at, ENDS_EARLY);
  const head = bytes[at++];
  const order = (head >> 5) & HIGHEST_ORDER;
  let step = 1;
  let toA = 0;
  let toB = 0;
  let na = 0;
  let nb = 0;
  let c = 0;
  if (head & HAS_OPTIONS) {
    if (at >= length) refuseRow(row, at, ENDS_EARLY);
    const options = bytes[at++];
    if (options === 0 || options > (HAS_STEP | HAS_PREDICTION)) {
      refuseRow(row, at, "its options tell a step, a prediction or both, and nothing else");
    }
    if (options & HAS_STEP) {
      if (length - at < 2) refuseRow(row, length, ENDS_EARLY);
      step = bytes[at] | (bytes[at + 1] << 8);
      at += 2;
      if (step < 2) refuseRow(row, at, "a step is 2 or more");
    }
    if (options & HAS_PREDICTION) {
      if (length - at < 3) refuseRow(row, length, ENDS_EARLY);
      const a = bytes[at];
      const b = bytes[at + 1];
      const rule = bytes[at + 2];
      at += 3;
      na = (rule & 7) - 2;
      nb = ((rule >> 3) & 7) - 2;
      c = rule >> 6;
      if (a >= row || b >= row || na > 2 || nb > 2 || rule & 0x80) {
        refuseRow(row, at, "its prediction takes two rows before it, factors from -2 to 2, and no other bit");
      }
      toA = (row - a) * count;
      toB = (row - b) * count;
    }
  }
  if (order > count) refuseRow(row, at, "its order is above the number of its samples");
  // The first samples, which are not encoded. The typed array keeps the bits of its dtype, sign included.
  const first = row * count + order;
  const size = samples.BYTES_PER_ELEMENT;
  if (order * size > length - at) refuseRow(row, at, ENDS_EARLY);
  for (let i = first - order; i < first; i++) {
    let value = 0;
    for (let byte = 0; byte < size; byte++) value |= bytes[at++] << (8 * byte);
    samples[i] = value;
  }
  // The blocks.
  const last = (row + 1) * count;
  let width = head & 31;
  if (first === last && width !== 0) refuseRow(row, at, BAD_WIDTH);
  for (let from = first; from < last; from += BLOCK) {
    const to = Math.min(from + BLOCK, last);
    if (from !== first) {
      if (at >= length) refuseRow(row, at, ENDS_EARLY);
      width = bytes[at++];
    }
    if (width > WIDEST) refuseRow(row, at, BAD_WIDTH);
    const bits = (to - from) * width;
    const end = at + ((bits + 7) >> 3);
    if (end > length) refuseRow(row, at, ENDS_EARLY);
    // A residual is taken from a window of 32 bits: at most 24 of its own, and 7 of its first byte before it. The last
    // window may reach over the end of the record; there is room behind a copy of the block.
    const isCopied = end + WINDOW > length;
    const block = isCopied ? copyOfBlock(bytes, at, end) : view;
    const origin = isCopied ? 0 : at;
    const mask = (1 << width) - 1;
    const f2 = order === 3 ? -3 : order === 2 ? -1 : 0;
    const f3 = order === 3 ? 1 : 0;
    // Differences between the three samples before and their predictions.
    let d1 = 0;
    let d2 = 0;
    let d3 = 0;
    for (let i = from - order; i < from; i++) {
      d3 = d2;
      d2 = d1;
      d1 = samples[i];
      if (toA > 0) d1 -= Math.floor((na * samples[i - toA] + nb * samples[i - toB] + c) / 2);
    }
    let outside = 0;
    if (samples instanceof Int16Array && step <= LARGEST_PRODUCT >> width) {
      // In integers of 32 bits. `outside` has bits above the lowest 16 as soon as a sample is out of range.
      for (let i = from, bit = 0; i < to; i++, bit += width) {
        const zigzag = (block.getInt32(origin + (bit >> 3), true) >>> (bit & 7)) & mask;
        const residual = (zigzag >>> 1) ^ -(zigzag & 1);
        const further = (Math.imul(f2, d2) + Math.imul(f3, d3)) | 0;
        const d = (Math.imul(order, d1) + ((Math.imul(residual, step) + further) | 0)) | 0;
        d3 = d2;
        d2 = d1;
        d1 = d;
        let sample = d;
        if (toA > 0) sample = (d + ((Math.imul(na, samples[i - toA]) + Math.imul(nb, samples[i - toB]) + c) >> 1)) | 0;
        outside |= (sample + 0x8000) | 0;
        samples[i] = sample;
      }
      outside >>>= 16;
    } else {
      for (let i = from, bit = 0; i < to; i++, bit += width) {
        const zigzag = (block.getInt32(origin + (bit >> 3), true) >>> (bit & 7)) & mask;
        const residual = (zigzag >>> 1) ^ -(zigzag & 1);
        const d = residual * step + order * d1 + f2 * d2 + f3 * d3;
        d3 = d2;
        d2 = d1;
        d1 = d;
        const sample = d + Math.floor((na * samples[i - toA] + nb * samples[i - toB] + c) / 2);
        samples[i] = sample;
        if (samples[i] !== sample) outside = 1;
      }
    }
    if (outside) refuseRow(row, at, "a sample lies outside the dtype");
    at = end;
    if (bits & 7 && bytes[at - 1] >> (bits & 7)) {
      refuseRow(row, at, "the spare bits behind its residuals are not 0");
    }
  }
  return at;
}

/** Copies a block that ends near the end of the record. */
function copyOfBlock(bytes: Uint8Array, start: number, end: number): DataView {
  for (let at = start; at < end; at++) LAST_BLOCK.setUint8(at - start, bytes[at]);
  return LAST_BLOCK;
}

function refuseRow(row: number, at: number, why: string): never {
  throw refused(at, `row ${row} of the record: ${why}`);
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

function refused(offset: number, why: string): ProtocolError {
  const text = `${why} (byte ${offset})`;
  return new ProtocolError(ErrorCode.INVALID_DATA_FORMAT, text, { check: 11, offset, path: SIGNAL });
}

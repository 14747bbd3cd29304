/**
 * Recovers the ADC counts of float signals, so that records can carry integers and the floats arrive unchanged.
 *
 * Nearly all ECG signals in millivolts were computed from ADC counts. If a scale, a pair of numbers, reproduces every
 * float of a signal exactly as `(count * mul) / div`, the record carries the counts, and its template the scale. If
 * there is no such scale, the record carries the floats.
 */
import { NdArray } from "./ndarray.js";
import type { Scale } from "./record-reader.js";

/** The counts of a float signal. */
export interface ExactCounts {
  /** int16 or int32, of the same shape as the signal. */
  readonly counts: NdArray;
  /** Each finite float is `(count * mul) / div`. */
  readonly scale: Scale;
  /** The count that stands for NaN: the smallest value of the dtype. */
  readonly missing: number;
}

/** Largest number of earlier values that a new scale should reproduce, too. */
const KEPT_VALUES = 4096;
/** Divisors with which senders convert counts to millivolts, volts or microvolts. */
const DIVISORS: readonly number[] = /* @__PURE__ */ makeDivisors();
const LARGEST_OF_INT16 = 2 ** 15 - 1;
const LARGEST_OF_INT32 = 2 ** 31 - 1;
/** Remainders smaller than this fraction of the largest value are rounding errors. */
const NEGLIGIBLE = 1e-9;
const MOST_DIGITS = 9;
/** Largest number of rounds in the search for a step. Counts need few. */
const LONGEST_EUCLID = 100;
/** Number of values that are checked before all others. Most scales fail for one of them. */
const GLANCE = 16;
const SMALLEST_SCALE = 1e-100;
const LARGEST_SCALE = 1e100;
const ALL_WHOLE = 2 ** 52;

function makeDivisors(): number[] {
  const tens = [1, 2, 2.5, 4, 5, 8].flatMap((factor) => [0, 1, 2, 3, 4, 5].map((power) => factor * 10 ** power));
  const twos = Array.from({ length: 17 }, (_, power) => 2 ** power);
  return [...new Set([...tens, ...twos, 204.8, 409.6, 819.2, 1e6])].sort((a, b) => a - b);
}

/** Recovers the counts of one stream. Tries the scale of the signal before first. */
export class ExactSamples {
  /** The latest scale that was found. */
  scale: Scale | null = null;
  #kept: Float64Array[] = [];

  /**
   * Recovers the counts of a signal.
   *
   * @param signal an array of float64 or lists of numbers, `[samples]` or `[leads, samples]`
   * @returns undefined if the signal is to be sent as it is: it has another form, contains infinities, booleans or
   *   integers beyond 2^53, or no known scale gives counts of 32 bits
   */
  take(signal: unknown): ExactCounts | undefined {
    const given = floatsOf(signal);
    if (!given) return undefined;
    const [floats, shape] = given;
    const finite = floats.filter((value) => !Number.isNaN(value));
    if (!finite.every(Number.isFinite)) return undefined;
    const found = (this.scale && countsBy(this.scale, floats, shape)) ?? this.#look(floats, finite, shape);
    if (found) {
      this.scale = found.scale;
      this.#keep(finite);
    }
    return found;
  }

  /** Finds a scale for these values and the earlier ones; or, if the gain has changed, for these values only. */
  #look(floats: Float64Array, finite: Float64Array, shape: readonly number[]): ExactCounts | undefined {
    const common = this.#kept.length ? findScale(joined([finite, ...this.#kept])) : undefined;
    const found = common && countsBy(common, floats, shape);
    if (found) return found;
    const own = findScale(finite);
    const alone = own && countsBy(own, floats, shape);
    if (alone) this.#kept = [];
    return alone;
  }

  #keep(finite: Float64Array): void {
    if (finite.length === 0) return;
    this.#kept.push(finite.slice(0, KEPT_VALUES));
    let size = this.#kept.reduce((sum, values) => sum + values.length, 0);
    while (size > KEPT_VALUES) size -= this.#kept.shift()?.length ?? 0;
  }
}

/**
 * Computes the counts of floats for a scale.
 *
 * @param floats finite values and NaN
 * @returns undefined if the scale does not reproduce every float, or if a count has more than 32 bits
 */
export function countsBy(
  scale: Scale,
  floats: Float64Array,
  shape: readonly number[] = [floats.length],
): ExactCounts | undefined {
  const counts = exactCounts(
    scale,
    floats.map((value) => (Number.isNaN(value) ? 0 : value)),
  );
  if (!counts) return undefined;
  let largest = 0;
  for (const count of counts) largest = Math.max(largest, Math.abs(count));
  if (largest > LARGEST_OF_INT32) return undefined;
  const whole = largest <= LARGEST_OF_INT16 ? Int16Array.from(counts) : Int32Array.from(counts);
  const missing = -(largest <= LARGEST_OF_INT16 ? LARGEST_OF_INT16 : LARGEST_OF_INT32) - 1;
  floats.forEach((value, i) => {
    if (Number.isNaN(value)) whole[i] = missing;
  });
  return { counts: new NdArray(whole, shape), scale, missing };
}

/** Returns the counts that reproduce the values exactly, as integral floats; undefined if there are none. */
function exactCounts({ mul, div }: Scale, finite: Float64Array): Float64Array | undefined {
  const counts = new Float64Array(finite.length);
  for (let i = 0; i < finite.length; i++) {
    const count = nearestInteger((finite[i] * div) / mul);
    if ((count * mul) / div !== finite[i]) return undefined;
    counts[i] = count;
  }
  return counts;
}

/**
 * Returns the first scale that reproduces every value exactly; undefined if there is none.
 *
 * Tries the known divisors first; `mul` is then the greatest common divisor of the counts. Otherwise computes the
 * common step of the values, and tries scales that correspond to it, rounded to 1 to 9 digits.
 */
export function findScale(finite: Float64Array): Scale | undefined {
  const every = Math.max(1, Math.floor(finite.length / GLANCE));
  const glance = finite.filter((_, i) => i % every === 0);
  for (const div of DIVISORS) {
    const plain = { mul: 1, div };
    const counts = exactCounts(plain, glance) && exactCounts(plain, finite);
    if (!counts?.every((count) => Math.abs(count) <= 2 ** 53)) continue;
    const scale = { mul: commonDivisor(counts) || 1, div };
    if (countsBy(scale, finite)) return scale;
  }
  const step = commonStep(finite);
  if (step === undefined) return undefined;
  for (let digits = 1; digits <= MOST_DIGITS; digits++) {
    for (const scale of scalesOf(step, digits)) {
      const isAllowed = [scale.mul, scale.div].every((number) => number >= SMALLEST_SCALE && number <= LARGEST_SCALE);
      if (isAllowed && exactCounts(scale, glance) && countsBy(scale, finite)) return scale;
    }
  }
  return undefined;
}

function commonDivisor(counts: Float64Array): number {
  let divisor = 0;
  for (const count of counts) {
    let rest = Math.abs(count);
    while (rest) [divisor, rest] = [rest, divisor % rest];
    if (divisor === 1) break;
  }
  return divisor;
}

/** Returns scales by which a sender may have computed values with this step, from numbers with so many digits. */
function scalesOf(step: number, digits: number): Scale[] {
  const shortStep = rounded(step, digits);
  const inverse = rounded(1 / step, digits);
  return [
    { mul: shortStep, div: 1 },
    { mul: 1, div: inverse },
    { mul: rounded(1000 * step, digits), div: 1000 },
    { mul: 1, div: 1 / shortStep },
    { mul: 1 / inverse, div: 1 },
  ];
}

/** Rounds to a number of significant digits, ties to even. */
function rounded(number: number, digits: number): number {
  const [exactly, exponent] = number.toExponential(100).split("e");
  const length = digits === 1 ? 1 : digits + 1; // including the decimal point
  const down = exactly.slice(0, length);
  const isMidway = /^\.?50*$/.test(exactly.slice(length));
  const isEven = Number(down.at(-1)) % 2 === 0;
  return Number(isMidway && isEven ? `${down}e${exponent}` : number.toExponential(digits - 1)); // rounds up
}

/**
 * Returns the largest step of which all values are multiples, except for rounding errors; undefined if there is none.
 */
function commonStep(finite: Float64Array): number | undefined {
  const ordered = uniqueOf(finite);
  const amounts = ordered.map(Math.abs);
  const negligible = NEGLIGIBLE * amounts.reduce((most, amount) => Math.max(most, amount), 0);
  if (!(negligible >= SMALLEST_SCALE && negligible <= LARGEST_SCALE)) return undefined;
  let rest = joined([ordered.subarray(1).map((value, i) => value - ordered[i]), amounts]);
  for (let round = 0; round < LONGEST_EUCLID; round++) {
    rest = uniqueOf(rest.filter((value) => value >= negligible));
    const least = rest[0];
    if (rest.length === 1) return least;
    rest = joined([rest.subarray(1).map((value) => value % least), Float64Array.of(least)]);
  }
  return undefined;
}

/** Sorts the values and removes duplicates. */
function uniqueOf(values: Float64Array): Float64Array {
  return values
    .slice()
    .sort()
    .filter((value, i, sorted) => i === 0 || value !== sorted[i - 1]);
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const whole = new Float64Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Rounds to the nearest integer, ties to even. */
export function nearestInteger(value: number): number {
  if (!(Math.abs(value) < ALL_WHOLE)) return value;
  return value < 0 ? value - ALL_WHOLE + ALL_WHOLE : value + ALL_WHOLE - ALL_WHOLE;
}

/**
 * Returns the numbers of a signal as float64, and its shape; undefined if it is no signal or a float cannot hold them.
 */
function floatsOf(signal: unknown): [Float64Array, readonly number[]] | undefined {
  if (signal instanceof Float64Array) return [signal, [signal.length]];
  if (signal instanceof NdArray) {
    const { data, shape, dtype } = signal;
    const isSignal = dtype === "float64" && (shape.length === 1 || shape.length === 2);
    return isSignal ? [data as Float64Array, shape] : undefined;
  }
  if (!Array.isArray(signal)) return undefined;
  const isNested = Array.isArray(signal[0]);
  const rows: readonly unknown[] = isNested ? signal : [signal];
  const width = (rows[0] as unknown[]).length;
  const isHeld = (value: unknown) =>
    typeof value === "number" || (typeof value === "bigint" && value <= 2n ** 53n && value >= -(2n ** 53n));
  const areRows = rows.every((row) => Array.isArray(row) && row.length === width && row.every(isHeld));
  if (!areRows) return undefined;
  const floats = Float64Array.from((rows as (number | bigint)[][]).flat(), Number);
  return [floats, isNested ? [rows.length, width] : [width]];
}

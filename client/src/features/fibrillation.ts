/**
 * Test of three seconds of a lead for ventricular fibrillation.
 *
 * Fibrillation has no isoelectric stretches (Thakor et al., IEEE Trans. Biomed. Eng. 37:837, 1990; Arafat et al.,
 * Signal Image Video Process. 5:331, 2011), no steep complexes, and most of its power between 3 and 9 Hz (Kuo and
 * Dillman, Computers in Cardiology 1978:347). Unlike ventricular tachycardia it is not periodic, which autocorrelation
 * shows (Chen et al., IEEE Trans. Biomed. Eng. 34:909, 1987).
 */

/** Seconds of signal that are examined. */
const SECONDS = 3;
/** Blocks of 20 ms in each of the two means whose difference is the band-pass of 3 to 9 Hz: 80 ms. */
const WIDE = 4;
/** Smallest mean amplitude in this band, in mV. */
const SMALLEST = 0.09;
/** Frequencies of fibrillation in Hz: lowest and highest. */
const LOWEST = 3;
const HIGHEST = 9.5;
/** The signal has QRS complexes from this ratio on: steepest change in 20 ms to largest amplitude in the band. */
const STEEP = 1.2;
/** Number of parts for each of which this ratio is computed. QRS complexes in two of them are enough. */
const STRETCHES = 6;
/** Range of a stretch of 100 ms below which it is isoelectric, relative to the range of the signal. */
const ISOELECTRIC = 0.15;
/** Number of blocks in such a stretch. */
const STRETCH = 5;
/** Fraction of isoelectric stretches from which the signal has pauses. */
const PAUSES = 0.3;
/** The same if the detected beats come at irregular intervals. */
const PAUSES_OF_IRREGULAR = 0.45;
/** The rhythm is regular from this correlation on, with the waves one and two periods before. */
const REGULAR = 0.6;
/** Frequency in Hz from which a regular rhythm needs a higher correlation, and that correlation. */
const FAST = 3.6;
const VERY_REGULAR = 0.85;
/** Frequency in Hz above which waves do not count as beats, however regular they are. */
const FLUTTER = 4.4;
/** Shortest and longest period, in blocks. */
const SHORTEST_PERIOD = 6;
const LONGEST_PERIOD = 50;

/** Keeps the last seconds of a lead in blocks of 20 ms, and tests them for fibrillation. */
export class FibrillationTest {
  readonly #scale: number;
  readonly #count: number;
  readonly #blocks: Float64Array;
  readonly #band: Float64Array;

  constructor(
    readonly blockRate: number,
    readonly mean: number,
  ) {
    this.#scale = 1000 * mean;
    this.#count = Math.floor(SECONDS * blockRate + 0.5);
    this.#blocks = new Float64Array(this.#count + 2 * WIDE);
    this.#band = new Float64Array(this.#count);
  }

  /** Processes the working samples of one hop. */
  take(samples: Float64Array): void {
    const { mean } = this;
    const blocks = this.#blocks;
    const count = samples.length / mean;
    blocks.copyWithin(0, count);
    for (let block = 0; block < count; block += 1) {
      let total = 0;
      for (let index = block * mean; index < (block + 1) * mean; index += 1) total += samples[index];
      blocks[blocks.length - count + block] = total;
    }
  }

  /**
   * Returns true if the last seconds look like fibrillation.
   *
   * @param isIrregular the detected beats come at irregular intervals. In this case fast waves do not count as a
   *   rhythm, even if they are regular.
   */
  looksSo(isIrregular: boolean): boolean {
    const band = this.#band;
    const blocks = this.#blocks;
    let size = 0;
    for (let index = 0; index < band.length; index += 1) {
      let value = 0;
      for (let shift = 1; shift <= WIDE; shift += 1) value += blocks[index + WIDE + shift] - blocks[index + shift];
      band[index] = value;
      size += Math.abs(value);
    }
    if (size < SMALLEST * WIDE * this.#scale * band.length) return false;
    let crossings = 0;
    for (let index = 1; index < band.length; index += 1) if (band[index] < 0 !== band[index - 1] < 0) crossings += 1;
    const frequency = crossings / 2 / (band.length / this.blockRate);
    if (!(frequency >= LOWEST && frequency <= HIGHEST)) return false;
    const recent = blocks.subarray(blocks.length - this.#count);
    if (this.#steepness(recent) >= STEEP) return false;
    const pauses = this.#pauses(recent);
    if (isIrregular && frequency >= FAST && pauses < PAUSES_OF_IRREGULAR) return true;
    if (pauses >= PAUSES) return false;
    return frequency > FLUTTER || this.#regularity() < (frequency < FAST ? REGULAR : VERY_REGULAR);
  }

  /** Returns the ratio that `STEEP` limits: the second largest of all parts, each half a second long. */
  #steepness(blocks: Float64Array): number {
    const length = Math.floor(this.#count / STRETCHES);
    const ratios: number[] = [];
    for (let stretch = 0; stretch < STRETCHES; stretch += 1) {
      let steepest = 0;
      let largest = 0;
      for (let index = stretch * length; index < (stretch + 1) * length; index += 1) {
        if (index + 1 < blocks.length) steepest = Math.max(steepest, Math.abs(blocks[index + 1] - blocks[index]));
        largest = Math.max(largest, Math.abs(this.#band[index]));
      }
      ratios.push((steepest / Math.max(1, largest)) * WIDE);
    }
    return ratios.sort((one, other) => one - other)[STRETCHES - 2];
  }

  #pauses(blocks: Float64Array): number {
    const ranges = new Float64Array(blocks.length - STRETCH + 1);
    for (let index = 0; index < ranges.length; index += 1) {
      const part = blocks.subarray(index, index + STRETCH);
      ranges[index] = Math.max(...part) - Math.min(...part);
    }
    const whole = ranges.slice().sort()[Math.floor((ranges.length * 9) / 10)];
    let pauses = 0;
    for (const range of ranges) if (range < ISOELECTRIC * whole) pauses += 1;
    return pauses / ranges.length;
  }

  /** Returns the correlation with the waves one and two periods before, for the period where it is highest. */
  #regularity(): number {
    const correlations: number[] = [];
    for (let lag = SHORTEST_PERIOD; lag < 2 * LONGEST_PERIOD + 2; lag += 1) correlations.push(this.#correlation(lag));
    let best = 0;
    for (let period = SHORTEST_PERIOD; period <= LONGEST_PERIOD; period += 1) {
      const second = 2 * period - SHORTEST_PERIOD;
      const twice = Math.max(...correlations.slice(second - 1, second + 2));
      best = Math.max(best, Math.min(correlations[period - SHORTEST_PERIOD], twice));
    }
    return best;
  }

  #correlation(lag: number): number {
    const band = this.#band;
    let product = 0;
    let one = 0;
    let other = 0;
    for (let index = lag; index < band.length; index += 1) {
      product += band[index] * band[index - lag];
      one += band[index] * band[index];
      other += band[index - lag] * band[index - lag];
    }
    const power = one * other;
    return power > 0 ? product / Math.sqrt(power) : 0;
  }
}

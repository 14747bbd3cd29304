/**
 * Whether three seconds of a lead look like ventricular fibrillation.
 *
 * Fibrillation has no isoelectric stretch (Thakor et al., IEEE Trans. Biomed. Eng. 37:837, 1990; Arafat et al., Signal Image
 * Video Process. 5:331, 2011), no steep complex, and most of its power from 3 to 9 Hz (Kuo and Dillman, Computers in
 * Cardiology 1978:347); and no period, unlike a ventricular tachycardia (autocorrelation: Chen et al., IEEE Trans. Biomed.
 * Eng. 34:909, 1987).
 */

/** That are looked at. */
const SECONDS = 3;
/** Blocks of 20 ms in either mean of the band-pass of 3 to 9 Hz: 80 ms. */
const WIDE = 4;
/** Mean size in mV, in that band, below which it cannot be told. */
const SMALLEST = 0.09;
/** Hz. */
const LOWEST = 3;
const HIGHEST = 9.5;
/** Steepest change in 20 ms, to the largest in the band, from which on there are QRS complexes. */
const STEEP = 1.2;
/** Of which that is taken; two with QRS complexes are enough. */
const STRETCHES = 6;
/** Of the whole range, that a stretch of 100 ms must pass so as not to be isoelectric. */
const ISOELECTRIC = 0.15;
/** Blocks in such a stretch. */
const STRETCH = 5;
/** Share of isoelectric stretches from which on there are pauses. */
const PAUSES = 0.3;
/** The same where the beats that are found come at uneven intervals. */
const PAUSES_OF_IRREGULAR = 0.45;
/** Correlation with the waves one and two periods before, from which on the rhythm is a regular one. */
const REGULAR = 0.6;
/** Hz from which on the correlation must be that high. */
const FAST = 3.6;
const VERY_REGULAR = 0.85;
/** Hz above which such waves are no beats that are counted, however regular. */
const FLUTTER = 4.4;
/** Blocks. */
const SHORTEST_PERIOD = 6;
const LONGEST_PERIOD = 50;

/** Keeps the last seconds of a lead in blocks of 20 ms, and judges them when asked. */
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

  /** Go on by the working samples of one hop. */
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
   * Whether the last seconds look like fibrillation.
   *
   * @param isIrregular the beats that are found come at uneven intervals. Fast waves are no rhythm then, however regular
   *   they are among themselves.
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

  /** The second largest, over half-second stretches, of the steepest change to the largest in the band. */
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

  /** The best correlation with the waves one and two periods before, of all periods. */
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

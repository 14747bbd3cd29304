/**
 * The slope of a lead over 20 ms, and its envelope: the sum of absolute slopes in 80 ms.
 *
 * The difference of two consecutive means of 20 ms (the Haar wavelet) is both a derivative and a band-pass of about 8
 * to 30 Hz, which removes 50 Hz. The sum of its absolute values in a moving window is large at QRS complexes, as in
 * Hamilton, "Open source ECG analysis", Computers in Cardiology 29:101, 2002.
 */

/** Length of the moving window in seconds. */
const WINDOW = 0.08;
/** Smallest distance between two peaks in seconds. Of closer peaks, the higher one counts. */
const APART = 0.18;
/** Seconds before a peak in which the envelope must be lower. */
const RISE = 0.04;
/** Seconds of signal that are kept. */
const KEPT = 1;

/** The last second of a lead, with slope and envelope; the newest sample last. */
export class Envelope {
  readonly window: number;
  readonly apart: number;
  /** Divisor that converts `smooth` and `slope` to millivolts. */
  readonly scale: number;
  /** Divisor that converts `height` to millivolts. */
  readonly heightScale: number;
  /** Working samples in microvolts. */
  readonly signal: Float64Array;
  /** Sum of the last `mean` samples. */
  readonly smooth: Float64Array;
  /** Difference between `smooth` and its value `mean` samples before. */
  readonly slope: Float64Array;
  /** The envelope: sum of the absolute values of the last `window` slopes. */
  readonly height: Float64Array;
  readonly #rise: number;
  /** Samples from the last peak to the newest sample that is judged. */
  #sincePeak: number;

  constructor(
    rate: number,
    readonly mean: number,
  ) {
    this.window = Math.max(2, Math.floor(WINDOW * rate + 0.5));
    this.apart = Math.max(2, Math.floor(APART * rate + 0.5));
    this.#rise = Math.max(1, Math.floor(RISE * rate + 0.5));
    this.#sincePeak = this.apart + 1;
    this.scale = 1000 * mean;
    this.heightScale = this.scale * this.window;
    const kept = Math.floor(KEPT * rate + 0.5) + 1;
    this.signal = new Float64Array(kept);
    this.smooth = new Float64Array(kept);
    this.slope = new Float64Array(kept);
    this.height = new Float64Array(kept);
  }

  /** Processes the working samples of one hop. */
  take(samples: Float64Array): void {
    const { signal, smooth, slope, height, mean, window } = this;
    const count = samples.length;
    const begin = signal.length - count;
    for (const row of [signal, smooth, slope, height]) row.copyWithin(0, count);
    signal.set(samples, begin);
    for (let index = begin; index < signal.length; index += 1) {
      smooth[index] = smooth[index - 1] + signal[index] - signal[index - mean];
      slope[index] = smooth[index] - smooth[index - mean];
      height[index] = height[index - 1] + Math.abs(slope[index]) - Math.abs(slope[index - window]);
    }
  }

  /**
   * Returns the peaks of the envelope that became certain in the last `count` samples, as negative indices from the
   * end.
   *
   * After a peak, no value within half of `apart` is higher, and none within `apart` is much higher. It comes more than
   * `apart` samples after the previous peak.
   */
  peaks(count: number): number[] {
    const { height, apart } = this;
    const found: number[] = [];
    this.#sincePeak += count;
    for (let place = 0; place < count; place += 1) {
      const at = height.length - count - apart + place;
      const centre = height[at];
      if (this.#sincePeak - (count - place) <= apart || !(centre > height[at - 1])) continue;
      if (!this.#isHighest(at, centre)) continue;
      found.push(at - height.length);
      this.#sincePeak = count - place;
    }
    return found;
  }

  #isHighest(at: number, centre: number): boolean {
    const { height, apart } = this;
    const near = Math.floor(apart / 2);
    for (let shift = 1; shift <= near; shift += 1) if (height[at + shift] > centre) return false;
    for (let shift = near + 1; shift <= apart; shift += 1) if (7 * height[at + shift] > 8 * centre) return false;
    for (let shift = 2; shift <= this.#rise; shift += 1) if (height[at - shift] >= centre) return false;
    return true;
  }
}

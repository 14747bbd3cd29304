/**
 * Where in a lead the signal is steep: the slope over 20 ms, and how much of it there is in 80 ms.
 *
 * The difference of two means of 20 ms is a band-pass of about 8 to 30 Hz that lets nothing of 50 Hz through, and a
 * derivative in one (Haar's wavelet); its size in a moving window marks the QRS, as in Hamilton, "Open source ECG
 * analysis", Computers in Cardiology 29:101, 2002.
 */

/** Seconds of the moving window. */
const WINDOW = 0.08;
/** Seconds between two peaks of the envelope at the least: of those closer together, the higher counts. */
const APART = 0.18;
/** Seconds before a peak in which all is lower. */
const RISE = 0.04;
/** Seconds that can be looked back. */
const KEPT = 1;

/** The last second of a lead, with slope and envelope; the newest sample last. */
export class Envelope {
  readonly window: number;
  readonly apart: number;
  /** Divides `smooth` and `slope` to millivolts. */
  readonly scale: number;
  /** Divides `height` to millivolts. */
  readonly heightScale: number;
  /** Microvolts. */
  readonly signal: Float64Array;
  /** Sum of `mean` samples. */
  readonly smooth: Float64Array;
  /** Difference of `smooth` from what it was `mean` samples before. */
  readonly slope: Float64Array;
  /** Sum of the sizes of `window` slopes: the envelope. */
  readonly height: Float64Array;
  readonly #rise: number;
  /** Samples from the last peak to the newest that is judged. */
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

  /** Go on by the working samples of one hop. */
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
   * The envelope's peaks that are certain since `count` samples, by their place (from the end, negative).
   *
   * Nothing within half of `apart` after a peak is higher, nothing within `apart` is much higher, and it comes more than
   * `apart` after the peak before it.
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

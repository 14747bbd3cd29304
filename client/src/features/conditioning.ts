/**
 * From millivolts to whole microvolts at about 250 Hz, without pacing spikes and without steps at gaps.
 * All that follows counts in whole numbers, so that Python comes to the same.
 */

/** Hz that the samples are averaged down to, as near as a whole factor comes. */
const WORKING_RATE = 250;
/** Seconds of the shortest mean that is taken of the working samples: one period of 50 Hz. */
const MEAN = 0.02;
/** What is looked at in one go: 60 ms, whatever the samples are fed in. */
export const MEANS_IN_A_HOP = 3;
/** Microvolts beyond which a value is cut. */
const LARGEST = 1_000_000;
/** Microvolts from where a lead began at which it begins anew: an electrode has been moved. */
const FAR = 100_000;
/** Seconds of missing samples that are bridged by the last value; more is a gap. */
const BRIDGED = 0.02;
/** Seconds that a pacing spike lasts at the most; whatever is as short is taken out. */
const SPIKE = 0.003;
/** Hz below which one sample is longer than a spike, and may be the top of an R wave. */
const SPIKE_RATE = 200;
/** Seconds that are bridged from a pacing spike on that the device has marked. */
const BLANKED = 0.012;

/** How the samples of a sampling rate become working samples. */
export class Conditioning {
  readonly factor: number;
  readonly rate: number;
  /** Working samples of 20 ms, and of one hop. */
  readonly mean: number;
  readonly hop: number;
  /** Samples that an opening or a closing takes the extreme of. */
  readonly reach: number;
  /** Raw samples by which what comes out is late. */
  readonly delay: number;
  readonly bridged: number;
  /** Raw samples to be bridged from a marked spike on. */
  readonly blanked: number;

  constructor(samplingRate: number) {
    this.factor = Math.max(1, Math.floor(samplingRate / WORKING_RATE + 0.5));
    this.rate = samplingRate / this.factor;
    this.mean = Math.max(1, Math.floor(MEAN * this.rate + 0.5));
    this.hop = MEANS_IN_A_HOP * this.mean;
    const width = samplingRate >= SPIKE_RATE ? Math.floor(SPIKE * samplingRate) + 1 : 0;
    this.reach = width + 1;
    this.delay = 2 * width;
    this.bridged = Math.max(1, Math.floor(BRIDGED * samplingRate + 0.5));
    this.blanked = Math.max(1, Math.floor(BLANKED * samplingRate + 0.5));
  }
}

/**
 * The samples of one lead, hop by hop.
 *
 * Pacing spikes are taken out by an opening and a closing (Chu and Delp, IEEE Trans. Biomed. Eng. 36:262, 1989), which cut
 * off what is narrower than they are, of either sign, and leave what is wider as it is.
 */
export class Conditioner {
  /** Of the last hop, in microvolts: the lowest above the highest where there was not one sample. */
  lowest = 0;
  highest = 0;
  /** Raw samples of the last hop that were in a gap. */
  lost = 0;
  readonly #tail: Float64Array;
  readonly #longer: Float64Array;
  readonly #other: Float64Array;
  #last = 0;
  #offset = 0;
  #missing: number;

  constructor(readonly conditioning: Conditioning) {
    const { reach, hop, factor, bridged } = conditioning;
    this.#tail = new Float64Array(4 * (reach - 1));
    this.#longer = new Float64Array(this.#tail.length + hop * factor);
    this.#other = new Float64Array(this.#longer.length);
    this.#missing = bridged + 1;
  }

  /**
   * @param raw in mV: one hop of them from `from` on.
   * @param blanked raw samples of this hop that count as missing.
   * @param into takes the working samples, in microvolts from a zero of their own.
   */
  work(raw: Float64Array, from: number, blanked: ReadonlySet<number> | null, into: Float64Array): void {
    const { factor, hop, reach } = this.conditioning;
    const longer = this.#longer;
    const before = this.#tail.length;
    longer.set(this.#tail);
    this.lowest = LARGEST + 1;
    this.highest = -LARGEST - 1;
    this.lost = 0;
    for (let index = 0; index < hop * factor; index += 1)
      longer[before + index] = this.#bridge(raw[from + index], blanked?.has(index) === true);
    if (before > 0) {
      this.#tail.set(longer.subarray(longer.length - before));
      this.#withoutSpikes(reach);
    }
    for (let sample = 0; sample < hop; sample += 1) {
      let sum = 0;
      for (let index = sample * factor; index < (sample + 1) * factor; index += 1) sum += longer[index];
      into[sample] = Math.floor(sum / factor);
    }
  }

  /** Hold the last value where one is missing, and go on from it after a gap. */
  #bridge(millivolts: number, isBlanked: boolean): number {
    const { bridged } = this.conditioning;
    const isThere = Math.abs(millivolts) < 1e6;
    let value = 0;
    if (isThere) {
      value = Math.min(LARGEST, Math.max(-LARGEST, Math.floor(millivolts * 1000 + 0.5)));
      if (value < this.lowest) this.lowest = value;
      if (value > this.highest) this.highest = value;
    }
    if (!isThere || isBlanked) {
      this.#missing += 1;
      if (this.#missing > bridged) this.lost += 1;
      return this.#last;
    }
    if (this.#missing > bridged) {
      this.#offset = value - this.#last;
      this.lost += 1;
    } else if (Math.abs(value - this.#offset) > FAR) {
      this.#offset = value;
    }
    this.#missing = 0;
    this.#last = value - this.#offset;
    return this.#last;
  }

  /** Leaves the result at the beginning of `#longer`. */
  #withoutSpikes(reach: number): void {
    const one = this.#longer;
    const other = this.#other;
    let length = one.length;
    length = runningMinimum(one, length, reach, other);
    length = runningMaximum(other, length, reach, one);
    length = runningMaximum(one, length, reach, other);
    runningMinimum(other, length, reach, one);
  }
}

/** The lowest of each `reach` samples in a row, into `result`; gives how many there are. */
function runningMinimum(values: Float64Array, count: number, reach: number, result: Float64Array): number {
  const length = count - reach + 1;
  for (let index = 0; index < length; index += 1) {
    let lowest = values[index];
    for (let shift = 1; shift < reach; shift += 1) {
      const value = values[index + shift];
      if (value < lowest) lowest = value;
    }
    result[index] = lowest;
  }
  return length;
}

function runningMaximum(values: Float64Array, count: number, reach: number, result: Float64Array): number {
  const length = count - reach + 1;
  for (let index = 0; index < length; index += 1) {
    let highest = values[index];
    for (let shift = 1; shift < reach; shift += 1) {
      const value = values[index + shift];
      if (value > highest) highest = value;
    }
    result[index] = highest;
  }
  return length;
}

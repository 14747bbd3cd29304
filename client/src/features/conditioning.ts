/**
 * Converts millivolts to integral microvolts at about 250 Hz, and removes pacing spikes and steps at gaps.
 *
 * All later stages compute with integers, so that the results do not depend on the order of additions or the language.
 */

import { type Found, LeadSpikes } from "./pacing-spikes.js";

/** Desired working rate in Hz. Samples are averaged in groups of an integral size that comes closest to this rate. */
const WORKING_RATE = 250;
/** Length of the shortest mean in seconds: one period of 50 Hz. */
const MEAN = 0.02;
/** Number of such means that are processed at once: 60 ms, however the samples are fed. */
export const MEANS_IN_A_HOP = 3;
/** Largest value in microvolts; others are clipped. */
const LARGEST = 1_000_000;
/** Distance from zero in microvolts beyond which a lead gets a new zero, because an electrode was moved. */
const FAR = 100_000;
/** Longest run of missing samples in seconds that is replaced by the last value; a longer one is a gap. */
const BRIDGED = 0.02;
/** Longest pacing spike in seconds. Every deflection that is not longer is removed. */
const SPIKE = 0.003;
/** Sampling rate in Hz below which spikes are not removed, because a single sample may be the top of an R wave. */
const SPIKE_RATE = 200;
/** Seconds of signal that are replaced after the start of a marked pacing spike. */
const BLANKED = 0.012;

/** Numbers for the conversion to working samples; they depend on the sampling rate only. */
export class Conditioning {
  readonly factor: number;
  readonly rate: number;
  /** Number of working samples in 20 ms. */
  readonly mean: number;
  /** Number of working samples in a hop. */
  readonly hop: number;
  /** Number of samples of which an opening or closing computes the extreme. */
  readonly reach: number;
  /** Delay of the output in raw samples. */
  readonly delay: number;
  /** Largest number of consecutive missing raw samples that are replaced by the last value. */
  readonly bridged: number;
  /** Number of raw samples that are replaced after the start of a marked spike. */
  readonly blanked: number;

  constructor(readonly samplingRate: number) {
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
 * Converts the raw samples of one lead to working samples, hop by hop.
 *
 * Pacing spikes are removed by an opening and a closing (Chu and Delp, IEEE Trans. Biomed. Eng. 36:262, 1989), which
 * remove deflections of either sign that are narrower than the operators, and do not change wider ones.
 */
export class Conditioner {
  /** Lowest value of the last hop in microvolts; higher than `highest` if the hop had no samples. */
  lowest = 0;
  /** Highest value of the last hop in microvolts. */
  highest = 0;
  /** Number of raw samples of the last hop that were in a gap. */
  lost = 0;
  readonly #tail: Float64Array;
  readonly #longer: Float64Array;
  readonly #other: Float64Array;
  readonly #raw: Float64Array;
  #last = 0;
  #offset = 0;
  #missing: number;
  readonly #spikes: LeadSpikes;
  #worked = 0;

  constructor(
    readonly conditioning: Conditioning,
    lead: number,
  ) {
    const { reach, hop, factor, bridged } = conditioning;
    this.#spikes = new LeadSpikes(conditioning.samplingRate, lead, hop * factor);
    this.#tail = new Float64Array(4 * (reach - 1));
    this.#longer = new Float64Array(this.#tail.length + hop * factor);
    this.#other = new Float64Array(this.#longer.length);
    this.#raw = new Float64Array(this.#longer.length);
    this.#missing = bridged + 1;
  }

  /**
   * Converts one hop.
   *
   * @param raw samples in mV, from index `from` on; NaN for missing ones.
   * @param blanked positions in this hop of samples to replace, because a pacing spike is marked there.
   * @param into receives the working samples in microvolts, relative to a zero of the lead.
   * @param spikes receives the pacing spikes that are certain now.
   */
  work(
    raw: Float32Array,
    from: number,
    blanked: ReadonlySet<number> | null,
    into: Float64Array,
    spikes: Found[],
  ): void {
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
      this.#raw.set(longer);
      this.#withoutSpikes(reach);
      const { delay } = this.conditioning;
      this.#spikes.find(longer, this.#raw, delay, this.#worked - delay, spikes);
    }
    this.#worked += hop * factor;
    for (let sample = 0; sample < hop; sample += 1) {
      let sum = 0;
      for (let index = sample * factor; index < (sample + 1) * factor; index += 1) sum += longer[index];
      into[sample] = Math.floor(sum / factor);
    }
  }

  /** Counts lost samples, which are not converted. */
  pass(samples: number): void {
    this.#worked += samples;
  }

  /** Replaces a missing sample by the last value, and shifts the zero after a gap. */
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

  /** Removes spikes. The result is at the beginning of `#longer`. */
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

/** Writes the minimum of each window of `reach` samples to `result`. Returns the number of windows. */
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

/** Detection of pacing spikes in what the conditioner removes: they are much larger than noise or the top of a QRS. */

import { median, remember } from "./numbers.js";

/** Smallest amplitude of a spike in the removed signal, in microvolts. */
const SMALLEST = 250;
/** The same, relative to the largest amplitude that is usually removed in a hop. */
const OUT_OF_NOISE = 5;
/** Number of hops (0.48 s) whose median is the usual amplitude. */
const NOISE_HOPS = 8;
/** Seconds on both sides that may belong to the same spike. */
const WIDTH = 0.003;
/** Smallest amplitude of a spike, relative to the other removed peaks around it: muscle noise has many peaks. */
const ALONE = 3;
/**
 * Seconds on both sides in which the range of the remaining signal must be at most twice the spike. Around the top of a
 * QRS it is larger.
 */
const AROUND = 0.012;
/** Seconds within which spikes in several leads are the same spike. */
const SAME = 0.01;
/** Number of spikes that are kept until the application asks for them. */
export const KEPT = 256;

/** A pacing spike, or a glitch that is as short and steep. The detector removes it before it detects beats. */
export interface PacingSpike {
  /** Number of the sample, counted from the first sample fed or skipped; exact to 3 ms. */
  readonly sample: number;
  /** Index of the lead in which it is largest. */
  readonly lead: number;
  /** Amplitude in mV as sampled, negative if it points down. The real amplitude may be much larger. */
  readonly amplitude: number;
}

/** A sample of one lead that may be a spike. `cut` is the removed part, in microvolts. */
export interface Found {
  readonly sample: number;
  readonly lead: number;
  readonly cut: number;
}

/** Detects pacing spikes in one lead. */
export class LeadSpikes {
  readonly #around: number;
  readonly #width: number;
  readonly #clean: Float64Array;
  readonly #cut: Float64Array;
  readonly #usual: number[] = [];

  /** @param count number of raw samples in a hop. */
  constructor(
    samplingRate: number,
    readonly lead: number,
    readonly count: number,
  ) {
    this.#around = Math.max(2, Math.floor(AROUND * samplingRate + 0.5));
    this.#width = Math.floor(WIDTH * samplingRate) + 1;
    this.#clean = new Float64Array(2 * this.#around + count);
    this.#cut = new Float64Array(2 * this.#around + count);
  }

  /**
   * Processes one hop.
   *
   * @param clean the signal without spikes, in microvolts, at the beginning of this array.
   * @param raw the signal with spikes, from index `from` on.
   * @param first number of the first of these samples.
   * @param found receives samples that may be spikes.
   */
  find(clean: Float64Array, raw: Float64Array, from: number, first: number, found: Found[]): void {
    const { count } = this;
    const around = this.#around;
    this.#clean.copyWithin(0, count);
    this.#cut.copyWithin(0, count);
    let largest = 0;
    for (let index = 0; index < count; index += 1) {
      const cut = raw[from + index] - clean[index];
      this.#clean[2 * around + index] = clean[index];
      this.#cut[2 * around + index] = cut;
      if (Math.abs(cut) > largest) largest = Math.abs(cut);
    }
    remember(this.#usual, largest, NOISE_HOPS);
    let least = 0;
    for (let at = 0; at < count; at += 1) {
      const size = Math.abs(this.#cut[around + at]);
      if (size < SMALLEST) continue;
      least ||= OUT_OF_NOISE * median(this.#usual);
      if (size < least || 2 * size < rangeOf(this.#clean, at, at + 2 * around + 1)) continue;
      if (size >= ALONE * this.#largestAround(around + at))
        found.push({ sample: first - around + at, lead: this.lead, cut: this.#cut[around + at] });
    }
  }

  /** Returns the largest amplitude that was removed around a spike. */
  #largestAround(place: number): number {
    let largest = 0;
    for (let shift = this.#width + 1; shift <= this.#around; shift += 1)
      largest = Math.max(largest, Math.abs(this.#cut[place - shift]), Math.abs(this.#cut[place + shift]));
    return largest;
  }
}

/** Combines the spikes of all leads. */
export class PacingSpikes {
  readonly #same: number;
  #last: number;

  constructor(samplingRate: number) {
    this.#same = Math.max(1, Math.floor(SAME * samplingRate + 0.5));
    this.#last = -this.#same - 1;
  }

  /** Returns the largest of spikes that are close together. Spikes close after a reported one belong to it. */
  merge(found: readonly Found[]): PacingSpike[] {
    const spikes: PacingSpike[] = [];
    let left = found;
    while (left.length > 0) {
      const begin = Math.min(...left.map(({ sample }) => sample));
      const together = left.filter(({ sample }) => sample <= begin + this.#same);
      left = left.filter(({ sample }) => sample > begin + this.#same);
      const [{ sample, lead, cut }] = together.sort(
        (one, other) => Math.abs(other.cut) - Math.abs(one.cut) || one.sample - other.sample || one.lead - other.lead,
      );
      if (begin > this.#last + this.#same) spikes.push({ sample: Math.max(0, sample), lead, amplitude: cut / 1000 });
      this.#last = Math.max(...together.map((one) => one.sample));
    }
    return spikes;
  }
}

function rangeOf(values: Float64Array, from: number, to: number): number {
  let lowest = Number.POSITIVE_INFINITY;
  let highest = Number.NEGATIVE_INFINITY;
  for (let index = from; index < to; index += 1) {
    if (values[index] < lowest) lowest = values[index];
    if (values[index] > highest) highest = values[index];
  }
  return highest - lowest;
}

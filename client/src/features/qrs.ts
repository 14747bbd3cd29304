/**
 * Which peaks of a lead's envelope are QRS complexes.
 *
 * The rules are those of Hamilton, "Open source ECG analysis", Computers in Cardiology 29:101, 2002, after Pan and
 * Tompkins, IEEE Trans. Biomed. Eng. 32:230, 1985: thresholds between the medians of the last beats and of the last noise,
 * a T wave told by its slope, a search back. To them comes a floor in millivolts, below which nothing is a beat.
 */

import type { Envelope } from "./envelope.js";
import { median, remember, sum } from "./numbers.js";

/** mV from peak to peak, smoothed over 20 ms, below which nothing is a beat. */
const SMALLEST = 0.27;
/** mV of the envelope below which nothing is a beat. */
export const FAINTEST = 0.07;
/** Times the envelope between the beats that a small beat must have. */
const OUT_OF_NOISE = 3.5;
/** mV from peak to peak up to which a beat must stand out of the noise. */
const SMALL = 0.6;
/** Of the way from the noise to the beats that the threshold lies at. */
const SHARE = 0.3;
/** Beats, and peaks of noise, of which the median is taken. */
const REMEMBERED = 8;
/** Seconds after a beat in which there cannot be another. */
const REFRACTORY = 0.18;
/** Seconds after a beat in which a wave of less than half its slope is its T wave. */
const T_WAVE = 0.36;
/**
 * Seconds after a beat, and share of the interval, within which a wave of that share of its slope, and not much larger, is
 * a late T wave.
 */
const LATE_T_WAVE = 0.5;
const LATE_INTERVALS = 0.62;
const LATE_SLOPE = 0.42;
const LATE_AMPLITUDE = 1.2;
/** Share of its slope by which a wave rises more than it falls, or falls more: it is half of a wide one. */
const FLANK = 0.5;
/** Mean intervals after which a beat is sought among the peaks let go. */
const OVERDUE = 1.5;
/** Times the shortest of so many intervals that the longest of uneven ones is. */
const UNEVEN = 1.35;
const UNEVEN_IN = 4;
/** Seconds without a beat after which the threshold sinks to half, and after twice that to the floor. */
const SINKING = 1.5;
/** Seconds between two beats beyond which they tell no interval. */
const LONGEST = 2.5;
/** Of its steepest slope that a wave must have in the other direction too: a mere step is none. */
const ONE_SIDED = 0.12;
/** Seconds on both sides of a wave in which its other side is looked for. */
const AROUND = 0.1;
/** Hops (2.4 s) whose quietest quarter tells the noise between the beats. */
const QUIET_HOPS = 40;
/** Hops after which it is looked for again. */
const QUIET_EVERY = 4;

/** A peak of the envelope, measured. Samples are working samples, counted from the beginning. */
export interface Wave {
  /** Of the R peak. */
  readonly sample: number;
  /** Of the envelope's peak. */
  readonly decided: number;
  readonly height: number;
  readonly slope: number;
  /** 1 where it is a rise, -1 a fall, 0 where it is both: a whole complex. */
  readonly flank: number;
  /** mV from peak to peak. */
  readonly amplitude: number;
  /** Times the envelope between the beats. */
  readonly standsOut: number;
}

/** The beats of one lead. */
export class QrsDetector {
  last: Wave | null = null;
  /** Whether even a large beat must stand out of the noise. */
  isNoisy = false;
  #letGo: Wave | null = null;
  readonly #beats: number[] = [];
  readonly #noise: number[] = [];
  readonly #intervals: number[] = [];
  readonly #quiet: number[] = [];
  #hops = 0;
  /** The envelope between the beats. */
  quiet = 0;

  constructor(readonly rate: number) {}

  /** The lowest envelope of one hop. */
  noteQuiet(height: number): void {
    remember(this.#quiet, height, QUIET_HOPS);
    if (this.#hops % QUIET_EVERY === 0) {
      const sorted = Float64Array.from(this.#quiet).sort();
      this.quiet = sorted[Math.floor(sorted.length / 4)];
    }
    this.#hops += 1;
  }

  /** Whether the last beats came at uneven intervals. */
  get isIrregular(): boolean {
    const intervals = this.#intervals.slice(-UNEVEN_IN);
    return intervals.length === UNEVEN_IN && Math.max(...intervals) > UNEVEN * Math.min(...intervals);
  }

  /** Whether the envelope's peak at this place (from the end) is a beat; `now` is the number of samples so far. */
  judge(envelope: Envelope, place: number, now: number): Wave | null {
    const height = envelope.height[envelope.height.length + place];
    const wave = height < FAINTEST * envelope.heightScale ? null : this.#measure(envelope, place, now, height);
    if (wave === null || wave.amplitude < SMALLEST || this.#drowns(wave)) {
      remember(this.#noise, height, REMEMBERED);
      return null;
    }
    const since = this.last === null ? null : wave.decided - this.last.decided;
    if (since !== null && since < REFRACTORY * this.rate) return null;
    if (since !== null && this.last !== null && this.#isTWave(wave, since, this.last)) return null;
    if (height >= this.threshold(since)) return this.#accept(wave);
    remember(this.#noise, height, REMEMBERED);
    if (this.#letGo === null || height > this.#letGo.height) this.#letGo = wave;
    return null;
  }

  /** The beat that was let go and is missing now: half the threshold is enough for it. */
  lookBack(decided: number): Wave | null {
    const wave = this.#letGo;
    if (wave === null || this.last === null || this.#intervals.length < 2) return null;
    const mean = sum(this.#intervals) / this.#intervals.length;
    if (decided - this.last.decided < OVERDUE * mean) return null;
    this.#letGo = null;
    return wave.height < this.threshold(wave.decided - this.last.decided) / 2 ? null : this.#accept(wave);
  }

  /** Of the envelope, this many samples after the last beat. */
  threshold(since: number | null): number {
    if (since === null || this.#beats.length === 0 || since > 2 * SINKING * this.rate) return 0;
    const beats = median(this.#beats);
    const noise = this.#noise.length > 0 ? Math.min(median(this.#noise), beats) : 0;
    const threshold = noise + SHARE * (beats - noise);
    return since > SINKING * this.rate ? threshold / 2 : threshold;
  }

  #drowns(wave: Wave): boolean {
    return (wave.amplitude < SMALL || this.isNoisy) && wave.standsOut < OUT_OF_NOISE;
  }

  #isTWave(wave: Wave, since: number, last: Wave): boolean {
    if (since < T_WAVE * this.rate) return wave.flank * last.flank < 0 || 2 * wave.slope < last.slope;
    if (since >= LATE_T_WAVE * this.rate || wave.amplitude > LATE_AMPLITUDE * last.amplitude) return false;
    const isLate = this.#intervals.length === 0 || since < LATE_INTERVALS * median(this.#intervals);
    return isLate && wave.slope < LATE_SLOPE * last.slope;
  }

  #accept(wave: Wave): Wave {
    if (this.last !== null && wave.decided - this.last.decided < LONGEST * this.rate)
      remember(this.#intervals, wave.decided - this.last.decided, REMEMBERED);
    this.last = wave;
    this.#letGo = null;
    remember(this.#beats, wave.height, REMEMBERED);
    return wave;
  }

  /** Null where there is but a step in one direction. */
  #measure(envelope: Envelope, place: number, now: number, height: number): Wave | null {
    const { window, mean } = envelope;
    const end = envelope.height.length + place + 1;
    const reach = window + 2 * mean;
    const around = Math.floor(AROUND * this.rate + 0.5);
    const [lowest, highest] = extremes(envelope.slope, end - window, end);
    const rise = highest;
    const fall = -lowest;
    const slope = Math.max(rise, fall);
    const flank = Math.abs(rise - fall) < FLANK * slope ? 0 : rise > fall ? 1 : -1;
    const [least, most] = extremes(envelope.slope, end - window - around, end + around);
    if (Math.min(most, -least) < ONE_SIDED * slope) return null;
    const [bottom, top] = extremes(envelope.smooth, end - window - mean, end);
    const wider = envelope.signal.slice(end - reach - around, end + around).sort();
    const level = wider[Math.floor((reach + 2 * around) / 2)];
    let peak = 0;
    let size = -1;
    for (let index = 0; index < reach; index += 1) {
      const distance = Math.abs(envelope.signal[end - reach + index] - level);
      if (distance > size) {
        peak = index;
        size = distance;
      }
    }
    const decided = now + place;
    return {
      sample: decided - reach + 1 + peak,
      decided,
      height,
      slope,
      flank,
      amplitude: (top - bottom) / envelope.scale,
      standsOut: height / Math.max(1, this.quiet),
    };
  }
}

function extremes(values: Float64Array, from: number, to: number): [lowest: number, highest: number] {
  let lowest = values[from];
  let highest = lowest;
  for (let index = from + 1; index < to; index += 1) {
    const value = values[index];
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  return [lowest, highest];
}

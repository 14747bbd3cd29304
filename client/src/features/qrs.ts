/**
 * Detection of QRS complexes among the peaks of the envelope of a lead.
 *
 * The rules are those of Hamilton, "Open source ECG analysis", Computers in Cardiology 29:101, 2002, after Pan and
 * Tompkins, IEEE Trans. Biomed. Eng. 32:230, 1985: a threshold between the medians of the last beats and of the last
 * noise peaks, T waves recognized by their slope, and a search back for missed beats. In addition, a beat must have a
 * minimum amplitude in millivolts.
 */

import type { Envelope } from "./envelope.js";
import { median, remember, sum } from "./numbers.js";

/** Smallest peak-to-peak amplitude of a beat in mV, smoothed over 20 ms. */
const SMALLEST = 0.27;
/** Smallest envelope of a beat in mV. */
export const FAINTEST = 0.07;
/** Smallest envelope of a small beat, relative to that between the beats. */
const OUT_OF_NOISE = 3.5;
/** Amplitude in mV up to which a beat counts as small. */
const SMALL = 0.6;
/** Position of the threshold between the noise (0) and the beats (1). */
const SHARE = 0.3;
/** Number of beats, and of noise peaks, in the medians. */
const REMEMBERED = 8;
/** Refractory period in seconds. */
const REFRACTORY = 0.18;
/** Seconds after a beat in which a wave with less than half its slope is a T wave. */
const T_WAVE = 0.36;
/**
 * Limits for a late T wave: seconds after the beat, fraction of the interval, and slope and amplitude relative to those
 * of the beat.
 */
const LATE_T_WAVE = 0.5;
const LATE_INTERVALS = 0.62;
const LATE_SLOPE = 0.42;
const LATE_AMPLITUDE = 1.2;
/** If rise and fall of a wave differ by more than this fraction of its slope, it is one flank of a wide wave. */
const FLANK = 0.5;
/** Number of mean intervals without a beat after which the largest rejected peak is tried again. */
const OVERDUE = 1.5;
/** Intervals are irregular if the longest of the last `UNEVEN_IN` exceeds this multiple of the shortest. */
const UNEVEN = 1.35;
const UNEVEN_IN = 4;
/** Seconds without a beat after which the threshold is halved. After twice that only `FAINTEST` applies. */
const SINKING = 1.5;
/** Longest interval in seconds that counts. */
const LONGEST = 2.5;
/** Smallest slope in the opposite direction, relative to the steepest slope: a step is not a beat. */
const ONE_SIDED = 0.12;
/** Seconds on both sides of a wave in which the slope in the opposite direction is searched. */
const AROUND = 0.1;
/** Number of hops (2.4 s) whose lower quartile is the noise between the beats. */
const QUIET_HOPS = 40;
/** Number of hops between two updates of it. */
const QUIET_EVERY = 4;
/** Number of hops (9.6 s) of noise after which the thresholds from before are outdated. */
const OUTDATED_HOPS = 160;
/** Number of hops (0.48 s) for `recentQuiet`. */
const RECENT_HOPS = 8;

/** A measured peak of the envelope. Samples are working samples, counted from the beginning. */
export interface Wave {
  /** Sample of the R peak. */
  readonly sample: number;
  /** Sample of the peak of the envelope. */
  readonly decided: number;
  readonly height: number;
  readonly slope: number;
  /** 1 for a rise, -1 for a fall, 0 for both: a whole complex. */
  readonly flank: number;
  /** Peak-to-peak amplitude in mV. */
  readonly amplitude: number;
  /** Height of the envelope, relative to the envelope between the beats. */
  readonly standsOut: number;
}

/** Detects the beats of one lead. */
export class QrsDetector {
  last: Wave | null = null;
  /** True if large beats must stand out from the noise, too. */
  isNoisy = false;
  #letGo: Wave | null = null;
  #beats: number[] = [];
  #noise: number[] = [];
  #intervals: number[] = [];
  /**
   * Hop in which the signal began to look like noise, with the beats, noise and intervals from before; null once it is
   * calm again.
   */
  #beforeNoise: readonly [begin: number, beats: number[], noise: number[], intervals: number[]] | null = null;
  readonly #quiet: number[] = [];
  #hops = 0;
  /** The envelope between the beats. */
  quiet = 0;
  /** The same for the last half second, updated with each hop. */
  recentQuiet = 0;

  constructor(readonly rate: number) {}

  /** Records the lowest envelope of a hop. */
  noteQuiet(height: number): void {
    remember(this.#quiet, height, QUIET_HOPS);
    if (this.#hops % QUIET_EVERY === 0) this.quiet = quietestQuarter(this.#quiet);
    this.recentQuiet = quietestQuarter(this.#quiet.slice(-RECENT_HOPS));
    this.#hops += 1;
  }

  /**
   * Discards what was learned while the signal looked like noise, as soon as it is calm again.
   *
   * Otherwise the thresholds would be those of the noise, and the first beats after it would be missed.
   *
   * @param isDoubtful true if the last half second looks like noise.
   * @param isCalm true if it clearly does not.
   */
  noteDoubt(isDoubtful: boolean, isCalm: boolean): void {
    if (isDoubtful && this.#beforeNoise === null) {
      this.#beforeNoise = [this.#hops, [...this.#beats], [...this.#noise], [...this.#intervals]];
    } else if (isCalm && this.#beforeNoise !== null) {
      const [begin, ...learned] = this.#beforeNoise;
      [this.#beats, this.#noise, this.#intervals] = this.#hops - begin > OUTDATED_HOPS ? [[], [], []] : learned;
      this.#beforeNoise = this.#letGo = null;
    }
  }

  /** True if the last intervals were irregular. */
  get isIrregular(): boolean {
    const intervals = this.#intervals.slice(-UNEVEN_IN);
    return intervals.length === UNEVEN_IN && Math.max(...intervals) > UNEVEN * Math.min(...intervals);
  }

  /**
   * Returns a peak of the envelope as a wave if it is a beat; otherwise null.
   *
   * @param place index of the peak, negative, from the end.
   * @param now number of working samples so far.
   */
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

  /** Accepts the largest rejected peak if a beat is overdue and it exceeds half the threshold. */
  lookBack(decided: number): Wave | null {
    const wave = this.#letGo;
    if (wave === null || this.last === null || this.#intervals.length < 2) return null;
    const mean = sum(this.#intervals) / this.#intervals.length;
    if (decided - this.last.decided < OVERDUE * mean) return null;
    this.#letGo = null;
    return wave.height < this.threshold(wave.decided - this.last.decided) / 2 ? null : this.#accept(wave);
  }

  /** Returns the threshold for the envelope, so many working samples after the last beat. */
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

  /** Measures a wave; null if it is only a step in one direction. */
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

/** Returns the lower quartile. */
function quietestQuarter(heights: readonly number[]): number {
  return Float64Array.from(heights).sort()[Math.floor(heights.length / 4)];
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

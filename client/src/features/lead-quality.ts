/** Quality of leads: off, saturated, noisy. */

import { median, remember, sum } from "./numbers.js";
import { SignalQuality } from "./status.js";

/** Microvolts within which a signal is constant. */
const FLAT = 2;
/** Seconds without samples after which a lead is off. */
const OFF_AFTER = 0.5;
/** Seconds of a constant extreme value after which a lead is saturated. */
const SATURATED_AFTER = 0.1;
/**
 * Distance from the usual level, in microvolts, from which a constant value may be a limit of the amplifier's range.
 */
const EXTREME = 1000;
/** Number of hops (4.8 s) whose median is the usual level. */
const LEVEL_HOPS = 80;
/** Envelope between the beats, in mV, from which a lead may be noisy. */
const NOISE = 0.08;
/** Sign changes of the slope, per second, from which a signal may be noise. */
const CHANGES = 25;
/** Envelope between the beats, in mV, below which a lead is calm. */
const CALM = 0.04;
/** Number of hops (2.4 s) in which sign changes are counted. */
const CHANGE_HOPS = 40;
/** Number of hops (0.48 s) in which they are counted for `isDoubtful`. */
const RECENT_CHANGE_HOPS = 8;

/** The quality of one lead, hop by hop. */
export class LeadQuality {
  quality: SignalQuality = SignalQuality.OFF;
  /** True if the last half second looks like noise. `quality` needs about two seconds to become NOISY. */
  isDoubtful = false;
  /** True if the last half second clearly is not noise. */
  isCalm = false;
  /** Seconds since the last sample. */
  lost = OFF_AFTER;
  /** Seconds of a constant value. */
  flat = 0;
  #value = 0;
  readonly #levels: number[] = [];
  #isExtreme = false;
  readonly #changes: number[] = [];

  constructor(readonly hopSeconds: number) {}

  /** True if the signal changes. */
  get isMoving(): boolean {
    return this.lost === 0 && this.flat === 0;
  }

  /** Returns true if there is no signal, or a constant one for at least so many seconds. */
  isStanding(seconds: number): boolean {
    return this.lost > 0 || this.flat >= seconds;
  }

  /**
   * Processes one hop.
   *
   * @param lowest lowest value in microvolts; higher than `highest` if the hop had no samples.
   * @param highest highest value in microvolts.
   * @param changes number of sign changes of the slope in this hop.
   */
  follow(lowest: number, highest: number, changes: number): void {
    remember(this.#changes, changes, CHANGE_HOPS);
    if (lowest > highest) {
      this.lost += this.hopSeconds;
    } else {
      this.lost = 0;
      this.#followLevel(lowest, highest);
    }
  }

  /**
   * Determines the quality of the lead now.
   *
   * @param quiet envelope between the beats, in mV.
   * @param recentQuiet the same for the last half second.
   * @param flatAfter seconds of a constant value after which the lead is off.
   */
  judge(quiet: number, recentQuiet: number, flatAfter: number): SignalQuality {
    this.quality = this.#judge(quiet, flatAfter);
    this.isDoubtful = this.quality === SignalQuality.NOISY || this.#isNoise(recentQuiet, RECENT_CHANGE_HOPS);
    this.isCalm = !this.isDoubtful && recentQuiet < CALM;
    return this.quality;
  }

  #followLevel(lowest: number, highest: number): void {
    if (highest - lowest <= FLAT && (this.flat === 0 || Math.abs(lowest - this.#value) <= FLAT)) {
      if (this.flat === 0) {
        this.#isExtreme = this.#levels.length > 0 && Math.abs(lowest - median(this.#levels)) >= EXTREME;
        this.#value = lowest;
      }
      this.flat += this.hopSeconds;
      return;
    }
    this.flat = 0;
    remember(this.#levels, Math.floor((lowest + highest) / 2), LEVEL_HOPS);
  }

  #judge(quiet: number, flatAfter: number): SignalQuality {
    if (this.lost >= OFF_AFTER) return SignalQuality.OFF;
    if (this.#isExtreme && this.flat >= SATURATED_AFTER) return SignalQuality.SATURATED;
    if (this.flat >= flatAfter) return SignalQuality.OFF;
    return this.#isNoise(quiet, CHANGE_HOPS) ? SignalQuality.NOISY : SignalQuality.OK;
  }

  #isNoise(quiet: number, hops: number): boolean {
    if (quiet < NOISE) return false;
    const changes = this.#changes.slice(-hops);
    return sum(changes) / (changes.length * this.hopSeconds) >= CHANGES;
  }
}

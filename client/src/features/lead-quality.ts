/** What the leads are good for: off, saturated, noisy. */

import { median, remember, sum } from "./numbers.js";
import { SignalQuality } from "./status.js";

/** Microvolts within which a signal is one value. */
const FLAT = 2;
/** Seconds without samples after which a lead is off. */
const OFF_AFTER = 0.5;
/** Seconds of one extreme value after which a lead is saturated. */
const SATURATED_AFTER = 0.1;
/** Microvolts from the usual level from which on a value may be the end of the range. */
const EXTREME = 1000;
/** Hops (4.8 s) of which the usual level is the median. */
const LEVEL_HOPS = 80;
/** mV of envelope between the beats from which on a lead may be noisy. */
const NOISE = 0.08;
/** Changes of the slope's sign in a second that tell noise from waves of the heart. */
const CHANGES = 25;
/** Hops (2.4 s) in which they are counted. */
const CHANGE_HOPS = 40;

/** The quality of one lead, hop by hop. */
export class LeadQuality {
  quality: SignalQuality = SignalQuality.OFF;
  /** Seconds without samples, up to now. */
  lost = OFF_AFTER;
  #flat = 0;
  #value = 0;
  readonly #levels: number[] = [];
  #isExtreme = false;
  readonly #changes: number[] = [];

  constructor(readonly hopSeconds: number) {}

  /** Whether there is a signal, and not one value. */
  get isMoving(): boolean {
    return this.lost === 0 && this.#flat === 0;
  }

  /**
   * Go on by one hop.
   *
   * @param lowest microvolts; above `highest` where there was not one sample.
   * @param changes of the slope's sign in this hop.
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
   * What the lead is good for now.
   *
   * @param quiet mV of envelope between the beats.
   * @param flatAfter seconds of one value after which it is off.
   */
  judge(quiet: number, flatAfter: number): SignalQuality {
    this.quality = this.#judge(quiet, flatAfter);
    return this.quality;
  }

  #followLevel(lowest: number, highest: number): void {
    if (highest - lowest <= FLAT && (this.#flat === 0 || Math.abs(lowest - this.#value) <= FLAT)) {
      if (this.#flat === 0) {
        this.#isExtreme = this.#levels.length > 0 && Math.abs(lowest - median(this.#levels)) >= EXTREME;
        this.#value = lowest;
      }
      this.#flat += this.hopSeconds;
      return;
    }
    this.#flat = 0;
    remember(this.#levels, Math.floor((lowest + highest) / 2), LEVEL_HOPS);
  }

  #judge(quiet: number, flatAfter: number): SignalQuality {
    if (this.lost >= OFF_AFTER) return SignalQuality.OFF;
    if (this.#isExtreme && this.#flat >= SATURATED_AFTER) return SignalQuality.SATURATED;
    if (this.#flat >= flatAfter) return SignalQuality.OFF;
    const rate = sum(this.#changes) / (this.#changes.length * this.hopSeconds);
    return quiet >= NOISE && rate >= CHANGES ? SignalQuality.NOISY : SignalQuality.OK;
  }
}

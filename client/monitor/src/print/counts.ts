/** Recovery of the counts of messages from the millivolts that the page keeps. */

import type { Calibration } from "./origin.js";
import type { Strip } from "./strip.js";

/** Distance from the baseline in counts up to which float32 millivolts identify each count. */
const EXACT_BELOW = 2 ** 22;

/** A lead as counts: the physical value is `(count - baseline) / gain` millivolts. */
export interface Counts {
  /** NaN where a sample is missing. */
  readonly counts: Float64Array;
  /** Counts per millivolt. */
  readonly gain: number;
  readonly baseline: number;
}

/** Return the counts of a lead as in the messages; null if these had no counts, or if they are too large. */
export function exactCounts(strip: Strip, calibration: Calibration | null, lead: number): Counts | null {
  if (calibration === null || !calibration.isWhole) return null;
  const { gain: gains, baseline: baselines } = calibration;
  const [gain, baseline] = [gains[lead], baselines[lead]];
  if (!Number.isInteger(baseline) || !Number.isFinite(gain) || gain === 0) return null;
  const counts = new Float64Array(strip.to - strip.from);
  for (let index = 0; index < counts.length; index += 1) {
    const away = Math.round(strip.buffer.at(lead, strip.from + index) * gain);
    if (Math.abs(away) >= EXACT_BELOW) return null;
    counts[index] = away + baseline;
  }
  return { counts, gain, baseline };
}

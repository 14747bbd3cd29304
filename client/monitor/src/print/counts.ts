/** The counts that the messages had, out of the millivolts that the page keeps. */

import type { Calibration } from "./origin.js";
import type { Strip } from "./strip.js";

/** Counts from the baseline below which float32 millivolts tell each from its neighbours, with room to spare. */
const TOLD_APART = 2 ** 22;

/** A lead as whole numbers: the physical value is `(count - baseline) / gain` millivolts. */
export interface Counts {
  /** NaN where a sample is missing. */
  readonly counts: Float64Array;
  /** Counts per millivolt. */
  readonly gain: number;
  readonly baseline: number;
}

/** The samples of a lead as the messages had them; null where they were no counts, or cannot be told exactly. */
export function exactCounts(strip: Strip, calibration: Calibration | null, lead: number): Counts | null {
  if (calibration === null || !calibration.isWhole) return null;
  const { gain: gains, baseline: baselines } = calibration;
  const [gain, baseline] = [gains[lead], baselines[lead]];
  if (!Number.isInteger(baseline) || !Number.isFinite(gain) || gain === 0) return null;
  const counts = new Float64Array(strip.to - strip.from);
  for (let index = 0; index < counts.length; index += 1) {
    const away = Math.round(strip.buffer.at(lead, strip.from + index) * gain);
    if (Math.abs(away) >= TOLD_APART) return null;
    counts[index] = away + baseline;
  }
  return { counts, gain, baseline };
}

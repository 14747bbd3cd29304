/** The heartbeats of a strip, found anew: those of the running signal are forgotten while a screen is frozen. */

import { RPeaks } from "../r-peaks.js";
import type { Strip } from "./strip.js";

/** Seconds before the strip in which the detector learns, and behind it, since it is a little late. */
const LEARNING = 10;
const LATE = 1;

/** The R peaks of the strip's rhythm lead, by the numbers of their samples. */
export function peaksOf({ buffer, from, to, rhythm }: Strip): number[] {
  const peaks: number[] = [];
  const beats = new RPeaks(buffer.samplingRate, (sample) => peaks.push(sample));
  const begin = Math.max(buffer.start, from - Math.round(LEARNING * buffer.samplingRate));
  const end = Math.min(buffer.end, to + Math.round(LATE * buffer.samplingRate));
  let isBroken = false;
  for (let sample = begin; sample < end; sample += 1) {
    const value = buffer.at(rhythm, sample);
    if (Number.isFinite(value)) beats.push(sample, value);
    else if (!isBroken) beats.reset();
    isBroken = !Number.isFinite(value);
  }
  return peaks.filter((sample) => sample >= from && sample < to);
}

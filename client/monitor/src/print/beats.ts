/** The heartbeats of a strip, found anew: those of the running signal are forgotten while a screen is frozen. */

import { HeartDetector } from "../../../src/features/index.js";
import type { Strip } from "./strip.js";

/** Seconds before the strip in which the detector learns, and behind it, since it is a little late. */
const LEARNING = 10;
const LATE = 1;

/** The R peaks of the strip's rhythm lead, by the numbers of their samples; none at a rate at which none can be found. */
export function peaksOf({ buffer, from, to, rhythm }: Strip): number[] {
  const begin = Math.max(buffer.start, from - Math.round(LEARNING * buffer.samplingRate));
  const end = Math.min(buffer.end, to + Math.round(LATE * buffer.samplingRate));
  const found = detect(buffer.samplingRate, buffer.leads[rhythm], buffer.slice(rhythm, begin, end));
  return found.map((sample) => begin + sample).filter((sample) => sample >= from && sample < to);
}

function detect(samplingRate: number, lead: string, samples: Float32Array): number[] {
  try {
    return new HeartDetector(samplingRate, [lead]).feed([samples]).map(({ sample }) => sample);
  } catch (error) {
    if (error instanceof RangeError) return [];
    throw error;
  }
}

/** The R peaks of a strip. They are detected anew, because the signal keeps only its latest peaks. */

import { HeartDetector } from "../../../src/features/index.js";
import type { Strip } from "./strip.js";

/** Seconds of signal before the strip, in which the detector adapts, and after it, as it reports beats with a delay. */
const SECONDS_BEFORE = 10;
const SECONDS_AFTER = 1;

/** The sample numbers of R peaks in the strip's rhythm lead; none if the detector does not support the sampling rate. */
export function peaksOf({ buffer, from, to, rhythm }: Strip): number[] {
  const begin = Math.max(buffer.start, from - Math.round(SECONDS_BEFORE * buffer.samplingRate));
  const end = Math.min(buffer.end, to + Math.round(SECONDS_AFTER * buffer.samplingRate));
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

/** The detector of heartbeats for a signal. */

import { HeartDetector } from "../../src/features/index.js";
import type { EcgFrame } from "./signal.js";

/** Returns a detector for signals like that of a frame; null if the sampling rate is out of its range. */
export function heartDetectorFor({
  samplingRate,
  leads,
}: Pick<EcgFrame, "samplingRate" | "leads">): HeartDetector | null {
  try {
    return new HeartDetector(samplingRate, leads);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

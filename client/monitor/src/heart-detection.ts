/** The detector of heartbeats for a signal. */

import { HeartDetector } from "../../src/features/index.js";
import { leadsOf } from "./channels.js";
import type { EcgFrame } from "./signal.js";

/** Returns a detector for signals like that of a frame, of its ECG leads; null if it has none, or its sampling rate is out of range. */
export function heartDetectorFor({
  samplingRate,
  leads,
  channels,
}: Pick<EcgFrame, "samplingRate" | "leads" | "channels">): HeartDetector | null {
  const ecg = channels === undefined ? leads : leadsOf(channels, true).map((lead) => leads[lead]);
  if (ecg.length === 0) return null;
  try {
    return new HeartDetector(samplingRate, ecg);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Detection of heartbeats, heart rate and rhythm in live ECG, as the samples arrive. */

export { HeartDetector } from "./heart-detector.js";
export type { PacingSpike } from "./pacing-spikes.js";
export { type Beat, type HeartStatus, Rhythm, SignalQuality } from "./status.js";

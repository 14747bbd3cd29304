/** Heartbeats, heart rate and rhythm of live ECG, found as the samples come. */

export { HeartDetector } from "./heart-detector.js";
export { type Beat, type HeartStatus, Rhythm, SignalQuality } from "./status.js";

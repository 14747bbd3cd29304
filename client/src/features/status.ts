/**
 * The results of the detector: beats, and the state of the heart and of the leads, as in `ecgframe.features` in Python.
 */

/**
 * The rhythm, as far as the signal shows it.
 *
 * - `unknown`: not enough signal yet, or no usable lead
 * - `asystole`: no beat for 4 s in a usable lead; gaps and noise do not count, as they may have contained beats
 * - `fibrillation`: irregular waves without pauses, as in ventricular fibrillation; a suspicion, not a diagnosis
 */
export const Rhythm = {
  UNKNOWN: "unknown",
  BEATING: "beating",
  ASYSTOLE: "asystole",
  FIBRILLATION: "fibrillation",
} as const;
export type Rhythm = (typeof Rhythm)[keyof typeof Rhythm];

/**
 * The quality of a lead.
 *
 * - `off`: no samples (NaN, lost) for half a second, or a constant value (to 2 µV) for 2 s, or for 3.6 s in all leads
 * - `saturated`: the same extreme value for a tenth of a second, at a limit of the amplifier's range
 * - `noisy`: noise from which beats cannot be distinguished
 */
export const SignalQuality = {
  OK: "ok",
  OFF: "off",
  SATURATED: "saturated",
  NOISY: "noisy",
} as const;
export type SignalQuality = (typeof SignalQuality)[keyof typeof SignalQuality];

/** One heartbeat. The detector reports it about a third of a second later. */
export interface Beat {
  /**
   * Number of the sample of the R peak, counted from the first sample fed or skipped; exact to 4 ms or to one sample.
   */
  readonly sample: number;
  /** Index of the lead in which it was detected. */
  readonly lead: number;
  /** Peak-to-peak amplitude of the QRS in mV, smoothed over 20 ms. */
  readonly amplitude: number;
  /** Seconds since the previous beat; null for the first, and across a gap. */
  readonly interval: number | null;
}

/** The state after the newest sample. */
export interface HeartStatus {
  /**
   * Beats per minute, at most 60 / (seconds without a beat). A gap does not count as time without a beat.
   *
   * Null if there is no rate: with fewer than two intervals, in asystole, in fibrillation, and while the lead looks like
   * noise.
   */
  readonly rateBpm: number | null;
  /** Seconds from the last beat to the newest sample, including lost ones; null before the first beat. */
  readonly secondsSinceBeat: number | null;
  readonly rhythm: Rhythm;
  /** Index of the lead in which beats are detected. */
  readonly lead: number;
  /** The quality of each lead. */
  readonly signalQuality: readonly SignalQuality[];
  /**
   * Seconds of usable signal without a beat, up to the newest sample. Gaps and noise do not count, as they may have
   * contained beats, so that this may be less than `secondsSinceBeat`. 0 without a usable lead.
   */
  readonly silentSeconds: number;
}

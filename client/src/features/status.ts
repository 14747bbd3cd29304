/** What the detector tells: beats, and the state of the heart and of the leads. `ecgframe.features` in Python has the same. */

/**
 * What the heart does, as far as the signal shows it.
 *
 * - `unknown`: too little signal yet, or no usable lead
 * - `asystole`: a usable lead, and no beat in it for 4 s
 * - `fibrillation`: irregular waves without a pause, as in ventricular fibrillation: a suspicion, not a diagnosis
 */
export const Rhythm = {
  UNKNOWN: "unknown",
  BEATING: "beating",
  ASYSTOLE: "asystole",
  FIBRILLATION: "fibrillation",
} as const;
export type Rhythm = (typeof Rhythm)[keyof typeof Rhythm];

/**
 * What a lead is good for.
 *
 * - `off`: no samples (NaN, lost) for half a second, or one value (to 2 µV) for 2 s, or for 3.6 s where all leads are so
 * - `saturated`: at the end of the amplifier's range, the same extreme value for a tenth of a second
 * - `noisy`: noise that beats cannot be told from
 */
export const SignalQuality = {
  OK: "ok",
  OFF: "off",
  SATURATED: "saturated",
  NOISY: "noisy",
} as const;
export type SignalQuality = (typeof SignalQuality)[keyof typeof SignalQuality];

/** One heartbeat. It is told about a third of a second after it was. */
export interface Beat {
  /** Of the R peak, counted from the first sample fed or skipped; exact to 4 ms or to one sample. */
  readonly sample: number;
  /** Index of the lead in which it was found. */
  readonly lead: number;
  /** Of the QRS from peak to peak, in mV, smoothed over 20 ms. */
  readonly amplitude: number;
  /** Seconds since the beat before; null for the first, and across a gap. */
  readonly interval: number | null;
}

/** The state after the newest sample. */
export interface HeartStatus {
  /**
   * Beats a minute, never above 60 / (seconds without a beat); null where there is no rate to tell.
   * Never a rate in asystole or fibrillation. Time lost in a gap does not count as time without a beat.
   */
  readonly rateBpm: number | null;
  /** From the last beat to the newest sample, lost ones counted; null before the first beat. */
  readonly secondsSinceBeat: number | null;
  readonly rhythm: Rhythm;
  /** Index of the lead in which beats are counted now. */
  readonly lead: number;
  /** Of each lead. */
  readonly signalQuality: readonly SignalQuality[];
}

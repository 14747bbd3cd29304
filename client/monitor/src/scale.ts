/** The scale of ECG paper. */

/** Millimetres of paper per second. */
export const SPEEDS = [12.5, 25, 50] as const;
/** Millimetres of paper per millivolt. */
export const GAINS = [5, 10, 20] as const;

export type Speed = (typeof SPEEDS)[number];
export type Gain = (typeof GAINS)[number];

/** The scale of the paper on the screen. */
export interface Scale {
  readonly speed: Speed;
  readonly gain: Gain;
  /** CSS pixels per millimetre of paper. */
  readonly millimetre: number;
}

/** CSS pixels per second. */
export const pixelsPerSecond = (scale: Scale): number => scale.speed * scale.millimetre;

/** CSS pixels per millivolt. */
export const pixelsPerMillivolt = (scale: Scale): number => scale.gain * scale.millimetre;

/** Millimetres left of a trace, for the calibration pulse. */
export const MARGIN = 9;

/** The scale of ECG paper: what a second and a millivolt are on it. */

/** Millimetres of paper a second. */
export const SPEEDS = [12.5, 25, 50] as const;
/** Millimetres of paper a millivolt. */
export const GAINS = [5, 10, 20] as const;

export type Speed = (typeof SPEEDS)[number];
export type Gain = (typeof GAINS)[number];

/** What a second and a millivolt are on the screen. */
export interface Scale {
  readonly speed: Speed;
  readonly gain: Gain;
  /** CSS pixels to a millimetre of paper. */
  readonly millimetre: number;
}

/** CSS pixels to a second. */
export const second = (scale: Scale): number => scale.speed * scale.millimetre;

/** CSS pixels to a millivolt. */
export const millivolt = (scale: Scale): number => scale.gain * scale.millimetre;

/** Millimetres left of a trace: the pulse of 5 mm, and some room. */
export const MARGIN = 9;

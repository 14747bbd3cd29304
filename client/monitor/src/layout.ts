/** The layout of the paper: where each stretch of each lead is drawn. */

import { type Channel, leadsOf } from "./channels.js";
import type { OwnScale } from "./own-scale.js";
import type { Gain, Scale } from "./scale.js";

/** One lead in a panel. Lengths are CSS pixels. */
export interface Trace {
  /** Index of the lead in the signal. */
  readonly lead: number;
  readonly name: string;
  /** Height of 0 mV. */
  readonly baseline: number;
  readonly labelY: number;
  /** The row. */
  readonly top: number;
  readonly height: number;
  /** The scale of a signal that is no ECG; that of an ECG is the paper's. */
  readonly own?: OwnScale;
  /** True if a calibration pulse is drawn before it. */
  readonly calibrated: boolean;
}

/** A box of traces, one above the other, with the same time range. */
export interface Panel {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Seconds from the beginning of the page to that of the panel. */
  readonly begin: number;
  readonly seconds: number;
  readonly traces: readonly Trace[];
}

export interface Layout {
  /** CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly scale: Scale;
  /** Length of a page in seconds; then the first panel begins again. */
  readonly period: number;
  readonly panels: readonly Panel[];
}

/** CSS pixels below all rows, for the line with the scale. */
export const FOOT = 20;
/** Smallest room of a row in millimetres: above its calibration pulse, and below the baseline. */
const ROOM = { above: 1.5, below: 5 };

/** Smallest distance from the top of a row to its baseline in millimetres, so that the pulse of 1 mV is never cut. */
export const aboveBaseline = (gain: Gain): number => gain + ROOM.above;

/** Smallest height of a row in millimetres. */
export const leastRow = (gain: Gain): number => aboveBaseline(gain) + ROOM.below;

/**
 * Traces of equal height from top to bottom of a panel.
 *
 * @param above smallest distance from the top of a row to its baseline, in CSS pixels.
 */
export function rows(
  leads: readonly number[],
  names: readonly string[],
  top: number,
  height: number,
  calibrated: boolean,
  above = 0,
): Trace[] {
  return leads.map((lead, row) => ({
    lead,
    name: names[lead] ?? "",
    baseline: Math.round(top + row * height + Math.max(0.58 * height, above)),
    labelY: Math.round(top + row * height + Math.min(4, height * 0.05)),
    top: top + row * height,
    height,
    calibrated,
  }));
}

/** Index of the lead for the rhythm: II, or else the first ECG. */
export function rhythmLead(names: readonly string[], channels: readonly Channel[] = []): number {
  const [first = 0] = leadsOf(channels, true);
  const two = names.findIndex((name, lead) => plainName(name) === "ii" && (channels[lead]?.kind ?? "ecg") === "ecg");
  return two < 0 ? first : two;
}

/** Normalize a name for comparison: `MLII` is lead II with its electrodes on the chest. */
export function plainName(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/^ml(?=i)/, "");
}

/** Where on the paper which stretch of which lead is drawn. */

import type { Gain, Scale } from "./scale.js";

/** One lead in a panel. Lengths are CSS pixels. */
export interface Trace {
  /** Which lead, by its place in the signal. */
  readonly lead: number;
  readonly name: string;
  /** Where 0 mV is. */
  readonly baseline: number;
  readonly labelY: number;
  /** Whether a calibration pulse stands before it. */
  readonly calibrated: boolean;
}

/** A box with traces above one another, all from the same second to the same second of the page. */
export interface Panel {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Seconds from the page's beginning to the panel's. */
  readonly begin: number;
  readonly seconds: number;
  readonly traces: readonly Trace[];
}

export interface Layout {
  /** CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly scale: Scale;
  /** Seconds of a page: when they are over, the first panel begins anew. */
  readonly period: number;
  readonly panels: readonly Panel[];
}

/** CSS pixels below all rows, for the line that says the scale: no trace runs through it. */
export const FOOT = 20;
/** Millimetres that a row has beside those of its calibration pulse: above it, and below the baseline at the least. */
const ROOM = { above: 1.5, below: 5 };

/** Millimetres from the top of a row to its baseline at the least: the pulse of 1 mV is never cut. */
export const aboveBaseline = (gain: Gain): number => gain + ROOM.above;

/** Millimetres of height that a row takes at the least. */
export const leastRow = (gain: Gain): number => aboveBaseline(gain) + ROOM.below;

/**
 * Traces of equal height from top to bottom of a panel.
 *
 * @param above CSS pixels from the top of a row to its baseline at the least.
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
    calibrated,
  }));
}

/** The lead that shows the rhythm best: II, or else the first. */
export function rhythmLead(names: readonly string[]): number {
  return Math.max(0, names.map(plainName).indexOf("ii"));
}

/** The name as it can be compared: `MLII` is lead II with its electrodes on the chest. */
export function plainName(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/^ml(?=i)/, "");
}

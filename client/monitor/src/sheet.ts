/**
 * The layout of a printed ECG: the leads in columns of three, consecutive in time, and below them the rhythm strip of ten
 * seconds, and each signal that is no ECG, over the whole time.
 */

import { type Channel, leadsOf } from "./channels.js";
import { aboveBaseline, FOOT, type Layout, leastRow, type Panel, plainName, rhythmLead, rows } from "./layout.js";
import { MARGIN, pixelsPerSecond, type Scale } from "./scale.js";

/** Length of a sheet in seconds. */
export const SHEET = 10;
const ROWS = 3;
/** The order of the standard leads, column by column. */
const TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
/** Smallest and largest CSS pixels per millimetre; a sheet that does not fit with the smallest scrolls. */
const MILLIMETRE = { least: 2.5, most: 10 };
/** Allowed line counts for a single lead; the one with the largest scale is chosen. */
const LINES = [1, 2, 4];
/** Largest and smallest height of a row in millimetres; a sheet that does not fit scrolls. */
const TALLEST_ROW = 50;
const SHORTEST_ROW = 16;

export function sheet(
  names: readonly string[],
  width: number,
  height: number,
  scale: Omit<Scale, "millimetre">,
  channels: readonly Channel[] = [],
): Layout {
  if (names.length === 1) return singleLeadSheet(names, width, height, scale);
  const others = leadsOf(channels, false);
  const leads = ordered(names).filter((lead) => !others.includes(lead));
  const columns = Math.ceil(leads.length / ROWS);
  const below = [...(leads.length > ROWS ? [rhythmLead(names, channels)] : []), ...others];
  const strip = below.length;
  const rowCount = Math.min(ROWS, leads.length) + strip;
  const wanted = MARGIN + SHEET * scale.speed + 2;
  const room = Math.max(1, height - FOOT);
  const least = Math.max(SHORTEST_ROW, leastRow(scale.gain));
  const fits = Math.min(width / wanted, room / (rowCount * least));
  const millimetre = clampScale(fits);
  const full: Scale = { ...scale, millimetre };
  // The rows of few leads fill the page.
  const most = strip === 0 ? Number.POSITIVE_INFINITY : Math.max(TALLEST_ROW, least);
  const row = Math.max(least, Math.min(room / rowCount / millimetre, most)) * millimetre;
  const above = aboveBaseline(scale.gain) * millimetre;
  const left = MARGIN * millimetre;
  const wide = (SHEET / columns) * pixelsPerSecond(full);
  const panels: Panel[] = Array.from({ length: columns }, (_, column) => ({
    x: left + column * wide,
    y: 0,
    width: wide,
    height: row * (rowCount - strip),
    begin: (column * SHEET) / columns,
    seconds: SHEET / columns,
    traces: rows(leads.slice(column * ROWS, (column + 1) * ROWS), names, 0, row, column === 0, above),
  }));
  if (strip > 0) {
    const y = row * (rowCount - strip);
    const traces = rows(below, names, y, row, true, above);
    const box = { x: left, y, width: SHEET * pixelsPerSecond(full), height: row * strip };
    panels.push({ ...box, begin: 0, seconds: SHEET, traces });
  }
  return {
    width: Math.round(wanted * millimetre),
    height: Math.round(row * rowCount) + FOOT,
    scale: full,
    period: SHEET,
    panels,
  };
}

/** The sheet of a single lead, which fills the page. */
function singleLeadSheet(
  names: readonly string[],
  width: number,
  height: number,
  scale: Omit<Scale, "millimetre">,
): Layout {
  const room = Math.max(1, height - FOOT);
  const least = Math.max(SHORTEST_ROW, leastRow(scale.gain));
  const wanted = (lines: number): number => MARGIN + (SHEET / lines) * scale.speed + 2;
  const sizes = LINES.map((lines) => clampScale(Math.min(width / wanted(lines), room / (lines * least))));
  const millimetre = Math.max(...sizes);
  const lines = LINES[sizes.indexOf(millimetre)];
  const full: Scale = { ...scale, millimetre };
  const row = Math.max(least * millimetre, room / lines);
  const seconds = SHEET / lines;
  const panels = Array.from({ length: lines }, (_, line) => ({
    x: MARGIN * millimetre,
    y: line * row,
    width: seconds * pixelsPerSecond(full),
    height: row,
    begin: line * seconds,
    seconds,
    traces: rows([0], names, line * row, row, true, aboveBaseline(scale.gain) * millimetre),
  }));
  return {
    width: Math.round(wanted(lines) * millimetre),
    height: Math.round(row * lines) + FOOT,
    scale: full,
    period: SHEET,
    panels,
  };
}

/** CSS pixels per millimetre, rounded down to halves, so that the lines of the grid are regular. */
function clampScale(fits: number): number {
  return Math.max(MILLIMETRE.least, Math.min(MILLIMETRE.most, Math.floor(fits * 2) / 2));
}

/** Indices of the leads: first the twelve standard ones, then all others as they come. */
function ordered(names: readonly string[]): number[] {
  const place = (lead: number): number => {
    const known = TWELVE.findIndex((name) => plainName(name) === plainName(names[lead]));
    return known < 0 ? TWELVE.length : known;
  };
  return names.map((_, lead) => lead).sort((one, other) => place(one) - place(other) || one - other);
}

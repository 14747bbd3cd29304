/**
 * The layout of a bedside monitor: the leads in one column, in two if there are many and the page is wide, and in more if
 * they do not fit otherwise. A single lead continues from line to line, so that it fills the page.
 */

import { type Channel, leadsOf } from "./channels.js";
import { aboveBaseline, FOOT, type Layout, leastRow, type Panel, rows } from "./layout.js";
import { MARGIN, pixelsPerSecond, type Scale } from "./scale.js";

/** CSS pixels of width from which there are two columns: always, and if the page would scroll otherwise. */
const WIDE = 900;
const NARROWEST = 640;
/** The shortest column in seconds if there are more than two: two beats of a slow heart. */
const SHORTEST = 2.3;
/** Number of leads that stay in one column. */
const ONE_COLUMN = 6;
/** CSS pixels per millimetre: the usual value of phones and desktops, the smallest and the largest. */
const MILLIMETRE = { least: 2.5, phone: 3, desk: 4, most: 8 };
const PHONE = 600;
/** Height of a row in millimetres from which millimetres are enlarged instead. */
const AMPLE_ROW = 30;
/** The shortest line in seconds if millimetres are enlarged. */
const AMPLE_TIME = 8;
/** Lines of a single lead: the largest number, and the height of each in millimetres. */
const LINES = { most: 5, height: 22 };

export function bedside(
  names: readonly string[],
  width: number,
  room: number,
  scale: Omit<Scale, "millimetre">,
  channels: readonly Channel[] = [],
): Layout {
  const usual = width < PHONE ? MILLIMETRE.phone : MILLIMETRE.desk;
  const available = Math.max(1, room - FOOT);
  const perColumn = Math.ceil(names.length / columnsOf(names.length, width, available, usual, scale));
  const columns = Math.max(1, Math.ceil(names.length / perColumn));
  const wide = Math.floor(width / columns);
  const byTime = wide / (MARGIN + AMPLE_TIME * scale.speed);
  const ample = Math.min(byTime, available / (perColumn * AMPLE_ROW), MILLIMETRE.most);
  const fitting = available / (perColumn * leastRow(scale.gain));
  const millimetre = halves(Math.max(MILLIMETRE.least, Math.min(fitting, Math.max(usual, ample))));
  const full: Scale = { ...scale, millimetre };
  const high = Math.max(available, Math.ceil(perColumn * leastRow(scale.gain) * millimetre));
  const margin = MARGIN * millimetre;
  const column = Math.floor(wide / millimetre) * millimetre; // whole millimetres, so that all columns have one grid
  const seconds = (column - margin) / pixelsPerSecond(full);
  const above = aboveBaseline(scale.gain) * millimetre;
  const others = leadsOf(channels, false); // they come last
  const leads = [...[...names.keys()].filter((lead) => !others.includes(lead)), ...others];
  const lines =
    names.length === 1 ? Math.max(1, Math.min(LINES.most, Math.floor(high / (LINES.height * millimetre)))) : 1;
  const row = high / (lines * perColumn);
  const panels = Array.from({ length: lines * columns }, (_, index): Panel => {
    const line = Math.floor(index / columns);
    const place = index % columns;
    const shown = leads.slice(place * perColumn, (place + 1) * perColumn);
    const y = line * row;
    const isLast = line === lines - 1;
    return {
      x: place * column + margin,
      y,
      width: column - margin,
      height: perColumn * row + (isLast ? FOOT : 0), // a deep wave of the last row continues into the foot
      begin: line * seconds,
      seconds,
      traces: rows(shown, names, y, row, true, above),
    };
  });
  return { width, height: high + FOOT, scale: full, period: lines * seconds, panels };
}

function columnsOf(
  leads: number,
  width: number,
  room: number,
  usual: number,
  { speed, gain }: Omit<Scale, "millimetre">,
): number {
  const row = leastRow(gain);
  const isTight = leads > ONE_COLUMN && leads * row * usual > room;
  let columns = leads > ONE_COLUMN && (width >= WIDE || (width >= NARROWEST && isTight)) ? 2 : 1;
  if (width < NARROWEST) return columns; // a phone scrolls
  const { least } = MILLIMETRE;
  const fits = (): boolean => Math.ceil(leads / columns) * row * least <= room;
  const hasRoom = (): boolean => width / (columns + 1) >= (MARGIN + SHORTEST * speed) * least;
  const before = columns;
  while (!fits() && columns < leads && hasRoom()) columns += 1;
  return fits() ? columns : before; // if they do not fit anyway, longer columns are better
}

/** Round down to half pixels, so that the lines of the grid are regular. */
function halves(value: number): number {
  return Math.floor(value * 2) / 2;
}

/**
 * The leads under one another, as a bedside monitor shows them: in two columns where there are many and room for it. One
 * lead alone goes on from line to line, so that it fills the page.
 */

import { aboveBaseline, FOOT, type Layout, leastRow, type Panel, rows } from "./layout.js";
import { MARGIN, type Scale, second } from "./scale.js";

/** CSS pixels from which two columns are worth it, and from which they are better than to scroll. */
const WIDE = 900;
const NARROWEST = 640;
/** Leads that one column takes in any case. */
const ONE_COLUMN = 6;
/** CSS pixels to a millimetre on a desk and on a phone: usually, and where there is little or much room. */
const MILLIMETRE = { least: 2.5, phone: 3, desk: 4, most: 8 };
const PHONE = 600;
/** Millimetres of height that a row is to have before millimetres grow. */
const AMPLE_ROW = 30;
/** Seconds that a line shows at the least, where millimetres grow. */
const AMPLE_TIME = 8;
/** Lines of a lead that is alone: so many at the most, each of so many millimetres. */
const LINES = { most: 5, height: 26 };

export function bedside(
  names: readonly string[],
  width: number,
  room: number,
  scale: Omit<Scale, "millimetre">,
): Layout {
  const usual = width < PHONE ? MILLIMETRE.phone : MILLIMETRE.desk;
  const available = Math.max(1, room - FOOT);
  const columns = columnsOf(names.length, width, available, leastRow(scale.gain) * usual);
  const perColumn = Math.ceil(names.length / columns);
  const wide = Math.floor(width / columns);
  const byTime = wide / (MARGIN + AMPLE_TIME * scale.speed);
  const ample = Math.min(byTime, available / (perColumn * AMPLE_ROW), MILLIMETRE.most);
  const fitting = available / (perColumn * leastRow(scale.gain));
  const millimetre = halves(Math.max(MILLIMETRE.least, Math.min(fitting, Math.max(usual, ample))));
  const full: Scale = { ...scale, millimetre };
  const high = Math.max(available, Math.ceil(perColumn * leastRow(scale.gain) * millimetre));
  const margin = MARGIN * millimetre;
  const column = Math.floor(wide / millimetre) * millimetre; // whole millimetres, so that the grid is that of both
  const seconds = (column - margin) / second(full);
  const above = aboveBaseline(scale.gain) * millimetre;
  const leads = names.map((_, lead) => lead);
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
      height: perColumn * row + (isLast ? FOOT : 0), // a deep wave of the last row goes on through the foot
      begin: line * seconds,
      seconds,
      traces: rows(shown, names, y, row, true, above),
    };
  });
  return { width, height: high + FOOT, scale: full, period: lines * seconds, panels };
}

function columnsOf(leads: number, width: number, room: number, row: number): number {
  if (leads <= ONE_COLUMN) return 1;
  return width >= WIDE || (width >= NARROWEST && leads * row > room) ? 2 : 1;
}

/** Half pixels: the lines of the grid stay as regular as they can. */
function halves(value: number): number {
  return Math.floor(value * 2) / 2;
}

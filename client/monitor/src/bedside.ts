/** The leads under one another, as a bedside monitor shows them: in two columns where there are many and room for it. */

import { type Layout, rows } from "./layout.js";
import { MARGIN, type Scale, second } from "./scale.js";

/** CSS pixels from which two columns are worth it. */
const WIDE = 900;
/** Leads that one column takes in any case. */
const ONE_COLUMN = 6;
/** Millimetres that a row has at the least: where there is no room for that, the paper is higher than the screen. */
const ROW = 12;
/** CSS pixels to a millimetre, on a desk and on a phone. */
const MILLIMETRE = { desk: 4, phone: 3 };
const PHONE = 600;

export function bedside(
  names: readonly string[],
  width: number,
  room: number,
  scale: Omit<Scale, "millimetre">,
): Layout {
  const full: Scale = { ...scale, millimetre: width < PHONE ? MILLIMETRE.phone : MILLIMETRE.desk };
  const columns = width >= WIDE && names.length > ONE_COLUMN ? 2 : 1;
  const perColumn = Math.ceil(names.length / columns);
  const height = Math.max(room, perColumn * ROW * full.millimetre);
  const wide = Math.floor(width / columns / full.millimetre) * full.millimetre;
  const margin = MARGIN * full.millimetre;
  const seconds = (wide - margin) / second(full);
  const leads = names.map((_, lead) => lead);
  const panels = Array.from({ length: columns }, (_, column) => ({
    x: column * wide + margin,
    y: 0,
    width: wide - margin,
    height,
    begin: 0,
    seconds,
    traces: rows(leads.slice(column * perColumn, (column + 1) * perColumn), names, 0, height / perColumn, true),
  }));
  return { width, height, scale: full, period: seconds, panels };
}

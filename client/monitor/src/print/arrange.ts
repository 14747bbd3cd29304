/** The layout of printed sheets: the place of each lead, and how many fit on a page. */

import { type Channel, leadsOf } from "../channels.js";
import { plainName, rhythmLead } from "../layout.js";
import type { Gain } from "../scale.js";
import { PAGE } from "./strip.js";

/** Sizes in millimetres, landscape. */
export const PAPERS = {
  a4: { name: "A4 landscape", width: 297, height: 210 },
  letter: { name: "Letter landscape", width: 279.4, height: 215.9 },
} as const;
export type Paper = keyof typeof PAPERS;

export const ARRANGEMENTS = ["rhythm", "six", "single"] as const;
export type Arrangement = (typeof ARRANGEMENTS)[number];

export const ORDERS = ["standard", "cabrera"] as const;
export type Order = (typeof ORDERS)[number];

/** Millimetres per second: ten seconds fill a page. */
export const SPEED = 25;

export interface SheetOptions {
  readonly paper: Paper;
  readonly arrangement: Arrangement;
  readonly order: Order;
  readonly gain: Gain;
}

/** Rows of an arrangement, and the most columns: narrower ones would not show two beats. */
const SHAPES: Readonly<Record<Arrangement, { rows: number; columns: number; strip: boolean }>> = {
  rhythm: { rows: 3, columns: 5, strip: true },
  six: { rows: 6, columns: 3, strip: false },
  single: { rows: Number.POSITIVE_INFINITY, columns: 1, strip: false },
};
/** Smallest height of a row in millimetres. */
const LEAST_ROW = 10;
/** Share of a row that is above its 0 mV. */
export const ABOVE = 0.56;

const CHEST = ["V1", "V2", "V3", "V4", "V5", "V6"];
const STANDARD = ["I", "II", "III", "aVR", "aVL", "aVF", ...CHEST];
/** The limb leads by their axes in the frontal plane, from -30 to 120 degrees. */
const LIMBS = ["aVL", "I", "-aVR", "II", "aVF", "III"];

/** A lead in its place. */
export interface Cell {
  readonly lead: number;
  readonly name: string;
  /** -1 if it is drawn upside down. */
  readonly sign: 1 | -1;
  readonly row: number;
  readonly column: number;
}

/** The leads of one page. */
export interface Sheet {
  readonly cells: readonly Cell[];
  /** Rows without the rhythm strip. */
  readonly rows: number;
  readonly columns: number;
  /** The rhythm strip below, which is as wide as the page; null if there is none. */
  readonly strip: Cell | null;
}

/** The rows on paper of that height: millimetres from its top to the first 0 mV, and from row to row. */
export function rowsOn(height: number, rows: number, gain: Gain): { first: number; step: number } {
  const even = height / rows;
  const first = Math.max(ABOVE * even, gain + 1);
  return { first, step: rows === 1 ? even : (height - (1 - ABOVE) * even - first) / (rows - 1) };
}

/** Returns whether the stream has the six limb leads of the Cabrera order. */
export function hasCabrera(names: readonly string[]): boolean {
  return LIMBS.every((name) => placeOf(name, names) !== null);
}

/** The sheets that show all leads, each once: first the ECG, then all other signals, each as wide as the page. */
export function arrange(
  names: readonly string[],
  options: SheetOptions,
  height: number,
  channels: readonly Channel[] = [],
): Sheet[] {
  const others = leadsOf(channels, false);
  const ecg = [...names.keys()].filter((lead) => !others.includes(lead));
  if (others.length === 0) return arrangeLeads(names, ecg, options, height);
  const wide = { ...options, arrangement: "single" } as const;
  const sheets = arrangeLeads(names, others, wide, height);
  return ecg.length === 0 ? sheets : [...arrangeLeads(names, ecg, options, height), ...sheets];
}

function arrangeLeads(names: readonly string[], of: readonly number[], options: SheetOptions, height: number): Sheet[] {
  const shape = SHAPES[options.arrangement];
  let most = Math.max(1, Math.min(shape.rows, Math.floor(height / LEAST_ROW)));
  // The pulse of a row must not touch the row above it nor the edge.
  while (most > 1 && rowsOn(height, most, options.gain).step < options.gain + 1) most -= 1;
  const leads = ordered(names, options.order).filter(({ lead }) => of.includes(lead));
  const sheets = Math.ceil(leads.length / (most * shape.columns));
  const size = Math.ceil(leads.length / sheets);
  return Array.from({ length: sheets }, (_, sheet) => {
    const mine = leads.slice(sheet * size, (sheet + 1) * size);
    const rows = Math.min(most, mine.length);
    const columns = Math.ceil(mine.length / rows);
    const cells = mine.map((cell, index) => ({ ...cell, row: index % rows, column: Math.floor(index / rows) }));
    const hasStrip = shape.strip && columns > 1;
    const lead = of[rhythmLead(of.map((one) => names[one]))];
    return {
      cells,
      rows,
      columns,
      strip: hasStrip ? { lead, name: names[lead], sign: 1, row: rows, column: 0 } : null,
    };
  });
}

/** The name of an arrangement with these leads, such as `3×4 + 1 rhythm strip`. */
export function nameOf(
  arrangement: Arrangement,
  names: readonly string[],
  options: SheetOptions,
  height: number,
  channels: readonly Channel[] = [],
): string {
  const [{ rows, columns, strip }, ...others] = arrange(names, { ...options, arrangement }, height, channels);
  const seconds = Number((PAGE / columns).toFixed(2));
  const each = columns > 1 ? `, ${seconds} s of each lead` : "";
  const sheets = others.length > 0 ? `, on ${others.length + 1} sheets` : "";
  return `${rows}×${columns}${strip === null ? "" : " + 1 rhythm strip"}${each}${sheets}`;
}

type Ordered = Pick<Cell, "lead" | "name" | "sign">;

/** Order the leads: those of the order first, then all others. */
function ordered(names: readonly string[], order: Order): Ordered[] {
  const wanted = order === "cabrera" && hasCabrera(names) ? [...LIMBS, ...CHEST] : STANDARD;
  const known = wanted.map((name) => placeOf(name, names)).filter((found) => found !== null);
  const used = new Set(known.map(({ lead }) => lead));
  const others = names.map((name, lead): Ordered => ({ lead, name, sign: 1 })).filter(({ lead }) => !used.has(lead));
  // If the order names a lead twice, as `-aVR` and `aVR`, the first counts.
  return [...known.filter(({ lead }, index) => known.findIndex((other) => other.lead === lead) === index), ...others];
}

function placeOf(wanted: string, names: readonly string[]): Ordered | null {
  const find = (name: string): number =>
    names.findIndex((each) => plainName(each.replace("−", "-")) === plainName(name));
  const lead = find(wanted);
  if (lead >= 0) return { lead, name: names[lead], sign: 1 };
  const upright = wanted.startsWith("-") ? find(wanted.slice(1)) : -1;
  return upright < 0 ? null : { lead: upright, name: `−${names[upright]}`, sign: -1 };
}

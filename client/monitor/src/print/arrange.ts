/** Which lead stands where on a printed sheet: layouts, the order of the leads, and how many fit on a page. */

import { plainName, rhythmLead } from "../layout.js";
import type { Gain } from "../scale.js";
import { PAGE } from "./strip.js";

/** Sizes in millimetres, lying. */
export const PAPERS = {
  a4: { name: "A4 landscape", width: 297, height: 210 },
  letter: { name: "Letter landscape", width: 279.4, height: 215.9 },
} as const;
export type Paper = keyof typeof PAPERS;

export const ARRANGEMENTS = ["rhythm", "six", "single"] as const;
export type Arrangement = (typeof ARRANGEMENTS)[number];

export const ORDERS = ["standard", "cabrera"] as const;
export type Order = (typeof ORDERS)[number];

/** Millimetres a second: the speed at which ten seconds fill a page. */
export const SPEED = 25;

export interface SheetOptions {
  readonly paper: Paper;
  readonly arrangement: Arrangement;
  readonly order: Order;
  readonly gain: Gain;
}

/** Rows of an arrangement, and columns at the most: narrower ones would not hold two beats. */
const SHAPES: Readonly<Record<Arrangement, { rows: number; columns: number; strip: boolean }>> = {
  rhythm: { rows: 3, columns: 5, strip: true },
  six: { rows: 6, columns: 3, strip: false },
  single: { rows: Number.POSITIVE_INFINITY, columns: 1, strip: false },
};
/** Millimetres of a row at the least; a calibration pulse needs its own height and a little more. */
const LEAST_ROW = 10;
const ROOM_FOR_PULSE = 1.05;

const CHEST = ["V1", "V2", "V3", "V4", "V5", "V6"];
const STANDARD = ["I", "II", "III", "aVR", "aVL", "aVF", ...CHEST];
/** By their axes in the frontal plane, -30 to 120 degrees. */
const LIMBS = ["aVL", "I", "-aVR", "II", "aVF", "III"];

/** A lead in its place. */
export interface Cell {
  readonly lead: number;
  readonly name: string;
  /** -1 where it is drawn upside down. */
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
  /** The lead that has a row over the whole page below. */
  readonly strip: Cell | null;
}

/** Whether the stream has the six limb leads that the Cabrera order is made of. */
export function hasCabrera(names: readonly string[]): boolean {
  return LIMBS.every((name) => placeOf(name, names) !== null);
}

/** The sheets that show all leads, each once. */
export function arrange(names: readonly string[], options: SheetOptions, height: number): Sheet[] {
  const shape = SHAPES[options.arrangement];
  const fitting = Math.floor(height / Math.max(LEAST_ROW, ROOM_FOR_PULSE * options.gain));
  const most = Math.max(1, Math.min(shape.rows, fitting));
  const leads = ordered(names, options.order);
  const sheets = Math.ceil(leads.length / (most * shape.columns));
  const size = Math.ceil(leads.length / sheets);
  return Array.from({ length: sheets }, (_, sheet) => {
    const mine = leads.slice(sheet * size, (sheet + 1) * size);
    const rows = Math.min(most, mine.length);
    const columns = Math.ceil(mine.length / rows);
    const cells = mine.map((cell, index) => ({ ...cell, row: index % rows, column: Math.floor(index / rows) }));
    const hasStrip = shape.strip && columns > 1;
    const lead = rhythmLead(names);
    return {
      cells,
      rows,
      columns,
      strip: hasStrip ? { lead, name: names[lead], sign: 1, row: rows, column: 0 } : null,
    };
  });
}

/** The name of an arrangement for so many leads: `3×4 + rhythm strip`. */
export function nameOf(
  arrangement: Arrangement,
  names: readonly string[],
  options: SheetOptions,
  height: number,
): string {
  const [{ rows, columns, strip }, ...others] = arrange(names, { ...options, arrangement }, height);
  const seconds = Number((PAGE / columns).toFixed(2));
  const each = columns > 1 ? `, ${seconds} s of each lead` : "";
  const sheets = others.length > 0 ? `, on ${others.length + 1} sheets` : "";
  return `${rows}×${columns}${strip === null ? "" : " + 1 rhythm strip"}${each}${sheets}`;
}

type Ordered = Pick<Cell, "lead" | "name" | "sign">;

/** Those of the order first, then all others as they come. */
function ordered(names: readonly string[], order: Order): Ordered[] {
  const wanted = order === "cabrera" && hasCabrera(names) ? [...LIMBS, ...CHEST] : STANDARD;
  const known = wanted.map((name) => placeOf(name, names)).filter((found) => found !== null);
  const used = new Set(known.map(({ lead }) => lead));
  const others = names.map((name, lead): Ordered => ({ lead, name, sign: 1 })).filter(({ lead }) => !used.has(lead));
  // Where the wanted order names a lead twice, as `-aVR` and `aVR`, the first place counts.
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

/** Which beds the wall shows: those that the address names, or else those that the server lists. */

import { MOST_BEDS } from "./arrange.js";

/** Characters of the name of a bed that are shown. */
const LONGEST = 60;

export interface Choice {
  readonly shown: readonly string[];
  /** Number of beds that are not shown, since there are too many. */
  readonly more: number;
}

/**
 * Choose the beds.
 *
 * @param search the query of the page's address; `?streams=a,b` names beds, in this order.
 * @param listed the streams of the server; null if it gave no list.
 */
export function chooseBeds(search: string, listed: readonly string[] | null): Choice {
  const asked = namesIn(search, "streams").filter((name) => name !== "");
  const all = [...new Set(asked.length > 0 ? asked : (listed ?? []))];
  return { shown: all.slice(0, MOST_BEDS), more: Math.max(0, all.length - MOST_BEDS) };
}

/** The names that `?beds=Bed 1,Bed 2` gives the streams of `?streams=a,b`, in their order. */
export function namesOfBeds(search: string): ReadonlyMap<string, string> {
  const names = namesIn(search, "beds");
  return new Map(namesIn(search, "streams").map((stream, place) => [stream, (names[place] ?? "").slice(0, LONGEST)]));
}

function namesIn(search: string, field: string): string[] {
  return new URLSearchParams(search)
    .getAll(field)
    .flatMap((names) => names.split(","))
    .map((name) => name.trim());
}

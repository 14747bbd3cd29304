/** Which beds the wall shows: those that the address names, or else those that the server lists. */

import { MOST_BEDS } from "./arrange.js";

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
  const asked = new URLSearchParams(search)
    .getAll("streams")
    .flatMap((names) => names.split(","))
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const all = [...new Set(asked.length > 0 ? asked : (listed ?? []))];
  return { shown: all.slice(0, MOST_BEDS), more: Math.max(0, all.length - MOST_BEDS) };
}

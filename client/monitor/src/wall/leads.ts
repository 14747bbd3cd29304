/** The leads that a tile shows. */

import { plainName, rhythmLead } from "../layout.js";

/** The leads that are preferred as the second, in this order. */
const SECOND = ["v1", "v5", "v2", "i"];

/**
 * Choose leads by their names.
 *
 * @param names of all leads of the signal.
 * @param count number of leads to show, 1 or 2.
 * @param asked names in the page's address, which are preferred.
 */
export function chooseLeads(names: readonly string[], count: number, asked: readonly string[]): number[] {
  const plain = names.map(plainName);
  const first = asked.map((name) => plain.indexOf(plainName(name)));
  const others = SECOND.map((name) => plain.indexOf(name));
  const all = [...first, rhythmLead(names), ...others, ...names.keys()];
  return [...new Set(all.filter((lead) => lead >= 0 && lead < names.length))].slice(0, count);
}

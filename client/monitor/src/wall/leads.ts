/** The leads that a tile shows. */

import { type Channel, leadsOf } from "../channels.js";
import { plainName, rhythmLead } from "../layout.js";

/** The leads that are preferred as the second, in this order. */
const SECOND = ["v1", "v5", "v2", "i"];

/**
 * Choose leads by their names. Signals that are no ECG come after all leads that are.
 *
 * @param names of all leads of the signal.
 * @param count number of leads to show, 1 or 2.
 * @param asked names in the page's address, which are preferred.
 * @param channels what each lead measures; by default, all are an ECG.
 */
export function chooseLeads(
  names: readonly string[],
  count: number,
  asked: readonly string[],
  channels: readonly Channel[] = [],
): number[] {
  const plain = names.map(plainName);
  const first = asked.map((name) => plain.indexOf(plainName(name)));
  const others = SECOND.map((name) => plain.indexOf(name));
  const no = leadsOf(channels, false);
  const usual = [rhythmLead(names, channels), ...others, ...names.keys()].filter((lead) => !no.includes(lead));
  const all = [...first, ...usual, ...no];
  return [...new Set(all.filter((lead) => lead >= 0 && lead < names.length))].slice(0, count);
}

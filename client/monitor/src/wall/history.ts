/** The history of the alarms: filter, and a file of it. */

import type { Severity } from "../alert-history.js";
import type { Alarm } from "./alarm-book.js";

export interface Filter {
  /** Name of a bed; empty for all. */
  readonly bed: string;
  readonly priority: Severity | "";
  readonly state: "" | "signalling" | "acknowledged" | "not acknowledged";
  /** Words that have to occur; empty for none. */
  readonly words: string;
}

/** Select the alarms that a filter admits, in their order. */
export function select(alarms: readonly Alarm[], filter: Filter, isSignalling: (alarm: Alarm) => boolean): Alarm[] {
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  return alarms.filter((alarm) => {
    if (filter.bed !== "" && alarm.stream !== filter.bed) return false;
    if (filter.priority !== "" && alarm.severity !== filter.priority) return false;
    if (filter.state === "signalling" && !isSignalling(alarm)) return false;
    if (filter.state === "acknowledged" && alarm.acknowledged === null) return false;
    if (filter.state === "not acknowledged" && alarm.acknowledged !== null) return false;
    const { stream, kind, text, ending, lead, acknowledged } = alarm;
    const searched = [stream, kind.replaceAll("_", " "), text, ending, lead, acknowledged?.by].join(" ").toLowerCase();
    return words.every((word) => searched.includes(word));
  });
}

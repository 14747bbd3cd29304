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

const COLUMNS = [
  "bed",
  "kind",
  "priority",
  "lead",
  "start",
  "end",
  "reported",
  "text",
  "ending",
  "acknowledged by",
  "acknowledged at",
  "origin",
];
/** A spreadsheet takes such a cell for a formula. */
const FORMULA = /^\s*[=+\-@＝＋－＠]/;
/** Characters that end lines, control the terminal, or change the direction of writing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
const UNFIT = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Return alarms as CSV, a row for each; times are in UTC. Text that a spreadsheet takes for a formula gets an apostrophe. */
export function toCsv(alarms: readonly Alarm[]): string {
  const rows = alarms.map((alarm) => [
    alarm.stream,
    alarm.kind,
    alarm.severity,
    alarm.lead,
    time(alarm.start),
    time(alarm.end),
    time(alarm.timestamp ?? alarm.shownAt),
    alarm.text,
    alarm.ending,
    alarm.acknowledged?.by ?? "",
    time(alarm.acknowledged?.at ?? null),
    alarm.origins.join(" "),
  ]);
  return [COLUMNS, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function time(seconds: number | null): string {
  if (seconds === null || !(Math.abs(seconds) < 253_402_300_800)) return "";
  return new Date(1000 * seconds).toISOString();
}

function cell(text: string): string {
  const fit = text.replace(UNFIT, "�");
  const safe = FORMULA.test(fit) ? `'${fit}` : fit;
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

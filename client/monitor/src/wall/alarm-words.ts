/** Alarms in words, for tiles, the banner, the history and its file. */

import type { Severity } from "../alert-history.js";
import { type Alarm, isOver } from "./alarm-book.js";

/** What a tile shows of the alarms of its bed. */
export interface Shown {
  readonly priority: Severity;
  readonly text: string;
  readonly isSignalling: boolean;
}

export const PRIORITY_NAMES: Readonly<Record<Severity, string>> = { critical: "High", warning: "Medium", info: "Low" };

const NAMES: Readonly<Record<string, string>> = {
  rate_high: "Rate high",
  rate_low: "Rate low",
  lead_off: "Lead off",
  ventricular_fibrillation: "Ventricular fibrillation?",
};

/** As `Lead off`. */
export function kindInWords(kind: string): string {
  const words = NAMES[kind] ?? kind.replaceAll("_", " ");
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}

/** As `Asystole: no beat, over`. */
export function alarmInWords(alarm: Alarm, now: number): string {
  const { text, ending } = alarm;
  const kind = kindInWords(alarm.kind);
  const isTold = alarm.end !== null || alarm.start !== null;
  const over = isTold && isOver(alarm, now) ? `, over${ending === "" || ending === text ? "" : `: ${ending}`}` : "";
  const isSaid = text.toLowerCase().startsWith(kind.toLowerCase()); // as in `lead off: V1`
  return `${isSaid ? text.slice(0, 1).toUpperCase() + text.slice(1) : [kind, text].filter(Boolean).join(": ")}${over}`;
}

/** What a tile shows of the alarms of its bed, the most important first; null without any. */
export function shownOf(alarms: readonly Alarm[], isSignalling: (alarm: Alarm) => boolean, now: number): Shown | null {
  const first = alarms.at(0);
  if (first === undefined) return null;
  const by = first.acknowledged === null ? "" : ` · acknowledged by ${first.acknowledged.by}`;
  const more = alarms.length > 1 ? ` · ${alarms.length - 1} more` : "";
  return {
    priority: first.severity,
    text: `${alarmInWords(first, now)}${by}${more}`,
    isSignalling: isSignalling(first),
  };
}

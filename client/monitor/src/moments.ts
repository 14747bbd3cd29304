/** Moments of a stream that one can go to or compare with: marks and alerts, in the order of time. */

import type { Alert, Severity } from "./alert-history.js";
import type { AlertRow } from "./alerts-csv.js";
import type { EventMark } from "./event-marks.js";
import { timeOfDay } from "./labels.js";
import { type Mark, markOf } from "./trend.js";

export interface Moment {
  /** Unix seconds. */
  readonly at: number;
  /** `mark`, or the severity of the alert. */
  readonly kind: "mark" | Severity;
  readonly text: string;
  /** A row of the file. */
  readonly row: AlertRow;
}

/** Seconds by which two reports of one alert may differ. */
const SAME = 1;

/**
 * Returns the moments, the newest first.
 *
 * @param alerts that the page has shown.
 * @param past alerts of the history.
 */
export function momentsOf(
  stream: string,
  marks: readonly EventMark[],
  alerts: readonly Alert[],
  past: readonly Mark[],
): Moment[] {
  const own = alerts.flatMap((alert): Moment[] => {
    const at = markOf(alert)?.at;
    if (at === undefined || (alert.stream !== "" && alert.stream !== stream)) return [];
    const text = [alert.kind.replaceAll("_", " "), alert.text].filter(Boolean).join(": ");
    return [{ at, kind: alert.severity, text, row: { ...alert, stream, acknowledged: null } }];
  });
  const earlier = past
    .filter(({ at, kind }) => !own.some(({ at: other, row }) => row.kind === kind && Math.abs(at - other) < SAME))
    .map(
      ({ at, kind, severity }): Moment => ({
        at,
        kind: severity,
        text: kind.replaceAll("_", " "),
        row: { ...NOTHING, stream, kind, severity, start: at },
      }),
    );
  const made = marks.map(
    ({ at, text, made }): Moment => ({
      at,
      kind: "mark",
      text: text || "mark",
      row: { ...NOTHING, stream, kind: "mark", start: at, timestamp: made, text, origins: ["user"] },
    }),
  );
  return [...made, ...own, ...earlier].sort((one, other) => other.at - one.at);
}

const NOTHING: Omit<AlertRow, "stream" | "kind"> = {
  severity: "",
  lead: "",
  start: null,
  end: null,
  timestamp: null,
  shownAt: Number.NaN,
  text: "",
  ending: "",
  acknowledged: null,
  origins: ["server"],
};

/** The time of a moment; with its date, unless that is today. */
export function whenInWords(at: number, now: number): string {
  const dayOf = (seconds: number): string => {
    const date = new Date(1000 * seconds);
    const two = (value: number): string => String(value).padStart(2, "0");
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  };
  return dayOf(at) === dayOf(now) ? timeOfDay(at) : `${dayOf(at)} ${timeOfDay(at)}`;
}
